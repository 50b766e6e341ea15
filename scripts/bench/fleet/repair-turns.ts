import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Registry } from "../../../master/fleet/registry.ts";
import { Repair } from "../../../master/fleet/repair.ts";
import type { AddReplicas } from "../../../master/namespace/command.ts";
import { encodeCommand } from "../../../master/namespace/command-encoding.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import type { LogIndex, Term } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { LmdbStores } from "../../../shared/platform/lmdb-store.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SystemRandom } from "../../../shared/platform/system-random.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { median } from "../../statistics.ts";
import type { BenchContext } from "../bench-context.ts";
import { atMost } from "../measurement.ts";
import type { PreparedState } from "./prepare-state.ts";
import { ThreadTimes } from "./thread-times.ts";

const suite = "fleet";
const TURN_MS_MAX = 20;
/** Pause between two turns of repair that has work, as in the leader. */
const PAUSE_MS = 50;
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
const UNFLUSHED_BYTES = 64 * 1024 * 1024;

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
 * Runs the repair of the large server in this process, on a copy of the prepared state, until no copy
 * is missing. Each ordered copy is recorded before the next turn. Reports the processor time of the turns.
 */
export async function measureRepairTurns(
  { work, report }: Pick<BenchContext, "work" | "report">,
  prepared: PreparedState,
): Promise<void> {
  const directory = join(work, "repair");
  await mkdir(join(directory, "state"), { recursive: true });
  await copyFile(prepared.path, join(directory, "state", "data.mdb"));
  const store = await new LmdbStores(directory).open("state");
  try {
    const { hasher } = createHasher();
    const fleet = new RepairedFleet(Namespace.open({ store, hasher }));
    const turns = await fleet.run();
    const unit = "CPU-ms";
    const bound = { unit, bound: TURN_MS_MAX };
    const [value, middle] = [turns.reduce((most, each) => Math.max(most, each), 0), median(turns)];
    report({ suite, name: "repair of the large server", value: fleet.copies, unit: "copies" });
    report({ suite, name: "repair of the large server", value: turns.length, unit: "turns" });
    report(atMost({ suite, name: "turn of repair, longest", value, ...bound }));
    report({ suite, name: "turn of repair, median", value: middle, unit });
  } finally {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** The servers of a state, of which the last one is silent, and the repair of its chunks. */
class RepairedFleet {
  copies = 0;
  readonly #namespace: Namespace;
  readonly #clock = new SteppedClock();
  readonly #registry: Registry;
  readonly #repair: Repair;
  readonly #servers: readonly ServerLocation[];

  constructor(namespace: Namespace) {
    const [clock, random] = [this.#clock, new SystemRandom()];
    this.#namespace = namespace;
    this.#registry = new Registry({ clock, random, times: TIMES });
    this.#repair = new Repair({ registry: this.#registry, clock, log: quietLog, limits: LIMITS });
    this.#servers = namespace.servers();
    this.#registry.beginTerm(1, () => this.#servers);
  }

  /** Repairs until no turn finds work. Resolves with the processor time of each turn in milliseconds. */
  async run(): Promise<number[]> {
    const times = new ThreadTimes();
    const turns: number[] = [];
    let heartbeatMs = Number.NEGATIVE_INFINITY;
    let isWorking = true;
    while (isWorking || this.#clock.monotonicMs() <= TIMES.deadMs) {
      if (this.#clock.monotonicMs() - heartbeatMs >= HEARTBEAT_MS) {
        heartbeatMs = this.#clock.monotonicMs();
        this.#beat();
      }
      times.lap();
      const isBusy = this.#repair.step(this.#namespace);
      turns.push(times.lap().cpuMs);
      const made = this.#recordCopies();
      isWorking = isBusy || made > 0;
      if (this.#namespace.unflushedBytes > UNFLUSHED_BYTES) await this.#namespace.flush();
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
      this.#addReplicas(items.slice(start, start + ITEMS_PER_ENTRY));
    }
    for (const { serverId, chunkId } of items) this.#repair.recordCopyResult(serverId, chunkId);
    this.copies += items.length;
    return items.length;
  }

  #addReplicas(items: AddReplicas["items"]): void {
    const index = (this.#namespace.appliedIndex + 1) as LogIndex;
    const data = encodeCommand({ kind: "add-replicas", items });
    this.#namespace.apply({ index, term: 1 as Term, data, membership: null });
  }
}
