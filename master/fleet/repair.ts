import { assert } from "../../shared/base/assert.ts";
import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { RepairChunk, RepairState, RepairView } from "../fleet-view.ts";
import {
  areCopiesCertain,
  type ChunkCopies,
  classOf,
  copiesMissing,
  copiesOf,
  type DangerClass,
  isDelayed,
  sourcesOf,
} from "../placement/classify-chunk.ts";
import { CopyOrders } from "./copy-orders.ts";
import { MassLossBrake } from "./mass-loss-brake.ts";
import type { Registry } from "./registry.ts";
import type { RepairScan } from "./repair-scan.ts";
import { RepairScans } from "./repair-scans.ts";
import { StepShares } from "./step-shares.ts";
import { WaitingChunks } from "./waiting-chunks.ts";

/** Limits of repair. */
export interface RepairLimits {
  /** Maximum number of copies that one server makes at the same time. */
  readonly copiesPerTarget: number;
  /**
   * Maximum number of copies in progress in the whole cluster. Null: two for each available server,
   * at least 64.
   */
  readonly copiesTotal: number | null;
  /** A copy that is not reported within this time is ordered from another server. */
  readonly orderTimeoutMs: number;
  /** Share of dead servers above which repair halts: see `isMassLoss`. */
  readonly massLossShare: number;
  /** Number of racks that the replicas of a chunk should span. */
  readonly racksMin: number;
}

/** Chunks of one class for which a step finds no server, before it continues with the next class. */
const FAILURES_PER_CLASS = 8;
/** The same for chunks that are larger than the space of every server. */
const LARGE_PER_CLASS = 100;
/** Maximum number of changed chunks in memory. If there are more, the scans are repeated. */
const CHANGED_MAX = 20_000;
const COPIES_PER_SERVER = 2;
const COPIES_TOTAL_MIN = 64;

/**
 * Restores the replica count of under-replicated chunks, those with the fewest live replicas first.
 *
 * Soft state of the leader, derived from three sources: scans of the chunks of each unavailable
 * server, a scan of the under-replicated chunks, and the chunks that applied entries have changed.
 * Repair only adds replicas. The old replica stays recorded until its server reports that it is
 * lost, so repair cannot destroy the last good replica.
 */
export class Repair implements RepairView {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: RepairLimits;
  readonly #orders = new CopyOrders();
  /** Chunks with missing copies that are not ordered. */
  readonly #waiting = new WaitingChunks();
  readonly #scans = new RepairScans();
  readonly #brake: MassLossBrake;
  /** Chunks to classify in the next steps. */
  readonly #changed = new Set<ChunkId>();
  /** The chunks that the running step has read. */
  readonly #read = new Map<ChunkId, ChunkCopies | null>();
  /** The servers whose copies count, as of the last step. */
  #available: ReadonlySet<ServerId> = new Set();
  readonly #shares = new StepShares();
  /** Failures to find a server for a waiting chunk since the last ordered copy or new waiting chunk. */
  #failures = 0;
  #copiesTotal = COPIES_TOTAL_MIN;
  /** The largest space of an available server. */
  #spaceBytesMax = 0;

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
    const [scans, shareMax] = [this.#scans, options.limits.massLossShare];
    this.#brake = new MassLossBrake({ ...options, scans, shareMax });
  }

  /**
   * Drops all soft state at the start of a term. Orders of the old leader time out or are reported.
   */
  reset(): void {
    this.#orders.clear();
    this.#waiting.clear();
    this.#scans.reset();
    this.#changed.clear();
    this.#brake.reset();
  }

