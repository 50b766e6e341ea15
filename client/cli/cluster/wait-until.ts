import { setTimeout as sleep } from "node:timers/promises";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { formatCount } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import type { FileSystem } from "../../file-system.ts";
import { type AwaitedNodes, requireAllRunning } from "./exited-node.ts";

const POLL_MS = 100;
/** Timeout of one poll. */
const STATUS_TIMEOUT_MS = 2_000;

/** Receives why a step takes longer. */
export type OnWait = (reason: string) => void;

/** How long to wait, and how. */
export interface WaitOptions {
  readonly timeoutMs: number;
  /** Ends the wait. The nodes that were started keep running. */
  readonly signal?: AbortSignal;
  /** Called with the condition that is not met yet: "2 of 4 chunkservers are live". */
  readonly onWait?: OnWait | undefined;
}

/** The cluster that is waited for. */
interface AwaitedCluster extends AwaitedNodes {
  connect(timeoutMs: number): Promise<FileSystem>;
}

/**
 * Polls the status until `problem` returns null.
 *
 * @param problem returns the condition that is not met, for the error at the deadline
 * @throws {AshlarError} DEADLINE_EXCEEDED; UNAVAILABLE if a node exits and `needsAllProcesses` is
 *   set; the reason of the signal
 */
export async function waitUntil(
  cluster: AwaitedCluster,
  problem: (status: ClusterStatus) => string | null,
  options: WaitOptions & { readonly needsAllProcesses?: boolean },
): Promise<ClusterStatus> {
  const { signal } = options;
  const deadlineMs = performance.now() + options.timeoutMs;
  let lastProblem = "no master responds";
  let fileSystem: FileSystem | null = null;
  try {
    while (performance.now() < deadlineMs) {
      signal?.throwIfAborted();
      if (options.needsAllProcesses === true) await requireAllRunning(cluster);
      try {
        fileSystem ??= await cluster.connect(STATUS_TIMEOUT_MS);
        const status = await fileSystem.status(signal === undefined ? {} : { signal });
        const found = problem(status);
        if (found === null) return status;
        lastProblem = found;
      } catch (error) {
        if (!isAshlarError(error)) throw error;
        lastProblem = error.message;
      }
      options.onWait?.(lastProblem);
      await sleep(POLL_MS);
    }
  } finally {
    await fileSystem?.[Symbol.asyncDispose]();
  }
  throw new AshlarError(
    "DEADLINE_EXCEEDED",
    `Cannot start ${namesOf(cluster)} in ${cluster.directory} within ${options.timeoutMs} ms: ${lastProblem}`,
    { hint: `ashlar cluster logs --dir ${shellWord(cluster.directory)}` },
  );
}

const namesOf = ({ nodes }: AwaitedCluster): string =>
  nodes.length === 1 ? (nodes[0]?.name ?? "") : "the cluster";

/** Returns the condition of a serving cluster that is not met. Null if all conditions are met. */
export function missingCondition(
  nodes: readonly LocalNode[],
  status: ClusterStatus,
): string | null {
  const expectedCount = nodes.filter((node) => node.role === "chunkserver").length;
  const live = status.chunkservers.filter((server) => server.state === "live").length;
  if (live < expectedCount) return `${live} of ${expectedCount} chunkservers are live`;
  const unreachable = status.masters.filter((master) => master.role === "unreachable").length;
  if (unreachable === 0) return null;
  return `no response from ${formatCount(unreachable, "master")}`;
}

/** Returns the condition of a new node that is not met. Null if the node serves. */
export function missingNode(
  { name, role, address }: LocalNode,
  status: ClusterStatus,
): string | null {
  if (role === "master") {
    const member = status.masters.find((each) => each.address === address);
    return member === undefined || member.role === "unreachable"
      ? `no response from ${name}`
      : null;
  }
  const server = status.chunkservers.find((each) => each.address === address);
  return server?.state === "live" ? null : `${name} is ${server?.state ?? "not registered"}`;
}
