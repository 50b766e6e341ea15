import assert from "node:assert/strict";
import { Registry } from "../../../master/fleet/registry.ts";
import { Repair, type RepairLimits } from "../../../master/fleet/repair.ts";
import type { RepairChunk, RepairState } from "../../../master/fleet-view.ts";
import type { ChunkId, LogIndex, ServerId } from "../../../shared/base/ids.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
const TIMES = {
  suspectMs: 2_000,
  deadMs: 10_000,
  repairDelayMs: 20_000,
  repairDelayStoppedMs: 600_000,
};
/** A busy leader makes about 60. */
const STEPS_PER_SECOND = 12;
const SILENT_LOG = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => SILENT_LOG,
};

export function serverId(number: number): ServerId {
  return number.toString(16).padStart(32, "0") as ServerId;
}

function location(number: number): ServerLocation {
  const [host, address] = [`host-${number}`, `127.0.0.1:${number}`];
  return { serverId: serverId(number), address, host, rack: "default" };
}

export function chunkId(number: number): ChunkId {
  return number.toString(16).padStart(64, "0") as ChunkId;
}

interface RecordedChunk {
  readonly copiesWanted: number;
  readonly lengthBytes: number;
  readonly servers: Set<number>;
}

/**
 * The replicated state: chunks and the servers of their recorded replicas. Counts the rows and chunks
 * that are read.
 */
export class RecordedChunks implements RepairState {
  readonly appliedIndex = 7 as LogIndex;
  rowsRead = 0;
  readonly #chunks = new Map<ChunkId, RecordedChunk>();
  #sorted: ChunkId[] | null = null;
  #changes: Map<ChunkId, RepairChunk> | null = new Map();

  add(
    number: number,
    servers: readonly number[],
    { copiesWanted = 3, lengthBytes = 1_000 } = {},
  ): void {
    this.#chunks.set(chunkId(number), { copiesWanted, lengthBytes, servers: new Set(servers) });
    this.#sorted = null;
    this.#noteChange(chunkId(number));
  }

  record(id: ChunkId, number: number): void {
    this.#chunks.get(id)?.servers.add(number);
    this.#noteChange(id);
  }

  /** Loses the changes that `takeReplicaChanges` has not returned yet, as after too many. */
  overflow(): void {
    this.#changes = null;
  }

  chunk(id: ChunkId): RepairChunk | undefined {
    this.rowsRead += 1;
    return this.#recorded(id);
  }

  chunksOfServer(server: ServerId, after: ChunkId | null, limit: number): ChunkId[] {
    const number = Number.parseInt(server, 16);
    return this.#page(after, limit, (chunk) => chunk.servers.has(number));
  }

  underReplicated(after: ChunkId | null, limit: number): ChunkId[] {
    return this.#page(after, limit, (chunk) => chunk.servers.size < chunk.copiesWanted);
  }

  takeReplicaChanges(limit = Number.POSITIVE_INFINITY): ReadonlyMap<ChunkId, RepairChunk> | null {
    const changes = this.#changes;
    this.#changes = new Map([...(changes ?? [])].slice(limit));
    return changes === null ? null : new Map([...changes].slice(0, limit));
  }

