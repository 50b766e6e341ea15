import { assert } from "../../shared/base/assert.ts";
import type { ChunkId, LogIndex, ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { RepairView } from "../fleet-view.ts";
import { isMassLoss } from "../placement/evaluate-health.ts";
import { copiesMissing, planRepair, type UnderReplicatedChunk } from "../placement/plan-repair.ts";
import type { Registry } from "./registry.ts";

/** What repair reads of the replicated state. */
export interface RepairState {
  readonly appliedIndex: LogIndex;
  chunk(id: ChunkId): RepairChunk | undefined;
  /** Chunks with a recorded copy on the server, in id order, after `after`. */
  chunksOfServer(serverId: ServerId, after: ChunkId | null, limit: number): readonly ChunkId[];
  /** Chunks with fewer recorded copies than wanted, in id order, after `after`. */
  underReplicated(after: ChunkId | null, limit: number): readonly ChunkId[];
}

export interface RepairChunk {
  readonly lengthBytes: number;
  readonly copiesWanted: number;
  readonly replicas: readonly { readonly serverId: ServerId }[];
}

export interface RepairLimits {
  /** Copies that one server makes at a time. */
  readonly copiesPerTarget: number;
  /** Copies under way in the whole cluster. */
  readonly copiesTotal: number;
  /** A copy that was ordered and not reported after so long is given to another. */
  readonly orderTimeoutMs: number;
  /** Share of servers lost together above which repair waits for a person. */
  readonly massLossShare: number;
  /** Racks that the copies should span. */
  readonly racksMin: number;
}

interface CopyInProgress {
  readonly order: Order & { readonly kind: "copy" };
  readonly target: ServerId;
  readonly orderedMs: number;
}

/** Chunks looked at in one step: bounds the time that a step holds the event loop. */
const SCAN_PER_STEP = 2_000;
/** Chunks waiting for a copy that are remembered; the scan finds the rest later. */
const WAITING_MAX = 100_000;

/**
 * Makes lost copies anew, the most endangered chunks first.
 *
 * Soft state of the leader: it is found again by scanning what the log knows, so nothing is lost
 * with the leader. A copy only ever adds: the old replica stays recorded until its server says
 * that it is gone, so that repair cannot destroy the last good copy.
 */
export class Repair implements RepairView {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #hasher: Hasher;
  readonly #log: Log;
  readonly #limits: RepairLimits;
  readonly #inProgress = new Map<string, CopyInProgress>();
  /** Chunks that lack copies, by how many live ones are left: index 0 cannot be repaired now. */
  #waiting: Set<ChunkId>[] = [];
  /** Where the scan of each server whose copies are gone stands; "done" until it comes back. */
  readonly #scans = new Map<ServerId, ChunkId | null | "done">();
  #underReplicatedAfter: ChunkId | null = null;
  #isHalted = false;

  constructor(options: {
    readonly registry: Registry;
    readonly clock: Clock;
    readonly hasher: Hasher;
    readonly log: Log;
    readonly limits: RepairLimits;
  }) {
    this.#registry = options.registry;
    this.#clock = options.clock;
    this.#hasher = options.hasher;
    this.#log = options.log;
    this.#limits = options.limits;
  }

  /** A new leader knows nothing yet; orders of the old one time out or are reported. */
  reset(): void {
    this.#inProgress.clear();
    this.#waiting = [];
    this.#scans.clear();
    this.#underReplicatedAfter = null;
    this.#isHalted = false;
  }

  /** Chunks that are known to lack copies, and of these those without a live one. */
  get counts(): { readonly underReplicated: number; readonly lost: number } {
    let underReplicated = 0;
    for (const chunks of this.#waiting) underReplicated += chunks.size;
    return { underReplicated, lost: this.#waiting[0]?.size ?? 0 };
  }

  get isHalted(): boolean {
    return this.#isHalted;
  }

  /** Looks for chunks that lack copies, and orders what the limits allow. Called every fraction of a second. */
  step(state: RepairState): void {
    this.#updateHalted();
    this.#expireOrders();
    this.#scanSilentServers(state);
    this.#scanUnderReplicated(state);
    this.#reclassifyWaiting(state);
    if (!this.#isHalted) this.#order(state);
  }

  /** Copies that `serverId` is to make. Repeated with every heartbeat until it reports them. */
  ordersFor(serverId: ServerId): Order[] {
    const orders: Order[] = [];
    for (const copy of this.#inProgress.values()) {
      if (copy.target === serverId) orders.push(copy.order);
    }
    return orders;
  }

  /** The target made the copy (the entry that records it is the caller's) or could not. */
  recordCopyResult(serverId: ServerId, chunkId: ChunkId): void {
    this.#inProgress.delete(copyKey(serverId, chunkId));
  }

  #updateHalted(): void {
    const all = this.#registry.servers();
    const dead = all.filter(
      (facts) => this.#registry.liveness(facts.location.serverId) === "dead",
    ).length;
    const isHalted = isMassLoss(dead, all.length, this.#limits.massLossShare);
    if (isHalted && !this.#isHalted) {
      this.#log.error("Many chunkservers vanished together: repair waits", {
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

  /** Moves waiting chunks whose copies came back, or went, to where they belong. */
  #reclassifyWaiting(state: RepairState): void {
    // The oldest of each class first; a chunk that stays goes to the end of its class.
    for (const chunks of [...this.#waiting]) {
      for (const chunkId of firstOf(chunks, SCAN_PER_STEP)) this.#classify(state, chunkId);
    }
  }

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
    // From 1: a chunk without a live copy can only wait for its servers.
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
    const busy = this.#busyTargets(chunkId);
    const candidates = this.#registry.candidates(chunk.lengthBytes, busy);
    const plan = planRepair(this.#hasher, chunk, candidates, this.#limits.racksMin);
    for (const target of plan?.targets.slice(0, copiesMissing(chunk) - ordered) ?? []) {
      this.#orderCopy(state, chunk, target);
    }
  }

  /** One copy left is repaired at once; the rest after the delay, since a restart is the usual cause. */
  #isDue(chunk: UnderReplicatedChunk, copiesLeft: number): boolean {
    if (copiesLeft === 1 && chunk.copiesWanted > 1) return true;
    const silent = [...chunk.holders].filter((serverId) => !this.#registry.isAvailable(serverId));
    return (
      chunk.holders.size < chunk.copiesWanted || silent.some((id) => this.#registry.isRepairDue(id))
    );
  }

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
    assert(!chunk.holders.has(target.serverId), "a target has no copy yet");
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
    this.#log.info("Ordered a copy", { chunkId, target: target.serverId });
  }

  #hasRoom(): boolean {
    return this.counts.underReplicated < WAITING_MAX;
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
