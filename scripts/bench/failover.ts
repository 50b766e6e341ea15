import { setTimeout as sleep } from "node:timers/promises";
import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { median } from "../statistics.ts";
import type { BenchContext } from "./bench-context.ts";
import { leaderNode } from "./leader-node.ts";
import { atMost } from "./measurement.ts";

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
  const writer = new Writer(bench);
  const running = writer.run();
  try {
    const killed = await gapsOf(bench, writer, { count: faults.kills, signal: "SIGKILL" });
    report(bench, { suite, name: `kill -9 of the leader${ofWhat}` }, killed);
    const stopped = await gapsOf(bench, writer, { count: faults.stops, signal: "SIGSTOP" });
    report(bench, { suite, name: `SIGSTOP of the leader${ofWhat}` }, stopped);
  } finally {
    writer.stop();
    await running;
  }
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
    const lostMs = performance.now();
    await cluster.kill(node.name, fault.signal);
    gaps.push((await writer.nextAfter(lostMs)) / 1000);
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
  await sleep(Math.max(0, lostMs + STOP_MS - performance.now()));
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

/** Creates one file after another until it is stopped. */
class Writer {
  readonly #bench: BenchContext;
  #isStopped = false;
  readonly #listeners = new Set<(startedMs: number) => void>();

  constructor(bench: BenchContext) {
    this.#bench = bench;
  }

  async run(): Promise<void> {
    const { fileSystem } = this.#bench;
    await fileSystem.mkdir(DIRECTORY);
    for (let number = 0; !this.#isStopped; number += 1) {
      const startedMs = performance.now();
      try {
        await fileSystem.create(`${DIRECTORY}/${number}`);
        for (const listener of this.#listeners) listener(startedMs);
      } catch (error) {
        // An election may take longer than the timeout of one call. The next call follows
        // immediately.
        if (!isAshlarError(error)) throw error;
      }
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  /**
   * Resolves with the ms from `lostMs` to the first acknowledged write that was started after it.
   */
  nextAfter(lostMs: number): Promise<number> {
    return new Promise((resolve) => {
      const listener = (startedMs: number): void => {
        if (startedMs < lostMs) return;
        this.#listeners.delete(listener);
        resolve(performance.now() - lostMs);
      };
      this.#listeners.add(listener);
    });
  }
}