  /** Number of chunks known to be under-replicated, and of those without a readable replica. */
  get counts(): { readonly underReplicated: number; readonly lost: number } {
    let underReplicated = this.#waiting.count + this.#scans.skippedCount;
    for (const chunkId of this.#orders.chunks()) {
      if (!this.#waiting.has(chunkId)) underReplicated += 1;
    }
    const lost = this.#waiting.unreadableCount + this.#scans.unreadableSkippedCount;
    return { underReplicated, lost };
  }

  get isScanComplete(): boolean {
    return this.#registry.servers().every(({ location: { serverId } }) => {
      return this.#registry.isAvailable(serverId) || this.#scans.of(serverId)?.isComplete === true;
    });
  }

  get isHalted(): boolean {
    return this.#brake.isHalted;
  }

  /**
   * Looks for under-replicated chunks, and orders copies within the limits. Called several times a
   * second. The work of one step is bounded.
   *
   * @returns whether the next step has work to do already
   */
  step(state: RepairState): boolean {
    this.#read.clear();
    this.#updateServers();
    this.#brake.update();
    this.#expireOrders();
    const areChangesLeft = this.#takeChanges(state);
    const scannedMax = this.#shares.of("scanned");
    const scanned = this.#scans.run(state, {
      limit: scannedMax,
      nowMs: this.#clock.monotonicMs(),
      waiting: this.#waiting,
      visit: (chunkId, scan) => {
        const dangerClass = this.#classify(state, chunkId, scan);
        if (dangerClass !== null) scan.countMissing(dangerClass);
      },
    });
    const reviewedMax = this.#shares.of("reviewed") + scannedMax - scanned;
    const isAnyMoved = this.#reviewWaiting(state, reviewedMax);
    const isOrderingDone = this.#brake.isHalted || this.#order(state);
    const isBusy = areChangesLeft || this.#scans.isRunning || isAnyMoved || !isOrderingDone;
    this.#shares.endStep(isBusy);
    return isBusy;
  }

  /**
   * Returns the copies that `serverId` must make. Sent with each heartbeat answer until reported.
   */
  ordersFor(serverId: ServerId): Order[] {
    return this.#orders.ordersFor(serverId);
  }

  /**
   * Records that the target made the copy or failed to make it. The caller proposes the entry that
   * records a new replica.
   */
  recordCopyResult(serverId: ServerId, chunkId: ChunkId): void {
    this.#orders.delete(serverId, chunkId);
    this.#changed.add(chunkId);
  }

  adoptCopy(state: RepairState, serverId: ServerId, chunkId: ChunkId): boolean {
    const copies = this.#copiesOf(state, chunkId);
    if (copies === null) return false;
    if (copiesMissing(copies) === 0) return !areCopiesCertain(copies, this.#registry);
    const target = this.#registry.location(serverId);
    const isRoom = this.#orders.count < this.#copiesTotal;
    const isNew = !copies.holders.includes(serverId) && !this.#orders.has(serverId, chunkId);
    if (target !== undefined && isRoom && isNew) this.#orderCopy(state, copies, target);
    return true;
  }

  /** Starts the scans of servers that became unavailable, and ends those of servers that returned. */
  #updateServers(): void {
    const unavailable: ServerId[] = [];
    const available = new Set<ServerId>();
    const servers = this.#registry.servers();
    this.#spaceBytesMax = 0;
    for (const { location, space } of servers) {
      if (!this.#registry.isAvailable(location.serverId)) unavailable.push(location.serverId);
      else {
        available.add(location.serverId);
        this.#spaceBytesMax = Math.max(this.#spaceBytesMax, space.availableBytes);
      }
    }
    this.#available = available;
    this.#scans.update(unavailable);
    this.#copiesTotal =
      this.#limits.copiesTotal ?? Math.max(COPIES_TOTAL_MIN, available.size * COPIES_PER_SERVER);
  }

  #expireOrders(): void {
    const oldestMs = this.#clock.monotonicMs() - this.#limits.orderTimeoutMs;
    for (const chunkId of this.#orders.expire(oldestMs)) this.#changed.add(chunkId);
    for (const target of [...this.#orders.targets()]) {
      if (this.#registry.isAvailable(target)) continue;
      for (const chunkId of this.#orders.deleteTarget(target)) this.#changed.add(chunkId);
    }
  }

  /**
   * Classifies the chunks whose replicas or orders have changed.
   *
   * @returns whether the share of the step was too small for all
   */
  #takeChanges(state: RepairState): boolean {
    const checkedMax = this.#shares.of("checked");
    const changes = state.takeReplicaChanges(checkedMax);
    for (const [chunkId, chunk] of changes ?? []) {
      if (this.#concernsRepair(chunkId, chunk)) this.#changed.add(chunkId);
    }
    if (changes === null || this.#changed.size > CHANGED_MAX) {
      this.#changed.clear();
      this.#scans.requestRepeat();
    }
    let left = this.#shares.of("changed");
    for (const chunkId of this.#changed) {
      if (left === 0) break;
      left -= 1;
      this.#changed.delete(chunkId);
      this.#classify(state, chunkId);
    }
    return this.#changed.size > 0 || changes?.size === checkedMax;
  }

  #concernsRepair(chunkId: ChunkId, { replicas, copiesWanted }: RepairChunk): boolean {
    return (
      replicas.length < copiesWanted ||
      replicas.some(({ serverId }) => !this.#available.has(serverId)) ||
      this.#waiting.has(chunkId)
    );
  }

  /**
   * Classifies waiting chunks again, because the state of their servers may have changed. Starts with
   * those that were classified first.
   *
   * @returns whether the class of any of them has changed, so that those of others may have too
   */
  #reviewWaiting(state: RepairState, countMax: number): boolean {
    let left = countMax;
    let isAnyMoved = false;
    const { classCount } = this.#waiting;
    for (let dangerClass = 0; dangerClass < classCount; dangerClass += 1) {
      const limit = Math.ceil(left / (classCount - dangerClass));
      const chunkIds = this.#waiting.first(dangerClass, limit);
      left -= chunkIds.length;
      for (const chunkId of chunkIds) {
        if (this.#classify(state, chunkId) !== dangerClass) isAnyMoved = true;
      }
    }
    return isAnyMoved;
  }

  /**
   * Puts the chunk into its class of the waiting set, or removes it if all its copies are made.
   *
   * @param foundBy the scan that found the chunk; null if none did
   * @returns the class of a chunk with missing copies, whether they are ordered or not
   */
  #classify(
    state: RepairState,
    chunkId: ChunkId,
    foundBy: RepairScan | null = null,
  ): DangerClass | null {
    const copies = this.#readOnce(state, chunkId);
    if (copies !== null) return this.#place(copies, foundBy);
    this.#waiting.delete(chunkId);
    return null;
  }

  /** See `#classify`. */
  #place(copies: ChunkCopies, foundBy: RepairScan | null): DangerClass | null {
    const { chunkId } = copies;
    const missing = copiesMissing(copies);
    if (missing <= this.#orders.countOfChunk(chunkId)) {
      this.#waiting.delete(chunkId);
      return missing === 0 ? null : classOf(copies);
    }
    const dangerClass = classOf(copies);
    const scan = this.#scans.ownerOf(copies.firstMissing);
    const wasWaiting = this.#waiting.has(chunkId);
    if (this.#waiting.put(chunkId, dangerClass)) {
      if (!wasWaiting) {
        scan.countPlaced();
        this.#failures = 0;
      }
      return dangerClass;
    }
    scan.skip(dangerClass, chunkId);
    // A chunk of several unavailable servers is counted by one scan.
    if (wasWaiting || (foundBy === scan && scan.isCounting)) scan.countOutside(dangerClass);
    return dangerClass;
  }

  /** The same as `#copiesOf`. A chunk is read and evaluated once in a step. */
  #readOnce(state: RepairState, chunkId: ChunkId): ChunkCopies | null {
    const known = this.#read.get(chunkId);
    if (known !== undefined) return known;
    const copies = this.#copiesOf(state, chunkId);
    this.#read.set(chunkId, copies);
    return copies;
  }

  /** Returns the copies of the chunk. Null if the chunk no longer exists. */
  #copiesOf(state: RepairState, chunkId: ChunkId): ChunkCopies | null {
    const chunk = state.chunk(chunkId);
    return chunk === undefined ? null : copiesOf(chunkId, chunk, this.#registry);
  }

  /** Orders copies of the most endangered chunks. @returns whether the next step cannot order more */
  #order(state: RepairState): boolean {
    const before = this.#orders.count;
    let left = this.#shares.of("ordered");
    for (let dangerClass = 1; dangerClass < this.#waiting.classCount; dangerClass += 1) {
      if (isDelayed(dangerClass)) continue;
      left -= this.#orderClass(state, this.#waiting.first(dangerClass, left));
    }
    const ordered = this.#orders.count - before;
    if (ordered > 0) {
      this.#failures = 0;
      this.#log.info("Ordered copies of chunks", { count: ordered });
    }
    // A chunk that was tried is the last one of its class. After as many failures all have been tried.
    return left > 0 || this.#failures >= this.#waiting.count;
  }

  /** Orders copies of chunks of one class. @returns the number of chunks that were tried */
  #orderClass(state: RepairState, chunkIds: readonly ChunkId[]): number {
    let tried = 0;
    let failures = 0;
    for (const chunkId of chunkIds) {
      if (this.#orders.count >= this.#copiesTotal || failures >= 1) break;
      tried += 1;
      const result = this.#orderCopies(state, chunkId);
      if (result !== null) this.#failures += 1;
      if (result === "too-large") failures += 1 / LARGE_PER_CLASS;
      else if (result === "no-server") failures += 1 / FAILURES_PER_CLASS;
    }
    return tried;
  }

  /**
   * Orders the missing copies of a waiting chunk.
   *
   * @returns why no copy is ordered of a chunk that needs one: it is larger than the space of every
   *   server, or no server is found for another reason. Null in all other cases
   */
  #orderCopies(state: RepairState, chunkId: ChunkId): "too-large" | "no-server" | null {
    const copies = this.#readOnce(state, chunkId);
    if (copies === null) {
      this.#waiting.delete(chunkId);
      return null;
    }
    // The state of its servers may have changed since the chunk was put into its class.
    const dangerClass = this.#place(copies, null);
    if (dangerClass === null || isDelayed(dangerClass)) return null;
    const missing = copiesMissing(copies) - this.#orders.countOfChunk(chunkId);
    if (missing <= 0 || sourcesOf(copies).length === 0) return null;
    if (copies.lengthBytes > this.#spaceBytesMax) {
      this.#releasePlace(copies, dangerClass);
      return "too-large";
    }
    const room = this.#copiesTotal - this.#orders.count;
    const targets = this.#chooseTargets(copies, Math.min(missing, room));
    for (const target of targets) this.#orderCopy(state, copies, target);
    if (targets.length === missing) this.#waiting.delete(chunkId);
    else if (targets.length === 0) this.#releasePlace(copies, dangerClass);
    return targets.length === 0 ? "no-server" : null;
  }

  #chooseTargets(copies: ChunkCopies, count: number): readonly ServerLocation[] {
    const { chunkId, lengthBytes, holders, live } = copies;
    const { copiesPerTarget, racksMin } = this.#limits;
    const chain = this.#registry.chooseServers({
      chunkBytes: lengthBytes,
      count: live.length + count,
      racksMin,
      keep: live,
      exclude: {
        has: (serverId) =>
          this.#orders.countOfTarget(serverId) >= copiesPerTarget ||
          holders.includes(serverId) ||
          this.#orders.has(serverId, chunkId),
      },
      clientHost: "",
      requires: [],
    });
    return chain.slice(live.length);
  }

  /**
   * Removes a chunk for which no server has space, if other chunks wait for a place in its class. The
   * next full pass of its scan finds the chunk again.
   */
  #releasePlace({ chunkId, firstMissing }: ChunkCopies, dangerClass: DangerClass): void {
    if (!this.#scans.hasSkipped(dangerClass)) return;
    this.#waiting.delete(chunkId);
    this.#scans.ownerOf(firstMissing).countOutside(dangerClass);
  }

  #orderCopy(state: RepairState, copies: ChunkCopies, target: ServerLocation): void {
    const { chunkId, lengthBytes, holders } = copies;
    assert(!holders.includes(target.serverId), "a target has no replica of the chunk");
    // The target reads from the first source that works.
    const sources = [...sourcesOf(copies)].sort(
      (left, right) =>
        this.#orders.countOfReaders(left.serverId) - this.#orders.countOfReaders(right.serverId),
    );
    const intentIndex = state.appliedIndex;
    const order = { kind: "copy" as const, chunkId, lengthBytes, sources, intentIndex };
    this.#orders.add(target.serverId, order, this.#clock.monotonicMs());
    this.#log.debug("Ordered a copy of a chunk", { chunkId, target: target.serverId });
  }
}
