import { setTimeout as sleep } from "node:timers/promises";
import type { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { atMost, type Bench } from "./measurement.ts";

const KILLS = 50;
const STOPS = 20;
/** How long a stopped leader stands still: longer than the others need to elect another one. */
const STOP_MS = 4_000;
const SETTLE_TIMEOUT_MS = 60_000;
/** etcd 3.4.23 on this kind of machine, three members, 12 kills. */
const ETCD = { medianSeconds: 1.22, worstSeconds: 2.62 };
const BOUNDS = { medianSeconds: 1.0, worstSeconds: 2.5 };

/**
 * From the loss of the leader to the next acknowledged write, seen by a client that writes without
 * a pause. Only a write that was begun after the loss counts.
 */
export async function measureFailover(bench: Bench): Promise<void> {
  const writer = new Writer(bench);
  const running = writer.run();
  try {
    const killed = await gapsOf(bench, writer, { count: KILLS, signal: "SIGKILL" });
    report(bench, "kill -9 of the leader", killed);
    const stopped = await gapsOf(bench, writer, { count: STOPS, signal: "SIGSTOP" });
    report(bench, "SIGSTOP of the leader", stopped);
  } finally {
    writer.stop();
    await running;
  }
}

async function gapsOf(
  bench: Bench,
  writer: Writer,
  fault: { readonly count: number; readonly signal: "SIGKILL" | "SIGSTOP" },
): Promise<number[]> {
  const { cluster } = bench;
  const gaps: number[] = [];
  for (let round = 0; round < fault.count; round += 1) {
    const { masters } = await cluster.waitUntilServing(SETTLE_TIMEOUT_MS);
    const leader = masters.find((master) => master.role === "leader");
    const node = cluster.nodes.find((each) => each.address === leader?.address);
    if (node === undefined) throw new Error("A cluster that serves has a leader");
    await sleep(300); // Not always at the same point of what follows a recovery.
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

function report(bench: Bench, name: string, gaps: readonly number[]): void {
  const suite = "failover";
  const sorted = gaps.toSorted((left, right) => left - right);
  const figures = {
    median: sorted[Math.floor(sorted.length / 2)] as number,
    worst: sorted.at(-1) as number,
  };
  for (const which of ["median", "worst"] as const) {
    const value = figures[which];
    const peer = { name: "etcd", value: ETCD[`${which}Seconds`] };
    const ratio = value / peer.value;
    const full = `${name}, ${which} of ${gaps.length}`;
    const bound = BOUNDS[`${which}Seconds`];
    bench.report(atMost({ suite, name: full, value, unit: "s", bound, peer, ratio }));
  }
}

/** Makes files one after the other for as long as it runs. */
class Writer {
  readonly #bench: Bench;
  #isStopped = false;
  readonly #waiting = new Set<(startedMs: number) => void>();

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  async run(): Promise<void> {
    const { fileSystem } = this.#bench;
    await fileSystem.mkdir("/failover");
    for (let number = 0; !this.#isStopped; number += 1) {
      const startedMs = performance.now();
      try {
        await fileSystem.create(`/failover/${number}`);
        for (const tell of this.#waiting) tell(startedMs);
      } catch (error) {
        // It may take longer than one call's patience; the next one follows at once.
        if (!isAshlarError(error)) throw error;
      }
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Resolves when a write was acknowledged that began after `lostMs`: how long after it, in ms. */
  nextAfter(lostMs: number): Promise<number> {
    return new Promise((resolve) => {
      const tell = (startedMs: number): void => {
        if (startedMs < lostMs) return;
        this.#waiting.delete(tell);
        resolve(performance.now() - lostMs);
      };
      this.#waiting.add(tell);
    });
  }
}
