import { statSync } from "node:fs";
import { isAddress } from "../base/address.ts";
import { AshlarError } from "../base/errors.ts";

/** The addresses with which a client finds a cluster. */
export interface ClusterAddress {
  /** Addresses of masters, "host:port". */
  readonly masters: readonly string[];
  /** The cluster that the masters must belong to; null to accept any. */
  readonly clusterId: string | null;
  /** Directory of a local cluster; null for a list of masters. */
  readonly directory: string | null;
}

const EXPECTED =
  "expected a directory made by `ashlar cluster up`, HOST:PORT,HOST:PORT,… or a name of `ashlar cluster list`";

/**
 * Parses the directory of a local cluster, or a list of masters.
 *
 * @param origin where `text` comes from ("--cluster", "ASHLAR_CLUSTER", a config file), for errors
 * @throws {AshlarError} INVALID_ARGUMENT, NOT_FOUND
 */
export async function parseClusterAddress(text: string, origin: string): Promise<ClusterAddress> {
  if (isMasterList(text)) return { masters: splitList(text), clusterId: null, directory: null };
  if (!isDirectory(text)) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use ${origin}: ${EXPECTED}: current value is "${text}"`,
      { hint: "ashlar cluster up --dir DIRECTORY" },
    );
  }
  const { requireClusterFile } = await import("./local-cluster-file.ts");
  const file = await requireClusterFile(text);
  const masters = file.nodes.filter((node) => node.role === "master").map((node) => node.address);
  return { masters, clusterId: file.clusterId, directory: text };
}

/** Returns whether `text` is a list of addresses. Any other text is the path of a directory. */
export function isMasterList(text: string): boolean {
  return splitList(text).every(isAddress);
}

function splitList(text: string): string[] {
  return text.split(",").map((part) => part.trim());
}

/** Returns the INVALID_ARGUMENT error of a command that needs a cluster where none is set. */
export function noClusterSet(): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot find the cluster: ${EXPECTED}, in --cluster, in ASHLAR_CLUSTER or as "cluster" in the config file`,
    {
      hint: "`ashlar cluster up --dir DIRECTORY` starts a cluster on this machine, `ashlar cluster use NAME HOST:PORT,…` selects one that exists",
    },
  );
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
