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
import { runningPid, stopNode } from "./node-process.ts";

const STATUS_TIMEOUT_MS = 5_000;

/** What `undoAdd` needs of a `LocalCluster`. */
interface ChangedCluster {
  readonly directory: string;
  status(timeoutMs: number): Promise<ClusterStatus>;
  start(name: string): Promise<number>;
}

/** The state of a node that could not be added. */
export type Undone =
  /** The cluster is as before. `leftover`: why its directory is still there, else null. */
  | { readonly kind: "removed"; readonly leftover: string | null }
  | { readonly kind: "kept"; readonly reason: string };

/**
 * Stops a node that could not be added, and removes its files and its entry in cluster.json. A node
 * that the masters know is kept, because they count on it. A node that cannot be removed is kept too, and is started
 * again if it was stopped. Never rejects for a failure of the undo: the caller has an error to report.
 */
export async function undoAdd(cluster: ChangedCluster, node: LocalNode): Promise<Undone> {
  const { directory } = cluster;
  try {
    const known = await whyKnown(cluster, node);
    if (known !== null) return { kind: "kept", reason: known };
    if ((await stopNode(directory, node)) === "running") {
      return { kind: "kept", reason: "its process does not end" };
    }
    // It can have registered before it stopped.
    const reason = (await whyKnown(cluster, node)) ?? (await removeEntry(directory, node));
    if (reason !== null) return await keepRunning(cluster, node, reason);
  } catch (error) {
    return await keepRunning(cluster, node, textOf(error));
  }
  return { kind: "removed", leftover: await removeFiles(directory, node) };
}

/** Returns why the masters may count on the node; null if they do not know it. */
async function whyKnown(cluster: ChangedCluster, node: LocalNode): Promise<string | null> {
  try {
    return isKnown(node, await cluster.status(STATUS_TIMEOUT_MS)) ? "the masters know it" : null;
  } catch (error) {
    if (!isAshlarError(error)) throw error;
    return "the masters do not answer whether they know it";
  }
}

/** Removes the node from cluster.json. @returns why this was not possible, else null */
async function removeEntry(directory: string, node: LocalNode): Promise<string | null> {
  return await whileLocked(directory, async () => {
    if ((await runningPid(directory, node)) !== null) return "another command has started it";
    const file = await requireClusterFile(directory);
    const nodes = file.nodes.filter(({ name }) => name !== node.name);
    await writeClusterFile(directory, { ...file, nodes });
    return null;
  });
}

async function removeFiles(directory: string, node: LocalNode): Promise<string | null> {
  const path = nodePaths(directory, node.name).directory;
  try {
    await rm(path, { recursive: true, force: true });
    return null;
  } catch (error) {
    return `cannot remove ${path}: ${textOf(error)}`;
  }
}

async function keepRunning(
  cluster: ChangedCluster,
  node: LocalNode,
  reason: string,
): Promise<Undone> {
  try {
    await cluster.start(node.name);
    return { kind: "kept", reason };
  } catch (error) {
    return { kind: "kept", reason: `${reason}; it does not run: ${textOf(error)}` };
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function isKnown({ address }: LocalNode, { masters, chunkservers }: ClusterStatus): boolean {
  return [...masters, ...chunkservers].some((each) => each.address === address);
}

/** The state of a node that could not be added, in the details of the error. */
export interface AddFailure {
  /** "c5 was removed again" */
  readonly outcome: string;
}

/** Returns the error of a failed `cluster add`, with the command that continues. */
export function addFailure(
  node: LocalNode,
  {
    directory,
    error,
    undone,
  }: { readonly directory: string; readonly error: unknown; readonly undone: Undone },
): unknown {
  if (!isAshlarError(error)) return error;
  const outcome = outcomeOf(node, undone);
  const added: AddFailure = { outcome };
  const options = { cause: error, details: { ...error.details, ...added } };
  const message = `${error.message}; ${outcome}`;
  // The hint of the error can name a file of the node, which is removed.
  if (undone.kind === "removed") return new AshlarError(error.code, message, options);
  const word = shellWord(directory);
  const add = `ashlar master add --cluster ${word} ${numberOf(node)}=${node.address}`;
  const hint = node.role === "master" ? add : `ashlar cluster up --dir ${word}`;
  return new AshlarError(error.code, message, { ...options, hint });
}

function outcomeOf({ name }: LocalNode, undone: Undone): string {
  if (undone.kind === "kept") return `${name} stays in the cluster: ${undone.reason}`;
  const removed = `${name} was removed again: `;
  return `${removed}${undone.leftover ?? "the cluster is as before"}`;
}
