import { Registry } from "../../../master/fleet/registry.ts";
import { Repair } from "../../../master/fleet/repair.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { quantile } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import { atMost } from "../measurement.ts";
import { EntryWriter } from "./entry-writer.ts";
import { ThreadTimes } from "./thread-times.ts";

const suite = "fleet";
const TURN_MS_MAX = 20;
/** Pause between two turns of repair that has work, as in the leader. */
const PAUSE_MS = 10;
const HEARTBEAT_MS = 500;
const TIMES = {
  suspectMs: 2_000,
  deadMs: 10_000,
  repairDelayMs: 0,
  repairDelayStoppedMs: 30 * 60 * 1_000,
};
const LIMITS = {
  copiesPerTarget: 4,
  copiesTotal: 1_024,
  orderTimeoutMs: 120_000,
  massLossShare: 0.5,
  racksMin: 2,
};
const SPACE = { totalBytes: 8e12, availableBytes: 4e12, usedBytes: 4e12 };
const HEARTBEAT = {
  space: SPACE,
  isDiskFailed: false,
  chunkCount: 0,
  activeWrites: 0,
  copied: [],
  copyFailed: [],
  lost: [],
  purged: [],
};
const ITEMS_PER_ENTRY = 400;
/** Turns with work. Their costs do not depend on how much is repaired already. */
const TURNS_MAX = 1_000;

/** A clock that stands still, except for `pass`. */
class SteppedClock extends SystemClock {
  #nowMs = 0;

  override monotonicMs(): number {
    return this.#nowMs;
  }

  pass(durationMs: number): void {
    this.#nowMs += durationMs;
  }
}

/**
 * Runs the repair of the large server in this process, on a prepared state, for up to TURNS_MAX turns. Each ordered copy is recorded before the next turn. Reports the processor time of the turns.
 */
export async function measureRepairTurns(
  { report }: Pick<BenchContext, "report">,
  namespace: Namespace,
): Promise<void> {
  const fleet = new RepairedFleet(namespace);
  const turns = await fleet.run();
  const unit = "CPU-ms";
  const bound = { unit, bound: TURN_MS_MAX };
  const value = turns.reduce((most, each) => Math.max(most, each), 0);
  report({ suite, name: "repair of the large server", value: fleet.copies, unit: "copies" });
  report({ suite, name: "repair of the large server, turns", value: turns.length, unit: "turns" });
  report(atMost({ suite, name: "turn of repair, longest", value, ...bound }));
  const value99 = quantile(turns, 0.99);
  report({ suite, name: "turn of repair, 99th percentile", value: value99, unit });
  const mean = turns.reduce((sum, each) => sum + each, 0) / turns.length;
  report({ suite, name: "turn of repair, mean", value: mean, unit });
}

/** The servers of a state, of which the last one is silent, and the repair of its chunks. */
class RepairedFleet {
  copies = 0;
  readonly #namespace: Namespace;
  readonly #writer: EntryWriter;
  readonly #clock = new SteppedClock();
  readonly #registry: Registry;
  readonly #repair: Repair;
  readonly #servers: readonly ServerLocation[];

  constructor(namespace: Namespace) {
    const [clock, random] = [this.#clock, new SystemRandom()];
    this.#namespace = namespace;
    this.#writer = new EntryWriter(namespace);
    this.#registry = new Registry({ clock, random, times: TIMES });
    this.#repair = new Repair({ registry: this.#registry, clock, log: quietLog, limits: LIMITS });
    this.#servers = namespace.servers();
    this.#registry.beginTerm(1, () => this.#servers);
  }

  /** Repairs. Resolves with the processor time of each turn with work, in milliseconds. */
  async run(): Promise<number[]> {
    const times = new ThreadTimes();
    const turns: number[] = [];
    let heartbeatMs = Number.NEGATIVE_INFINITY;
    let isWorking = true;
    while (
      turns.length < TURNS_MAX &&
      (isWorking || this.#clock.monotonicMs() < TIMES.deadMs + HEARTBEAT_MS)
    ) {
      if (this.#clock.monotonicMs() - heartbeatMs >= HEARTBEAT_MS) {
        heartbeatMs = this.#clock.monotonicMs();
        this.#beat();
      }
      times.lap();
      const isBusy = this.#repair.step(this.#namespace);
      const { cpuMs } = times.lap();
      isWorking = this.#recordCopies() > 0 || isBusy;
      if (isWorking) turns.push(cpuMs);
      await this.#writer.flushMany();
      this.#clock.pass(PAUSE_MS);
    }
    return turns;
  }

  /** The silent server registers once: it was there until now. */
  #beat(): void {
    if (this.#clock.monotonicMs() === 0) {
      for (const location of this.#servers) this.#registry.recordRegistration(location, SPACE);
    }
    for (const { serverId } of this.#servers.slice(0, -1)) {
      this.#registry.recordHeartbeat({ ...HEARTBEAT, serverId });
    }
  }

  /** Records all ordered copies. @returns their number */
  #recordCopies(): number {
    const items = this.#servers.flatMap(({ serverId }) =>
      this.#repair.ordersFor(serverId).flatMap((order) => {
        if (order.kind !== "copy") return [];
        return [{ chunkId: order.chunkId, serverId, intentIndex: order.intentIndex }];
      }),
    );
    for (let start = 0; start < items.length; start += ITEMS_PER_ENTRY) {
      const some = items.slice(start, start + ITEMS_PER_ENTRY);
      this.#writer.apply({ kind: "add-replicas", items: some });
    }
    for (const { serverId, chunkId } of items) this.#repair.recordCopyResult(serverId, chunkId);
    this.copies += items.length;
    return items.length;
  }
}
