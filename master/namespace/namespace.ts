import { assert, present } from "../../shared/base/assert.ts";
import type { AshlarError } from "../../shared/base/errors.ts";
import type {
  ChunkId,
  Digest,
  InodeId,
  LogIndex,
  ServerId,
  SessionId,
} from "../../shared/base/ids.ts";
import { joinPath } from "../../shared/base/path.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { OrderedStore, StoreChange } from "../../shared/ports/ordered-store.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { StorageClass, Target } from "../../shared/protocol/namespace-api.ts";
import { StateHash } from "../../shared/protocol/state-hash.ts";
import type { AppliedEntry, RestoredFrom, StateMachine, StateSnapshot } from "../state-machine.ts";
import { applyCommand } from "./apply.ts";
import { Change } from "./change.ts";
import { Checkpoints, type StateMark } from "./checkpoints.ts";
import type { ClusterFacts, Command, Outcome } from "./command.ts";
import { decodeCommand } from "./command-encoding.ts";
import { emptyRootOf } from "./contents.ts";
import { type DurableState, durableChanges, readDurable } from "./durable.ts";
import {
  type FeedPage,
  type FeedRequest,
  oldestFeedIndex,
  type PlacesPage,
  readFeed,
  readPlaces,
} from "./feed-query.ts";
import * as fleet from "./fleet-queries.ts";
import { timeOfIndex } from "./history-floor.ts";
import { nameBytes } from "./keys.ts";
import { Overlay } from "./overlay.ts";
import { type PathHistoryOptions, pathHistory } from "./path-history.ts";
import * as queries from "./queries.ts";
import type { ReadBudget } from "./read-budget.ts";
import { isReclaimPending } from "./reclaim.ts";
import type { ChunkRecord, EnrolmentRecord } from "./records.ts";
import { runQuery } from "./refusal.ts";
import { ReplicaChanges } from "./replica-changes.ts";
import { ROOT_INODE, State } from "./state.ts";
import { pathOfInode } from "./tree.ts";
import type {
  ChunkView,
  ContentPart,
  Counters,
  ListingPage,
  PathHistoryPage,
  PurgeView,
  SessionView,
} from "./views.ts";

/** Index, term and membership of the state after an entry. */
type AppliedPosition = Omit<DurableState, "stateHash"> & { readonly isCheckpoint: boolean };
/** Changes that a flush encodes and hashes before it yields: they take a few milliseconds. */
const CHANGES_PER_TURN = 512;

/** Default bound of the memory for decoded records. Approximate. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;

export interface NamespaceOptions {
  readonly store: OrderedStore;
  readonly hasher: Hasher;
  /** Memory for decoded records; default 64 MiB. */
  readonly cacheBytesMax?: number;
  /** Yields to other tasks during a large flush: `Clock.yieldTurn`. */
  readonly yieldTurn?: () => Promise<void>;
  /** Called with STORE_CORRUPT for a row that cannot be decoded. The process must stop. */
  readonly onDamage?: (error: AshlarError) => void;
}

/**
 * The replicated state: the tree of files, their chunks, sessions and servers.
 *
 * Reads show the state after `appliedIndex`, or as of the index `at` if the caller gives one. They
 * fail with INDEX_EXPIRED (details.oldestIndex) for an index before `oldestReadableIndex`. Only
 * `flush` yields, so all reads of a caller in one turn of the event loop show the same index.
 */
