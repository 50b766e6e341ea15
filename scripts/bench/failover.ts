import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { median } from "../statistics.ts";
import type { BenchContext } from "./bench-context.ts";
import type { Acknowledged } from "./failover-writer.ts";
import { leaderNode } from "./leader-node.ts";
import { atMost } from "./measurement.ts";

const WRITER_PROGRAM = fileURLToPath(new URL("./failover-writer.js", import.meta.url));
/** Faults of the suite `failover`. */
const FAULTS = { kills: 50, stops: 20 };
/** Time for which a leader is stopped: longer than the other members need to elect a new leader. */
const STOP_MS = 4_000;
/** Result of etcd 3.4.23 on this kind of machine, three members, 12 kills. */
const ETCD = { medianSeconds: 1.22, worstSeconds: 2.62 };
const BOUNDS = { medianSeconds: 1.0, worstSeconds: 2.5 };
const DIRECTORY = "/failover";

/** Which failover is measured. */
interface Losses {
  readonly suite: string;
  /** Names the cluster in the report: " of an empty cluster". Empty: the only one. */
  readonly ofWhat?: string;
  readonly faults: typeof FAULTS;
}

/**
 * Measures the time from the loss of the leader to the next acknowledged write, for a client that
 * writes without a pause. Only a write that was started after the loss counts.
 */
export function measureFailover(bench: BenchContext): Promise<void> {
  return measureLosses(bench, { suite: "failover", faults: FAULTS });
}

/** Measures the failover as a part of a suite. */
export async function measureLosses(
  bench: BenchContext,
  { suite, ofWhat = "", faults }: Losses,
): Promise<void> {
  await using writer = await Writer.start(bench.cluster);
  const killed = await gapsOf(bench, writer, { count: faults.kills, signal: "SIGKILL" });
  report(bench, { suite, name: `kill -9 of the leader${ofWhat}` }, killed);
  const stopped = await gapsOf(bench, writer, { count: faults.stops, signal: "SIGSTOP" });
  report(bench, { suite, name: `SIGSTOP of the leader${ofWhat}` }, stopped);
}

async function gapsOf(
  bench: BenchContext,
  writer: Writer,
  fault: { readonly count: number; readonly signal: "SIGKILL" | "SIGSTOP" },
): Promise<number[]> {
  const { cluster } = bench;
  const gaps: number[] = [];
  for (let round = 0; round < fault.count; round += 1) {
    const { node } = await leaderNode(cluster);
    await sleep(300); // Varies the moment of the fault relative to the recovery before it.
    const lostMs = performance.timeOrigin + performance.now();
    // The first write after the loss may be acknowledged before the killed process is gone.
    const next = writer.nextAfter(lostMs);
    await cluster.kill(node.name, fault.signal);
    gaps.push((await next) / 1000);
    await recover(cluster, node.name, { signal: fault.signal, lostMs });
  }
  return gaps;
}

async function recover(
  cluster: LocalCluster,
  name: string,
  { signal, lostMs }: { readonly signal: "SIGKILL" | "SIGSTOP"; readonly lostMs: number },
): Promise<void> {
  if (signal === "SIGKILL") {
    await cluster.start(name);
    return;
  }
  await sleep(Math.max(0, lostMs + STOP_MS - performance.timeOrigin - performance.now()));
  await cluster.kill(name, "SIGCONT");
}

function report(
  bench: BenchContext,
  { suite, name }: { readonly suite: string; readonly name: string },
  gaps: readonly number[],
): void {
  const figures = { median: median(gaps), worst: Math.max(...gaps) };
  for (const which of ["median", "worst"] as const) {
    const value = figures[which];
    const peer = { name: "etcd", value: ETCD[`${which}Seconds`] };
    const ratio = value / peer.value;
    const full = `${name}, ${which} of ${gaps.length}`;
    const bound = BOUNDS[`${which}Seconds`];
    bench.report(atMost({ suite, name: full, value, unit: "s", bound, peer, ratio }));
  }
}

/** A process that creates one file after another: see failover-writer.ts. */
class Writer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #listeners = new Set<(create: Acknowledged) => void>();

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (create: Acknowledged) => {
      for (const listener of this.#listeners) listener(create);
    });
  }

  /** Resolves when the first create is acknowledged. */
  static async start({ masters, clusterId }: LocalCluster): Promise<Writer> {
    const child = fork(WRITER_PROGRAM, [clusterId, DIRECTORY, ...masters]);
    const writer = new Writer(child);
    await once(child, "message");
    return writer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.disconnect();
    await ended;
  }

  /**
   * Resolves with the ms from `lostMs` to the first acknowledged write that was started after it.
   *
   * @param lostMs as `performance.timeOrigin + performance.now()`
   */
  nextAfter(lostMs: number): Promise<number> {
    return new Promise((resolve) => {
      const listener = ({ startedMs, endedMs }: Acknowledged): void => {
        if (startedMs < lostMs) return;
        this.#listeners.delete(listener);
        resolve(endedMs - lostMs);
      };
      this.#listeners.add(listener);
    });
  }
}
