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
import type { AppliedEntry, StateMachine, StateSnapshot } from "../state-machine.ts";
import { applyCommand } from "./apply.ts";
import { Change } from "./change.ts";
import { Checkpoints, type StateMark } from "./checkpoints.ts";
import type { ClusterFacts, Command, Outcome } from "./command.ts";
import { decodeCommand } from "./command-encoding.ts";
import { emptyRootOf } from "./contents.ts";
import { type DurableState, durableChanges, readDurable } from "./durable.ts";
import { type FeedPage, type FeedRequest, oldestFeedIndex, readFeed } from "./feed-query.ts";
import * as fleet from "./fleet-queries.ts";
import { timeOfIndex } from "./history-floor.ts";
import { nameBytes } from "./keys.ts";
import { Overlay } from "./overlay.ts";
import { type PathHistoryOptions, pathHistory } from "./path-history.ts";
import * as queries from "./queries.ts";
import { isReclaimPending } from "./reclaim.ts";
import { runQuery } from "./refusal.ts";
import { State } from "./state.ts";
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

/** Index, term and membership after an entry. */
type AppliedPosition = Omit<DurableState, "stateHash"> & { readonly isCheckpoint: boolean };
/** Changes that a flush encodes and hashes at a stretch: a few milliseconds. */
const CHANGES_PER_TURN = 512;

/** Memory for decoded records, in bytes, about. */
const CACHE_BYTES_MAX = 64 * 1024 * 1024;

export interface NamespaceOptions {
  readonly store: OrderedStore;
  readonly hasher: Hasher;
  /** Memory for decoded records; default 64 MiB. */
  readonly cacheBytesMax?: number;
  /** Lets other work go on in the middle of a large flush: `Clock.yieldTurn`. */
  readonly yieldTurn?: () => Promise<void>;
  /** Told of a row that cannot be read: STORE_CORRUPT. The process cannot go on. */
  readonly onDamage?: (error: AshlarError) => void;
}

/**
 * The replicated state: the tree of files, their chunks, sessions and servers.
 *
 * Reads show the state after `appliedIndex`, or as of `at` where one is given: INDEX_EXPIRED
 * (details.oldestIndex) before `oldestReadableIndex`. No call of this class yields but `flush`, so
 * what a caller reads in one turn is of one index.
 */