  #noteChange(id: ChunkId): void {
    const chunk = this.#recorded(id);
    if (chunk !== undefined) this.#changes?.set(id, chunk);
  }

  #recorded(id: ChunkId): RepairChunk | undefined {
    const chunk = this.#chunks.get(id);
    if (chunk === undefined) return undefined;
    const replicas = [...chunk.servers].map((number) => ({ serverId: serverId(number) }));
    return { lengthBytes: chunk.lengthBytes, copiesWanted: chunk.copiesWanted, replicas };
  }

  #page(
    after: ChunkId | null,
    limit: number,
    isWanted: (chunk: RecordedChunk) => boolean,
  ): ChunkId[] {
    this.#sorted ??= [...this.#chunks.keys()].sort();
    const page: ChunkId[] = [];
    for (let index = this.#indexAfter(after); index < this.#sorted.length; index += 1) {
      if (page.length === limit) break;
      const id = this.#sorted[index] as ChunkId;
      if (isWanted(this.#chunks.get(id) as RecordedChunk)) page.push(id);
    }
    this.rowsRead += page.length;
    return page;
  }

  /** Returns the position of the first id after `after`. */
  #indexAfter(after: ChunkId | null): number {
    const sorted = this.#sorted ?? [];
    let [low, high] = [0, after === null ? 0 : sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as ChunkId) <= (after as ChunkId)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The repair of a leader over servers 1 to `serverCount`, on a virtual clock. */
export class RepairFixture {
  readonly clock = new VirtualClock();
  readonly state = new RecordedChunks();
  readonly registry = new Registry({
    clock: this.clock,
    random: new SeededRandom(1),
    times: TIMES,
  });
  readonly repair: Repair;
  /** The largest number of rows that one step of `pass` has read. */
  stepRowsMax = 0;
  readonly #silent = new Set<number>();
  readonly #failedDisks = new Set<number>();
  #serverCount: number;

  constructor(serverCount: number, limits: Partial<RepairLimits> = {}) {
    this.#serverCount = serverCount;
    this.repair = new Repair({
      registry: this.registry,
      clock: this.clock,
      log: SILENT_LOG,
      limits: {
        copiesPerTarget: 4,
        copiesTotal: 64,
        orderTimeoutMs: 60_000,
        massLossShare: 0.5,
        racksMin: 1,
        ...limits,
      },
    });
    this.#contactLive();
  }

  silence(...numbers: number[]): void {
    for (const number of numbers) this.#silent.add(number);
  }

  revive(number: number): void {
    this.#silent.delete(number);
  }

  /** Adds a server with the next number. */
  addServer(): number {
    this.#serverCount += 1;
    this.#contactLive();
    return this.#serverCount;
  }

  failDisk(number: number): void {
    this.#failedDisks.add(number);
    this.#contactLive();
  }

  /** Becomes the leader of another term, which knows the recorded servers only. */
  startTerm(term: number): void {
    this.registry.beginTerm(term, () => this.#numbers().map(location));
    this.repair.reset();
  }

  /**
   * Advances the clock by `durationMs`. Each second all servers that are not silent send messages, and a
   * step follows, with up to eleven more while there is work.
   */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 1_000) {
      await this.clock.advance(1_000);
      this.#contactLive();
      for (let steps = 0; steps < STEPS_PER_SECOND && this.#step(); steps += 1);
    }
  }

  /** @returns whether the next step has work to do already */
  #step(): boolean {
    const rowsBefore = this.state.rowsRead;
    const isBusy = this.repair.step(this.state);
    this.stepRowsMax = Math.max(this.stepRowsMax, this.state.rowsRead - rowsBefore);
    return isBusy;
  }

  /** Returns the pending orders. */
  orders(): Array<{ target: number; chunkId: ChunkId; sources: number[] }> {
    return this.#numbers().flatMap((target) =>
      this.repair.ordersFor(serverId(target)).map((order) => {
        assert.ok(order.kind === "copy");
        const sources = order.sources.map((source) => Number(source.address.split(":")[1]));
        return { target, chunkId: order.chunkId, sources };
      }),
    );
  }

  finish(target: number, id: ChunkId): void {
    this.state.record(id, target);
    this.repair.recordCopyResult(serverId(target), id);
  }

  /** Completes all pending orders. @returns their number */
  finishAll(): number {
    const orders = this.orders();
    for (const order of orders) this.finish(order.target, order.chunkId);
    return orders.length;
  }

  #numbers(): number[] {
    return Array.from({ length: this.#serverCount }, (_, index) => index + 1);
  }

  #contactLive(): void {
    for (const number of this.#numbers()) {
      if (this.#silent.has(number)) continue;
      this.registry.recordRegistration(location(number), SPACE);
      this.registry.recordHeartbeat({
        serverId: serverId(number),
        space: SPACE,
        isDiskFailed: this.#failedDisks.has(number),
        ...{ chunkCount: 0, activeWrites: 0 },
        ...{ copied: [], copyFailed: [], lost: [], purged: [] },
      });
    }
  }
}
