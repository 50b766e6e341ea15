import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";

const PROGRAM = fileURLToPath(new URL("./idle-process.js", import.meta.url));
/** Reset by each scrape. See `PrometheusMetrics.addProcessMetrics`. */
const LONGEST_GAP = "nodejs_eventloop_lag_max_seconds";

/**
 * The longest gaps between two runs of a timer of 10 ms in one phase, in seconds. A turn of the event
 * loop that lasts longer than 10 ms is a gap of at least its length.
 */
export interface Gaps {
  /** The longest gap of all masters: followers apply the same entries as the leader. */
  readonly masters: number;
  /** Of a process that does nothing: gaps that the scheduler of the machine causes. */
  readonly idle: number;
}

/** Measures the event loops of the masters and of an idle process. */
export class EventLoops implements AsyncDisposable {
  readonly #cluster: LocalCluster;
  readonly #idle: ChildProcess;

  constructor(cluster: LocalCluster) {
    this.#cluster = cluster;
    this.#idle = fork(PROGRAM);
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
    const [idle] = await answered;
    const masters = this.#cluster.nodes.filter(({ role }) => role === "master");
    const gaps = await Promise.all(masters.map(({ http }) => metricOf(http, LONGEST_GAP)));
    return { masters: Math.max(...gaps), idle };
  }
}

/** Scrapes one metric without labels from a node. */
async function metricOf(http: string, name: string): Promise<number> {
  const response = await fetch(`http://${http}/metrics`);
  const line = (await response.text()).split("\n").find((each) => each.startsWith(`${name} `));
  if (line === undefined) throw new Error(`http://${http}/metrics has no ${name}`);
  return Number(line.slice(name.length + 1));
}