export class Namespace implements StateMachine {
  readonly #store: OrderedStore;
  readonly #overlay: Overlay;
  /** What every `Change` is made with. */
  readonly #tools: {
    readonly overlay: Overlay;
    readonly hasher: Hasher;
    readonly emptyRoot: Digest;
  };
  readonly #state: State;
  readonly #checkpoints = new Checkpoints();
  readonly #yieldTurn: () => Promise<void>;
  #applied: AppliedPosition;
  #durable: DurableState;
  /** What each frozen layer of the overlay leads to, oldest first. */
  readonly #frozen: AppliedPosition[] = [];
  #isFlushing = false;

  private constructor(options: NamespaceOptions, durable: DurableState) {
    const { store, hasher, cacheBytesMax = CACHE_BYTES_MAX, onDamage = () => {} } = options;
    this.#store = store;
    this.#overlay = new Overlay({ store, cacheBytesMax, onDamage });
    this.#tools = { overlay: this.#overlay, hasher, emptyRoot: emptyRootOf(hasher) };
    this.#state = new State(this.#overlay);
    this.#applied = { ...durable, isCheckpoint: false };
    this.#durable = durable;
    this.#yieldTurn = options.yieldTurn ?? (async () => {});
    this.#checkpoints.addMark(durable); // It may stand at one.
  }

  /**
   * Opens the state in `store`; an empty store is a cluster before its first entry.
   *
   * @throws {AshlarError} STORE_CORRUPT if what is there is no state: it is to be rebuilt;
   *   VERSION_MISMATCH if a newer version wrote it.
   */
  static open(options: NamespaceOptions): Namespace {
    return new Namespace(options, readDurable(options.store));
  }

  get appliedIndex(): LogIndex {
    return this.#applied.index;
  }

  get durable(): DurableState {
    return this.#durable;
  }

  get unflushedBytes(): number {
    return this.#overlay.sizeBytes;
  }

  /** Keys that `apply` has changed since the last flush began. For tests of bounded work. */
  get changedCount(): number {
    return this.#overlay.changedCount;
  }

  /** The outcome of the entry's command; null for an entry without one. */
  apply(entry: AppliedEntry): Outcome | null {
    const { index, term, data } = entry;
    assert(index === this.#applied.index + 1, "entries come in order without gaps");
    const command = data.length === 0 ? null : decodeCommand(data);
    const isCheckpoint = command?.kind === "checkpoint";
    if (isCheckpoint && command.verdict !== null) {
      this.#checkpoints.compareWithMajority(command.verdict, this.#durable.index);
    }
    const outcome = command === null ? null : this.#applyCommand(index, command);
    const membership = entry.membership ?? this.#applied.membership;
    this.#applied = { index, term, membership, isCheckpoint };
    // A commit of its own ends here, so that every member hashes the state of the same index.
    if (isCheckpoint) this.#freeze();
    return outcome;
  }

  #freeze(): void {
    this.#overlay.freeze();
    this.#frozen.push(this.#applied);
  }

  #applyCommand(index: LogIndex, command: Command): Outcome {
    const { clockMs } = this.#state.totals;
    const nowMs = "nowMs" in command ? Math.max(clockMs, command.nowMs) : clockMs;
    const { overlay, hasher, emptyRoot } = this.#tools;
    const change = new Change({ overlay, hasher, emptyRoot, index, nowMs });
    const outcome = applyCommand(change, command);
    change.finish();
    return outcome;
  }

  async flush(): Promise<void> {
    assert(!this.#isFlushing, "one flush at a time");
    if (this.#applied.index === this.#durable.index) return;
    this.#isFlushing = true;
    try {
      if (this.#frozen.at(-1) !== this.#applied) this.#freeze();
      for (let count = this.#frozen.length; count > 0; count -= 1) await this.#flushOldest();
    } finally {
      this.#isFlushing = false;
    }
  }

  /** Writes the oldest frozen layer. One that is refused stays, and is tried again. */
  async #flushOldest(): Promise<void> {
    const position = present(this.#frozen[0], "a layer is frozen");
    const { changes, stateHash } = await this.#encodeOldest();
    const durable = { ...position, stateHash };
    await this.#store.commit([...changes, ...durableChanges(durable)]);
    this.#overlay.drop();
    this.#frozen.shift();
    this.#durable = durable;
    if (position.isCheckpoint) this.#checkpoints.addMark(durable);
  }

  /** What the store holds until now goes out of the hash, what replaces it comes in. */
  async #encodeOldest(): Promise<{ changes: StoreChange[]; stateHash: Uint8Array }> {
    const hash = new StateHash(this.#durable.stateHash);
    const changes: StoreChange[] = [];
    const cells = this.#overlay.frozenCells();
    const visit = (change: StoreChange, isFresh: boolean): void => {
      const { key, value } = change;
      const before = isFresh ? undefined : this.#store.get(key);
      if (before !== undefined) hash.remove(key, before);
      if (value !== null) hash.add(key, value);
      changes.push(change);
    };
    while (cells.visitNext(CHANGES_PER_TURN, visit)) await this.#yieldTurn();
    return { changes, stateHash: hash.bytes() };
  }

  openSnapshot(): StateSnapshot {
    const reader = this.#store.snapshot();
    return { ...readDurable(reader), reader, release: () => reader.release() };
  }

  /** Index and hash of the state as it is in the store. */
  get durableMark(): StateMark {
    return this.#durable;
  }

  /** The hashes at the last checkpoints, oldest first. */
  get checkpointMarks(): readonly StateMark[] {
    return this.#checkpoints.marks;
  }

  /** What may be proposed: see feature-levels.ts. */
  get featureLevel(): number {
    return this.#state.featureLevel;
  }

  // The tree. @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY, INDEX_EXPIRED, INVALID_ARGUMENT

  stat(target: Target, at?: LogIndex): Attributes {
    return runQuery(() => queries.stat(this.#readingAt(at), target));
  }

  list(target: Target, page: queries.PageOptions, at?: LogIndex): ListingPage {
    return runQuery(() => queries.list(this.#readingAt(at), target, page));
  }

  locate(
    target: Target,
    part: { readonly firstPosition: number; readonly count: number },
    at?: LogIndex,
  ): ContentPart {
    return runQuery(() => queries.locate(this.#readingAt(at), target, part));
  }

  #readingAt(at: LogIndex | undefined): queries.ReadView {
    return queries.readViewAt(this.#state, this.#applied.index, at);
  }

  /** The class of the file, or of the deepest directory on its path that is there. */
  storageClassFor(target: Target): StorageClass {
    return runQuery(() => queries.storageClassFor(this.#state, target));
  }

  /** The path of an inode that is in the tree. */
  pathOf(inode: InodeId): Uint8Array | undefined {
    const names = pathOfInode(this.#state, inode);
    return names === undefined ? undefined : joinPath(names.map(nameBytes));
  }

  // The feed.

  /** A page of it, of bounded work. @throws {AshlarError} INDEX_EXPIRED (details.oldestIndex) */
  feed(request: FeedRequest): FeedPage {
    const { appliedIndex } = this;
    const { emptyRoot } = this.#tools;
    return runQuery(() => readFeed({ state: this.#state, appliedIndex, emptyRoot }, request));
  }

  /** From this index on no event is lost. */
  oldestFeedIndex(): LogIndex {
    return oldestFeedIndex(this.#state);
  }

  // The past.

  oldestReadableIndex(): LogIndex {
    return this.#state.totals.historyFloor;
  }

  /** @throws {AshlarError} INDEX_EXPIRED, INVALID_ARGUMENT */
  checkReadable(index: LogIndex): void {
    runQuery(() => this.#readingAt(index));
  }

  /** The last index that was there at `timeMs`, to the second. @throws {AshlarError} INDEX_EXPIRED */
  indexAt(timeMs: number): LogIndex {
    return runQuery(() => queries.indexOfTime(this.#state, this.appliedIndex, timeMs));
  }

  /** When `index` was applied, to the second, by the leader's clock. */
  timeOf(index: LogIndex): number {
    return timeOfIndex(this.#state, index);
  }

  /** @throws {AshlarError} INVALID_ARGUMENT */
  history(options: PathHistoryOptions): PathHistoryPage {
    return runQuery(() => pathHistory(this.#state, this.oldestReadableIndex(), options));
  }

  // Sessions, classes, facts.

  sessions(): readonly SessionView[] {
    return fleet.sessions(this.#state);
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

  /** Undefined before `bootstrap`. */
  clusterFacts(): ClusterFacts | undefined {
    return this.#state.clusterFacts;
  }

  counters(): Counters {
    const { fileCount, directoryCount, chunkCount, logicalBytes, ...queues } = this.#state.totals;
    const { purgesPending, historyVersions } = queues;
    const counts = { fileCount, directoryCount, chunkCount, logicalBytes };
    return { ...counts, purgesPending, historyVersions };
  }

  // Chunks and servers.

  servers(): readonly ServerLocation[] {
    return fleet.servers(this.#state);
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

  purgesOf(serverId: ServerId, limit: number): readonly PurgeView[] {
    return fleet.purgesOf(this.#state, serverId, limit);
  }

  intentFloor(): LogIndex {
    return this.#state.totals.intentFloor;
  }

  /** Whether a `reclaim` proposed at `nowMs` with that bound would find work. */
  reclaimPending(nowMs: number, versionsMax?: number): boolean {
    return isReclaimPending(this.#state, nowMs, versionsMax);
  }
}