export class Namespace implements StateMachine {
  readonly #store: OrderedStore;
  readonly #overlay: Overlay;
  /** The dependencies of every `Change`. */
  readonly #changeDeps: {
    readonly overlay: Overlay;
    readonly hasher: Hasher;
    readonly emptyRoot: Digest;
    readonly replicaChanges: ReplicaChanges;
  };
  readonly #replicaChanges = new ReplicaChanges();
  readonly #state: State;
  readonly #checkpoints = new Checkpoints();
  readonly #yieldTurn: () => Promise<void>;
  /** Constant: only a restore writes its row. */
  readonly restored: RestoredFrom | undefined;
  #applied: AppliedPosition;
  #durable: DurableState;
  /** The position of the state after each frozen layer of the overlay, oldest first. */
  readonly #frozen: AppliedPosition[] = [];
  #isFlushing = false;
  #entryUnits = 0;

  private constructor(options: NamespaceOptions, durable: DurableState) {
    const { store, hasher, cacheBytesMax = CACHE_BYTES_MAX, onDamage = () => {} } = options;
    this.#store = store;
    this.#overlay = new Overlay({ store, cacheBytesMax, onDamage });
    this.#changeDeps = {
      overlay: this.#overlay,
      hasher,
      emptyRoot: emptyRootOf(hasher),
      replicaChanges: this.#replicaChanges,
    };
    this.#state = new State(this.#overlay);
    this.restored = this.#state.restored;
    this.#applied = { ...durable, isCheckpoint: false };
    this.#durable = durable;
    this.#yieldTurn = options.yieldTurn ?? (async () => {});
    this.#checkpoints.addMark(durable); // The store may be at a checkpoint.
  }

  /**
   * Opens the state in `store`. An empty store is the state before the first entry.
   *
   * @throws {AshlarError} STORE_CORRUPT if the store does not contain a valid state: the caller
   *   rebuilds the store; VERSION_MISMATCH if a newer version wrote the store
   */
  static open(options: NamespaceOptions): Namespace {
    return new Namespace(options, readDurable(options.store));
  }

  /** Index of the last applied entry. */
  get appliedIndex(): LogIndex {
    return this.#applied.index;
  }

  /** Position and hash of the state in the store. */
  get durable(): DurableState {
    return this.#durable;
  }

  /** Approximate memory of the changes that are not in the store yet. */
  get unflushedBytes(): number {
    return this.#overlay.sizeBytes;
  }

  get entryUnits(): number {
    return this.#entryUnits;
  }

  /** Number of keys that `apply` has changed since the last flush began. Only tests use it. */
  get changedCount(): number {
    return this.#overlay.changedCount;
  }

  /**
   * Applies the next entry. Returns the outcome of its command, or null for an entry without one.
   *
   * @throws {AshlarError} VERSION_MISMATCH, STATE_DIVERGED, STORE_CORRUPT: this member must stop
   */
  apply(entry: AppliedEntry): Outcome | null {
    const { index, term, data } = entry;
    assert(index === this.#applied.index + 1, "entries are applied in order without gaps");
    this.#entryUnits = 0;
    const command = data.length === 0 ? null : decodeCommand(data);
    const isCheckpoint = command?.kind === "checkpoint";
    if (isCheckpoint && command.verdict !== null) {
      this.#checkpoints.compareWithMajority(command.verdict, this.#durable.index);
    }
    const outcome = command === null ? null : this.#applyCommand(index, command, data.length);
    const membership = entry.membership ?? this.#applied.membership;
    this.#applied = { index, term, membership, isCheckpoint };
    // Every member writes the changes up to a checkpoint in one commit that ends here, so that all
    // members hash the state of the same index.
    if (isCheckpoint) this.#freeze();
    return outcome;
  }

  #freeze(): void {
    this.#overlay.freeze();
    this.#frozen.push(this.#applied);
  }

  #applyCommand(index: LogIndex, command: Command, commandBytes: number): Outcome {
    const { clockMs } = this.#state.totals;
    const nowMs = "nowMs" in command ? Math.max(clockMs, command.nowMs) : clockMs;
    const change = new Change({ ...this.#changeDeps, index, nowMs });
    change.countCommand(commandBytes);
    const outcome = applyCommand(change, command);
    change.finish();
    this.#entryUnits = change.units;
    return outcome;
  }

  /**
   * Writes all changes since the last flush to the store. Resolves when they are durable. If the
   * flush fails, the next flush writes the changes.
   *
   * @throws {AshlarError} STATE_DIVERGED; the errors of `OrderedStore.commit`
   */
  async flush(): Promise<void> {
    assert(!this.#isFlushing, "only one flush runs at a time");
    if (this.#applied.index === this.#durable.index) return;
    this.#isFlushing = true;
    try {
      if (this.#frozen.at(-1) !== this.#applied) this.#freeze();
      for (let count = this.#frozen.length; count > 0; count -= 1) await this.#flushOldest();
    } finally {
      this.#isFlushing = false;
    }
  }

  /** Writes the oldest frozen layer. If the commit fails, the layer stays for the next flush. */
  async #flushOldest(): Promise<void> {
    const position = present(this.#frozen[0], "a frozen layer exists");
    const { changes, stateHash } = await this.#encodeOldest();
    const durable = { ...position, stateHash };
    await this.#store.commit([...changes, ...durableChanges(durable)]);
    this.#overlay.drop();
    this.#frozen.shift();
    this.#durable = durable;
    if (position.isCheckpoint) this.#checkpoints.addMark(durable);
  }

  /**
   * Encodes the oldest frozen layer and updates the state hash: removes the old rows of the store
   * from the hash and adds the new ones.
   */
  async #encodeOldest(): Promise<{ changes: StoreChange[]; stateHash: Uint8Array }> {
    const hash = new StateHash(this.#durable.stateHash);
    const changes: StoreChange[] = [];
    const cells = this.#overlay.frozenCells();
    const visit = (change: StoreChange, isFresh: boolean): void => {
      const { key, value } = change;
      if (!isFresh) this.#store.read(key, (before) => hash.remove(key, before));
      if (value !== null) hash.add(key, value);
      changes.push(change);
    };
    while (cells.visitNext(CHANGES_PER_TURN, visit)) await this.#yieldTurn();
    return { changes, stateHash: hash.bytes() };
  }

  /** Opens a snapshot of the durable state. The caller must release it. */
  openSnapshot(): StateSnapshot {
    const reader = this.#store.snapshot();
    return { ...readDurable(reader), reader, release: () => reader.release() };
  }

  /** Index and hash of the state in the store. */
  get durableMark(): StateMark {
    return this.#durable;
  }

  /** The state hashes at the last checkpoints, oldest first. */
  get checkpointMarks(): readonly StateMark[] {
    return this.#checkpoints.marks;
  }

  /** The time of the state: that of the last entry with a time. 0 before the first. */
  get clockMs(): number {
    return this.#state.totals.clockMs;
  }

  /** The feature level of the cluster: see feature-levels.ts. */
  get featureLevel(): number {
    return this.#state.featureLevel;
  }

  // Reads of the tree. They throw an AshlarError: NOT_FOUND, NOT_A_DIRECTORY, INDEX_EXPIRED,
  // INVALID_ARGUMENT, or TOO_LARGE for a target that is too deep (see read-budget.ts).

  /** Returns the attributes of an inode. @param budget counts the rows. Default: one of its own */
  stat(target: Target, at?: LogIndex, budget?: ReadBudget): Attributes {
    return runQuery(() => queries.stat(this.#readViewAt(at, budget), target));
  }

  /** Returns one page of a directory listing, in byte order of the names. */
  list(target: Target, page: queries.PageOptions, at?: LogIndex): ListingPage {
    return runQuery(() => queries.list(this.#readViewAt(at), target, page));
  }

  /** Returns a part of a file's content: inline bytes, or chunks with their servers. */
  locate(
    target: Target,
    part: { readonly firstPosition: number; readonly count: number },
    at?: LogIndex,
  ): ContentPart {
    return runQuery(() => queries.locate(this.#readViewAt(at), target, part));
  }

  #readViewAt(at: LogIndex | undefined, budget?: ReadBudget): queries.ReadView {
    return queries.readViewAt(this.#state, this.#applied.index, at, budget);
  }

  /** Returns the storage class of a file, or of the deepest existing directory on its path. */
  storageClassFor(target: Target): StorageClass {
    return runQuery(() => queries.storageClassFor(this.#state, target));
  }

  /** Returns the path of an inode. Undefined if the inode is not in the tree. */
  pathOf(inode: InodeId): Uint8Array | undefined {
    const names = pathOfInode(this.#state, inode);
    return names === undefined ? undefined : joinPath(names.map(nameBytes));
  }

  // Reads of the change feed.

  /** Returns one page of the feed. @throws {AshlarError} INDEX_EXPIRED (details.oldestIndex) */
  feed(request: FeedRequest): FeedPage {
    const { appliedIndex } = this;
    const { emptyRoot } = this.#changeDeps;
    return runQuery(() => readFeed({ state: this.#state, appliedIndex, emptyRoot }, request));
  }

  /** Returns the paths of the events from a position on: see `readPlaces`. */
  feedPlaces(request: Pick<FeedRequest, "from" | "rowsMax">): PlacesPage | null {
    const { appliedIndex } = this;
    return readPlaces({ state: this.#state, appliedIndex }, request);
  }

  /** Returns the lowest index from which the feed contains every event. */
  oldestFeedIndex(): LogIndex {
    return oldestFeedIndex(this.#state);
  }

  // Past states.

  /** Returns the lowest index that reads of the past accept. */
  oldestReadableIndex(): LogIndex {
    return this.#state.totals.historyFloor;
  }

  /**
   * Checks that the state as of `index` is readable.
   *
   * @throws {AshlarError} INDEX_EXPIRED, INVALID_ARGUMENT
   */
  checkReadable(index: LogIndex): void {
    runQuery(() => this.#readViewAt(index));
  }

  /**
   * Returns the last index that was applied at or before `timeMs`, to the second.
   *
   * @throws {AshlarError} INDEX_EXPIRED
   */
  indexAt(timeMs: number): LogIndex {
    return runQuery(() => queries.indexOfTime(this.#state, this.appliedIndex, timeMs));
  }

  /** Returns the time at which `index` was applied, by the leader's clock, to the second. */
  timeOf(index: LogIndex): number {
    return timeOfIndex(this.#state, index);
  }

  /** Returns one page of the changes of a path. @throws {AshlarError} INVALID_ARGUMENT */
  history(options: PathHistoryOptions): PathHistoryPage {
    return runQuery(() => pathHistory(this.#state, this.oldestReadableIndex(), options));
  }

  // Sessions, storage classes, and the facts of the cluster.

  sessions(page: {
    readonly after: SessionId | null;
    readonly limit: number;
  }): readonly SessionView[] {
    return fleet.sessions(this.#state, page);
  }

  hasSession(sessionId: SessionId): boolean {
    return this.#state.session(sessionId) !== undefined;
  }

  storageClasses(): readonly StorageClass[] {
    return fleet.storageClasses(this.#state);
  }

  storageClass(name: string): StorageClass | undefined {
    return this.#state.storageClass(name);
  }

  /** Returns the facts that `bootstrap` sets. Undefined before `bootstrap`. */
  clusterFacts(): ClusterFacts | undefined {
    return this.#state.clusterFacts;
  }

  /** Returns who may enrol as a chunkserver. Undefined below feature level 13. */
  enrolment(): EnrolmentRecord | undefined {
    return this.#state.enrolment;
  }

  hasExpiredTokens(nowMs: number): boolean {
    return this.enrolment()?.tokens.some(({ expiresMs }) => expiresMs <= nowMs) === true;
  }

  /** Whether no file or directory was ever created. */
  get isUnused(): boolean {
    return this.#state.totals.nextInode <= ROOT_INODE + 1;
  }

  counters(): Counters {
    const { fileCount, directoryCount, chunkCount, logicalBytes, ...queues } = this.#state.totals;
    const { stagedBytes, purgesPending, historyVersions } = queues;
    const counts = { fileCount, directoryCount, chunkCount, logicalBytes };
    return { ...counts, stagedBytes, purgesPending, historyVersions };
  }

  // Chunks and servers.

  servers(): readonly ServerLocation[] {
    return fleet.servers(this.#state);
  }

  server(id: ServerId): ServerLocation | undefined {
    return fleet.server(this.#state, id);
  }

  /** Returns the ids of the removed servers. */
  removedServers(): readonly ServerId[] {
    return fleet.removedServers(this.#state);
  }

  isServerRemoved(serverId: ServerId): boolean {
    return fleet.isServerRemoved(this.#state, serverId);
  }

  chunk(id: ChunkId): ChunkView | undefined {
    return this.#state.chunk(id);
  }

  chunksOfServer(serverId: ServerId, after: ChunkId | null, limit: number): readonly ChunkId[] {
    return fleet.chunksOfServer(this.#state, { serverId, after, limit });
  }

  underReplicated(after: ChunkId | null, limit: number): readonly ChunkId[] {
    return fleet.underReplicated(this.#state, after, limit);
  }

  /** Returns the chunks whose replicas have changed: see `ReplicaChanges`. */
  takeReplicaChanges(limit: number): ReadonlyMap<ChunkId, ChunkRecord> | null {
    return this.#replicaChanges.take(limit);
  }

  purgesOf(serverId: ServerId, limit: number): readonly PurgeView[] {
    return fleet.purgesOf(this.#state, serverId, limit);
  }

  intentFloor(): LogIndex {
    return this.#state.totals.intentFloor;
  }

  /** Returns whether a `reclaim` with this time and bound would change something. */
  reclaimPending(nowMs: number, versionsMax?: number): boolean {
    return isReclaimPending(this.#state, nowMs, versionsMax);
  }
}
