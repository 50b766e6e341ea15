import { rm } from "node:fs/promises";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import {
  type LocalNode,
  requireClusterFile,
  writeClusterFile,
} from "../../../shared/platform/local-cluster-file.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import { whileLocked } from "../local/directory-lock.ts";
import { nodePaths, numberOf } from "./layout.ts";
import { signalNode, startNode, waitForExit } from "./node-process.ts";

const STATUS_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 10_000;

interface ChangedCluster {
  readonly directory: string;
  status(timeoutMs: number): Promise<ClusterStatus>;
}

/**
 * Stops a node that could not be added, and removes its files and its entry in cluster.json. A node
 * that the masters know is kept: they count on it.
 *
 * @returns why the node was kept; null if the directory is as before
 */
export async function undoAdd(cluster: ChangedCluster, node: LocalNode): Promise<string | null> {
  const { directory } = cluster;
  try {
    if (isKnown(node, await cluster.status(STATUS_TIMEOUT_MS))) return "the masters know it";
    await stop(directory, node);
    // It can have registered before it stopped.
    if (isKnown(node, await cluster.status(STATUS_TIMEOUT_MS))) {
      await startNode(directory, node);
      return "the masters know it";
    }
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    return "the masters do not answer whether they know it";
  }
  await whileLocked(directory, async () => {
    const file = await requireClusterFile(directory);
    const nodes = file.nodes.filter(({ name }) => name !== node.name);
    await writeClusterFile(directory, { ...file, nodes });
    await rm(nodePaths(directory, node.name).directory, { recursive: true, force: true });
  });
  return null;
}

async function stop(directory: string, node: LocalNode): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!(await signalNode(directory, node, signal))) return;
    if (await waitForExit(directory, node, STOP_TIMEOUT_MS)) return;
  }
}

function isKnown({ address }: LocalNode, { masters, chunkservers }: ClusterStatus): boolean {
  return [...masters, ...chunkservers].some((each) => each.address === address);
}

/** The state of a node that could not be added, in the details of the error. */
export interface AddFailure {
  /** "c5 was removed again" */
  readonly outcome: string;
}

/**
 * Returns the error of a failed `cluster add`, with the command that continues.
 *
 * @param kept result of `undoAdd`
 */
export function addFailure(
  node: LocalNode,
  {
    directory,
    error,
    kept,
  }: { readonly directory: string; readonly error: unknown; readonly kept: string | null },
): unknown {
  if (!isAshlarError(error)) return error;
  const { name } = node;
  const word = shellWord(directory);
  const outcome =
    kept === null
      ? `${name} was removed again: the cluster is as before`
      : `${name} stays in the cluster: ${kept}`;
  const details: AddFailure = { outcome };
  const message = `${error.message}; ${outcome}`;
  if (kept === null)
    return new AshlarError(error.code, message, { cause: error, details: { ...details } });
  const add = `ashlar master add --cluster ${word} ${numberOf(node)}=${node.address}`;
  const hint = node.role === "master" ? add : `ashlar cluster up --dir ${word}`;
  return new AshlarError(error.code, message, { cause: error, details: { ...details }, hint });
}
