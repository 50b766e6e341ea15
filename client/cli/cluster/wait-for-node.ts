import { AshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { type AwaitedNodes, requireAllRunning } from "./exited-node.ts";
import { runningPid } from "./node-process.ts";
import type { WaitOptions } from "./wait-until.ts";

const POLL_MS = 100;
/** Timeout of one poll. */
const READY_TIMEOUT_MS = 2_000;

const clock = new SystemClock();

/** Why a node does not serve. */
type NotReady =
  /** It does not listen yet. */
  | { readonly kind: "silent"; readonly reason: string }
  /** It listens, and states the reason. */
  | { readonly kind: "answered"; readonly reason: string }
  /** It was removed from the cluster, so that it serves never again. */
  | { readonly kind: "removed"; readonly reason: string };

/**
 * Waits until a node that was started serves: a master knows a leader, a chunkserver is registered. Asks
 * the process itself (`/readyz`), because the masters can take some seconds to notice a restart.
 *
 * @param all the nodes of the cluster
 * @returns null if the node serves; otherwise why it cannot until other nodes are started
 * @throws {AshlarError} UNAVAILABLE if the process exits; MASTER_REMOVED; DEADLINE_EXCEEDED with the reason of the node; the
 *   reason of the signal
 */
export async function waitForNode(
  node: LocalNode,
  { all, timeoutMs, signal, onWait, ...awaited }: AwaitedNode & WaitOptions,
): Promise<string | null> {
  const { directory } = awaited;
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    await requireAllRunning({ ...awaited, nodes: [node] });
    const found = await notReady(node, signal);
    if (found === null) return null;
    if (found.kind === "removed") throw removed(node, directory);
    const missing = found.kind === "answered" ? await missingMasters(directory, all) : null;
    if (missing !== null) return missing;
    if (performance.now() > deadlineMs) {
      throw new AshlarError(
        "DEADLINE_EXCEEDED",
        `Cannot start ${node.name} in ${directory} within ${timeoutMs} ms: ${found.reason}; its process keeps running`,
        { hint: `ashlar cluster logs --dir ${shellWord(directory)} ${node.name}` },
      );
    }
    onWait?.(found.reason);
    await clock.sleep(POLL_MS);
  }
}

interface AwaitedNode extends Omit<AwaitedNodes, "nodes"> {
  readonly all: readonly LocalNode[];
}

function removed({ name }: LocalNode, directory: string): AshlarError {
  return new AshlarError(
    "MASTER_REMOVED",
    `Cannot start ${name} in ${directory}: it was removed from the cluster; its process keeps running`,
    { hint: `To stop it: ashlar cluster kill --dir ${shellWord(directory)} ${name}` },
  );
}

/** Asks a node whether it serves. Null if it does. */
async function notReady({ http }: LocalNode, signal?: AbortSignal): Promise<NotReady | null> {
  const late = new AbortController();
  const timer = clock.after(READY_TIMEOUT_MS, () => late.abort());
  try {
    const response = await fetch(`http://${http}/readyz`, {
      signal: signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]),
    });
    const body = (await response.json()) as { readonly reason?: unknown; readonly code?: unknown };
    if (response.ok) return null;
    const reason = String(body.reason ?? `status ${response.status}`);
    return { kind: body.code === "MASTER_REMOVED" ? "removed" : "answered", reason };
  } catch {
    return { kind: "silent", reason: `no answer at http://${http}/readyz` };
  } finally {
    timer.cancel();
  }
}

/** Returns which masters do not run, if the others are no majority. Null if they are. */
async function missingMasters(
  directory: string,
  all: readonly LocalNode[],
): Promise<string | null> {
  const masters = all.filter(({ role }) => role === "master");
  const pids = await Promise.all(masters.map((master) => runningPid(directory, master)));
  const missing = masters.filter((_, position) => pids[position] === null);
  if ((masters.length - missing.length) * 2 > masters.length) return null;
  const names = missing.map(({ name }) => name).join(", ");
  return `the masters have no majority: ${names} ${missing.length === 1 ? "does" : "do"} not run`;
}
