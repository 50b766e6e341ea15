import { statSync } from "node:fs";
import { join } from "node:path";
import { AshlarError } from "../../shared/base/errors.ts";

/** Which cluster a command speaks to. */
export interface ClusterAddress {
  readonly masters: readonly string[];
  readonly clusterId: string | null;
  /** For a local cluster. */
  readonly directory: string | null;
}

const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[^\s:/,[\]]+):\d{1,5}$/;
const WANTED = "expected a directory made by `ashlar cluster up`, or HOST:PORT,HOST:PORT,…";

/**
 * The cluster that `text` names: a directory that `ashlar cluster up` made, or a list of masters.
 *
 * @param origin where the text came from ("--cluster", "ASHLAR_CLUSTER", a config file), for errors
 * @throws {AshlarError} INVALID_ARGUMENT, NOT_FOUND
 */
export async function parseClusterAddress(text: string, origin: string): Promise<ClusterAddress> {
  if (isMasterList(text)) return { masters: splitList(text), clusterId: null, directory: null };
  if (!isDirectory(text)) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot use ${origin}: ${WANTED}: it is "${text}"`, {
      hint: "ashlar cluster up --dir DIRECTORY",
    });
  }
  const { requireClusterFile } = await import("./cluster/layout.ts");
  const file = await requireClusterFile(text);
  const masters = file.nodes.filter((node) => node.role === "master").map((node) => node.address);
  return { masters, clusterId: file.clusterId, directory: text };
}

/** Whether `text` is HOST:PORT,… and no directory. */
export function isMasterList(text: string): boolean {
  return splitList(text).every((part) => HOST_PORT.test(part));
}

function splitList(text: string): string[] {
  return text.split(",").map((part) => part.trim());
}

/** Where `ashlar cluster` keeps its state when nothing is said: below the working directory. */
export function defaultClusterDirectory(): string {
  return join(process.cwd(), ".ashlar");
}

/** @throws {AshlarError} INVALID_ARGUMENT saying the three ways to name a cluster */
export function noClusterNamed(): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot tell which cluster is meant: ${WANTED}, by --cluster, by ASHLAR_CLUSTER or by "cluster" in the config file`,
    { hint: "ashlar cluster up --dir DIRECTORY; export ASHLAR_CLUSTER=DIRECTORY" },
  );
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
