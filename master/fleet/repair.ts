import { assert } from "../../shared/base/assert.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { RepairState, RepairView } from "../fleet-view.ts";
import { isMassLoss } from "../placement/liveness.ts";
import { copiesMissing, type UnderReplicatedChunk } from "../placement/plan-repair.ts";
import type { Registry } from "./registry.ts";

/** Limits of repair. */
export interface RepairLimits {
  /** Maximum number of copies that one server makes at the same time. */
  readonly copiesPerTarget: number;
  /** Maximum number of copies in progress in the whole cluster. */
  readonly copiesTotal: number;
  /** A copy that is not reported within this time is ordered from another server. */
  readonly orderTimeoutMs: number;
  /** Share of dead servers above which repair halts until an operator intervenes. */
  readonly massLossShare: number;
  /** Number of racks that the replicas of a chunk should span. */
  readonly racksMin: number;
}

/** A copy that was ordered and not reported yet. */
interface CopyInProgress {
  readonly order: Order & { readonly kind: "copy" };
  readonly target: ServerId;
  readonly orderedMs: number;
}

/** Maximum number of chunks in one scan step. Limits how long a step holds the event loop. */
const SCAN_PER_STEP = 2_000;
/** Maximum number of waiting chunks in memory. A later scan finds the others. */
const WAITING_MAX = 100_000;

/**
 * Restores the replica count of under-replicated chunks, those with the fewest live replicas first.
 *
 * Soft state of the leader: a new leader rebuilds it by scanning the replicated state. Repair only
 * adds replicas. The old replica stays recorded until its server reports that it is lost, so repair
 * cannot destroy the last good replica.
 */
export class Repair implements RepairView {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: RepairLimits;
  readonly #inProgress = new Map<string, CopyInProgress>();
  /**
   * Under-replicated chunks by their number of live replicas. Those at 0 cannot be repaired now.
   */
  #waiting: Set<ChunkId>[] = [];
  /** Scan position of each unavailable server. "done" until the server is available again. */
  readonly #scans = new Map<ServerId, ChunkId | null | "done">();
  /** Scan position in the under-replicated chunks. Null at the beginning. */
  #underReplicatedAfter: ChunkId | null = null;
  #isHalted = false;

  constructor(options: {
    readonly registry: Registry;
    readonly clock: Clock;
    readonly log: Log;
    readonly limits: RepairLimits;
  }) {
    this.#registry = options.registry;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#limits = options.limits;
  }

  /**
   * Drops all soft state at the start of a term. Orders of the old leader time out or are reported.
   */
  reset(): void {
    this.#inProgress.clear();
    this.#waiting = [];
    this.#scans.clear();
    this.#underReplicatedAfter = null;
    this.#isHalted = false;
  }

