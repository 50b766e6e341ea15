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

  /**
   * Runs `phase`, and resolves with its result and the longest gaps. A master that `phase` starts is left
   * out: the start of a process is one long turn.
   */
  async during<Result>(
    phase: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly gaps: Gaps }> {
    const before = await this.#pids();
    await this.#read(before);
    const result = await phase();
    const after = await this.#pids();
    const gaps = await this.#read(before.filter((pid) => after.includes(pid)));
    return { result, gaps };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#idle, "exit");
    this.#idle.disconnect();
    await ended;
  }

  /** Returns the process ids of the running masters. */
  async #pids(): Promise<number[]> {
    const masters = this.#cluster.nodes.filter(({ role }) => role === "master");
    const pids = await Promise.all(
      masters.map((node) => runningPid(this.#cluster.directory, node)),
    );
    return pids.filter((pid) => pid !== null);
  }

  /** Returns the longest gaps since the last call. */
  async #read(pids: readonly number[]): Promise<Gaps> {
    const answered = once(this.#idle, "message");
    this.#idle.send("read");
    const [idleSeconds] = await answered;
    const turns = await Promise.all(pids.map((pid) => readTurns(this.#directory, pid)));
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
