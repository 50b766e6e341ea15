import type { ChildProcess } from "node:child_process";
import { AshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { withTimeout } from "../../../shared/wire/with-timeout.ts";
import { nodePaths } from "./layout.ts";
import { lastLinesOf } from "./node-log.ts";
import { runningPid } from "./node-process.ts";

const POLL_MS = 100;
/** Time for the exit event of a process that no longer runs. */
const EXIT_EVENT_TIMEOUT_MS = 1_000;
const LOG_LINES = 5;

const clock = new SystemClock();

/** How the processes ended that this command has started. */
export class NodeExits {
  readonly #exits = new Map<string, Promise<string>>();

  /** Records the exit of the process of the node `name`. */
  watch(name: string, child: Pick<ChildProcess, "once">): void {
    const exit = new Promise<string>((resolve) => {
      child.once("exit", (code, signal) => {
        resolve(signal === null ? `exited with status ${code}` : `was ended by ${signal}`);
      });
    });
    this.#exits.set(name, exit);
  }

  /**
   * Returns how the process of a node that does not run has ended: "exited with status 2". "exited" if
   * another command has started it.
   */
  async describe(name: string): Promise<string> {
    const exit = this.#exits.get(name);
    if (exit === undefined) return "exited";
    const timeout = { clock, timeoutMs: EXIT_EVENT_TIMEOUT_MS, what: `The exit of ${name}` };
    return withTimeout(exit, timeout).catch(() => "exited");
  }
}

/** The nodes that a command waits for. */
export interface AwaitedNodes {
  readonly directory: string;
  readonly nodes: readonly LocalNode[];
  readonly exits: NodeExits;
}

/** @throws {AshlarError} UNAVAILABLE with the end of the log of a node whose process does not run */
export async function requireAllRunning({ directory, nodes, exits }: AwaitedNodes): Promise<void> {
  for (const node of nodes) {
    if ((await runningPid(directory, node)) !== null) continue;
    const ended = await exits.describe(node.name);
    const tail = await lastLinesOf(nodePaths(directory, node.name).log, LOG_LINES);
    throw new AshlarError(
      "UNAVAILABLE",
      `${node.name} ${ended} while ${nodes.length === 1 ? "it" : "the cluster"} was starting; the end of its log:\n  ${tail.join("\n  ")}`,
      { hint: `ashlar cluster logs --dir ${shellWord(directory)} ${node.name}` },
    );
  }
}

/**
 * Runs `task`. Its signal aborts when the process of a node exits, or when `signal` aborts.
 *
 * @throws {AshlarError} UNAVAILABLE as `requireAllRunning`; what `task` throws
 */
export async function whileAllRun<Result>(
  awaited: AwaitedNodes,
  task: (signal: AbortSignal) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  const exited = new AbortController();
  const ended = new AbortController();
  const watching = watchNodes(awaited, ended.signal).catch((error) => exited.abort(error));
  const signals = signal === undefined ? [exited.signal] : [exited.signal, signal];
  try {
    return await task(AbortSignal.any(signals));
  } catch (error) {
    exited.signal.throwIfAborted();
    throw error;
  } finally {
    ended.abort();
    await watching;
  }
}

/** Checks the processes of the nodes until `signal` aborts. */
async function watchNodes(awaited: AwaitedNodes, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await requireAllRunning(awaited);
    await clock.sleep(POLL_MS, signal).catch(() => {}); // Aborted: the loop ends.
  }
}