  /** Number of chunks known to be under-replicated, and of those without a live replica. */
  get counts(): { readonly underReplicated: number; readonly lost: number } {
    return { underReplicated: this.#waitingCount(), lost: this.#waiting[0]?.size ?? 0 };
  }

  get isScanComplete(): boolean {
    return this.#registry.servers().every(({ location: { serverId } }) => {
      return this.#registry.isAvailable(serverId) || this.#scans.get(serverId) === "done";
    });
  }

  get isHalted(): boolean {
    return this.#isHalted;
  }

  /**
   * Scans for under-replicated chunks, and orders copies within the limits. Called several times a
   * second.
   */
  step(state: RepairState): void {
    this.#updateHalted();
    this.#expireOrders();
    this.#scanSilentServers(state);
    this.#scanUnderReplicated(state);
    this.#reclassifyWaiting(state);
    if (!this.#isHalted) this.#order(state);
  }

  /**
   * Returns the copies that `serverId` must make. Sent with each heartbeat answer until reported.
   */
  ordersFor(serverId: ServerId): Order[] {
    const orders: Order[] = [];
    for (const copy of this.#inProgress.values()) {
      if (copy.target === serverId) orders.push(copy.order);
    }
    return orders;
  }

  /**
   * Records that the target made the copy or failed to make it. The caller proposes the entry that
   * records a new replica.
   */
  recordCopyResult(serverId: ServerId, chunkId: ChunkId): void {
    this.#inProgress.delete(copyKey(serverId, chunkId));
  }

  adoptCopy(state: RepairState, serverId: ServerId, chunkId: ChunkId): boolean {
    const chunk = this.#underReplicatedChunk(state, chunkId);
    if (chunk === null || copiesMissing(chunk) === 0) return false;
    const target = this.#registry.location(serverId);
    const isRoom = this.#inProgress.size < this.#limits.copiesTotal;
    const isNew = !chunk.holders.has(serverId) && !this.#inProgress.has(copyKey(serverId, chunkId));
    if (target !== undefined && isRoom && isNew) this.#orderCopy(state, chunk, target);
    return true;
  }

  /** Halts repair while too many servers are dead, and resumes it afterwards. */
  #updateHalted(): void {
    const all = this.#registry.servers();
    const dead = all.filter(
      (facts) => this.#registry.liveness(facts.location.serverId) === "dead",
    ).length;
    const isHalted = isMassLoss(dead, all.length, this.#limits.massLossShare);
    if (isHalted && !this.#isHalted) {
      this.#log.error("Many chunkservers are dead: repair is halted", {
        dead,
        servers: all.length,
      });
    }
    this.#isHalted = isHalted;
  }

  #expireOrders(): void {
    const oldestMs = this.#clock.monotonicMs() - this.#limits.orderTimeoutMs;
    for (const [key, copy] of this.#inProgress) {
      const isLate = copy.orderedMs < oldestMs;
      if (isLate || !this.#registry.isAvailable(copy.target)) this.#inProgress.delete(key);
    }
  }

  #scanSilentServers(state: RepairState): void {
    for (const { location } of this.#registry.servers()) {
      const { serverId } = location;
      if (this.#registry.isAvailable(serverId)) {
        this.#scans.delete(serverId);
        continue;
      }
      const after = this.#scans.get(serverId) ?? null;
      if (after === "done" || !this.#hasRoom()) continue;
      const page = state.chunksOfServer(serverId, after, SCAN_PER_STEP);
      for (const chunkId of page) this.#classify(state, chunkId);
      this.#scans.set(serverId, page.length < SCAN_PER_STEP ? "done" : (page.at(-1) as ChunkId));
    }
  }

  #scanUnderReplicated(state: RepairState): void {
    if (!this.#hasRoom()) return;
    const page = state.underReplicated(this.#underReplicatedAfter, SCAN_PER_STEP);
    for (const chunkId of page) this.#classify(state, chunkId);
    this.#underReplicatedAfter = page.length < SCAN_PER_STEP ? null : (page.at(-1) as ChunkId);
  }

  /** Classifies waiting chunks again, because their number of live replicas may have changed. */
  #reclassifyWaiting(state: RepairState): void {
    // Starts with the oldest chunks of each class: classifying a chunk moves it to the end.
    for (const chunks of [...this.#waiting]) {
      for (const chunkId of firstOf(chunks, SCAN_PER_STEP)) this.#classify(state, chunkId);
    }
  }

  /** Puts the chunk into the class of its number of live replicas, or drops it. */
  #classify(state: RepairState, chunkId: ChunkId): void {
    for (const chunks of this.#waiting) chunks.delete(chunkId);
    const chunk = this.#underReplicatedChunk(state, chunkId);
    if (chunk === null || copiesMissing(chunk) === 0) return;
    const left = chunk.liveHolders.length;
    for (let copies = this.#waiting.length; copies <= left; copies += 1) {
      this.#waiting.push(new Set());
    }
    this.#waiting[left]?.add(chunkId);
  }

  /**
   * Returns the chunk with the live servers of its replicas. Null if the chunk no longer exists.
   */
  #underReplicatedChunk(state: RepairState, chunkId: ChunkId): UnderReplicatedChunk | null {
    const chunk = state.chunk(chunkId);
    if (chunk === undefined) return null;
    const holders = new Set(chunk.replicas.map((replica) => replica.serverId));
    const liveHolders: ServerLocation[] = [];
    for (const serverId of holders) {
      const location = this.#registry.location(serverId);
      if (location !== undefined && this.#registry.isAvailable(serverId))
        liveHolders.push(location);
    }
    const { lengthBytes, copiesWanted } = chunk;
    return { chunkId, lengthBytes, copiesWanted, liveHolders, holders };
  }

  #order(state: RepairState): void {
    // Starts at 1, because a chunk without a live replica cannot be copied.
    for (let left = 1; left < this.#waiting.length; left += 1) {
      for (const chunkId of this.#waiting[left] ?? []) {
        if (this.#inProgress.size >= this.#limits.copiesTotal) return;
        this.#orderCopies(state, chunkId, left);
      }
    }
  }

  #orderCopies(state: RepairState, chunkId: ChunkId, copiesLeft: number): void {
    const chunk = this.#underReplicatedChunk(state, chunkId);
    if (chunk === null || !this.#isDue(chunk, copiesLeft)) return;
    const ordered = [...this.#inProgress.values()].filter(
      (copy) => copy.order.chunkId === chunkId,
    ).length;
    if (ordered >= copiesMissing(chunk)) return;
    const keep = chunk.liveHolders;
    const chain = this.#registry.chooseServers({
      chunkBytes: chunk.lengthBytes,
      count: keep.length + copiesMissing(chunk) - ordered,
      racksMin: this.#limits.racksMin,
      keep,
      exclude: new Set([...chunk.holders, ...this.#busyTargets(chunkId)]),
      clientHost: "",
    });
    for (const target of chain.slice(keep.length)) this.#orderCopy(state, chunk, target);
  }

  /**
   * Returns whether the chunk can be repaired now. A chunk with one live replica is repaired at
   * once. Other chunks wait for the repair delay, because a restart is the usual cause of a missing
   * server.
   */
  #isDue(chunk: UnderReplicatedChunk, copiesLeft: number): boolean {
    if (copiesLeft === 1 && chunk.copiesWanted > 1) return true;
    const silent = [...chunk.holders].filter((serverId) => !this.#registry.isAvailable(serverId));
    return (
      chunk.holders.size < chunk.copiesWanted || silent.some((id) => this.#registry.isRepairDue(id))
    );
  }

  /** Returns the servers that cannot take another copy, or already make a copy of this chunk. */
  #busyTargets(chunkId: ChunkId): Set<ServerId> {
    const copies = new Map<ServerId, number>();
    const busy = new Set<ServerId>();
    for (const copy of this.#inProgress.values()) {
      const count = (copies.get(copy.target) ?? 0) + 1;
      copies.set(copy.target, count);
      if (count >= this.#limits.copiesPerTarget || copy.order.chunkId === chunkId) {
        busy.add(copy.target);
      }
    }
    return busy;
  }

  #orderCopy(state: RepairState, chunk: UnderReplicatedChunk, target: ServerLocation): void {
    assert(!chunk.holders.has(target.serverId), "a target has no replica of the chunk");
    const { chunkId, lengthBytes } = chunk;
    this.#inProgress.set(copyKey(target.serverId, chunkId), {
      order: {
        kind: "copy",
        chunkId,
        lengthBytes,
        sources: [...chunk.liveHolders],
        intentIndex: state.appliedIndex,
      },
      target: target.serverId,
      orderedMs: this.#clock.monotonicMs(),
    });
    this.#log.info("Ordered a copy of a chunk", { chunkId, target: target.serverId });
  }

  /** Returns whether more waiting chunks can be kept in memory. */
  #hasRoom(): boolean {
    return this.#waitingCount() < WAITING_MAX;
  }

  #waitingCount(): number {
    let count = 0;
    for (const chunks of this.#waiting) count += chunks.size;
    return count;
  }
}

function firstOf<T>(items: Iterable<T>, countMax: number): T[] {
  const first: T[] = [];
  for (const item of items) {
    if (first.length === countMax) break;
    first.push(item);
  }
  return first;
}

function copyKey(serverId: ServerId, chunkId: ChunkId): string {
  return `${serverId} ${chunkId}`;
}
