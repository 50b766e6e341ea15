import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { runningPid } from "../../../client/cli/cluster/node-process.ts";
import { readTurns, TURN_SOCKETS, type TurnReport } from "./turn-sockets.ts";

const IDLE_PROGRAM = programPath("./idle-process.js");
const MONITOR = programPath("./turn-monitor.js");

/**
 * The longest gaps between two runs of a timer of 10 ms in one phase, in milliseconds. A turn of the
 * event loop that lasts longer than 10 ms is a gap of at least its length.
 */
export interface Gaps {
  /** The longest gap of all masters: followers apply the same entries as the leader. */
  readonly masters: TurnReport;
  /** Of a process that does nothing: gaps that the scheduler of the machine causes. */
  readonly idleMs: number;
}

/** Measures the event loops of the masters and of an idle process. */
export class EventLoops implements AsyncDisposable {
  readonly #cluster: LocalCluster;
  readonly #directory: string;
  readonly #idle: ChildProcess;

  /** @param directory that of `monitorTurns` */
  constructor(cluster: LocalCluster, directory: string) {
    this.#cluster = cluster;
    this.#directory = directory;
    this.#idle = fork(IDLE_PROGRAM);
  }

  /** Runs `phase`, and resolves with its result and the longest gaps. */
  async during<Result>(
    phase: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly gaps: Gaps }> {
    await this.#read();
    const result = await phase();
    return { result, gaps: await this.#read() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#idle, "exit");
    this.#idle.disconnect();
    await ended;
  }

  /** Returns the longest gaps since the last call. */
  async #read(): Promise<Gaps> {
    const answered = once(this.#idle, "message");
    this.#idle.send("read");
    const [idleSeconds] = await answered;
    const masters = this.#cluster.nodes.filter(({ role }) => role === "master");
    const pids = await Promise.all(
      masters.map((node) => runningPid(this.#cluster.directory, node)),
    );
    const running = pids.filter((pid) => pid !== null);
    const turns = await Promise.all(running.map((pid) => readTurns(this.#directory, pid)));
    const longest = (field: keyof TurnReport): number =>
      Math.max(...turns.map((each) => each[field]));
    return {
      masters: { wallMs: longest("wallMs"), cpuMs: longest("cpuMs") },
      idleMs: idleSeconds * 1_000,
    };
  }
}

/**
 * Loads the turn monitor into each master that this process starts from now on.
 *
 * @param directory for the sockets of the monitors
 */
export function monitorTurns(directory: string): void {
  const others = process.env["NODE_OPTIONS"] ?? "";
  process.env["NODE_OPTIONS"] = `${others} --import ${pathToFileURL(MONITOR).href}`.trim();
  process.env[TURN_SOCKETS] = directory;
}

function programPath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
