import { assert, present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Entry, HardState } from "../raft/messages.ts";
import { EntryReader } from "./entry-reader.ts";
import type { LeftOutSegments } from "./left-out-segments.ts";
import type { LogEntries } from "./log-entries.ts";
import { isWrongKind, toLogFailure } from "./log-failure.ts";
import { type LogItem, sizeOfRecord } from "./log-record.ts";
import { type RecoveredLog, recoverLog } from "./log-recovery.ts";
import { type HeaderFields, LogSegments, type LogSegmentsOptions } from "./log-segments.ts";
import { NewestSegment } from "./newest-segment.ts";
import { logCorrupt } from "./segment.ts";

const DIRECTORY = "log";
/**
 * Group commit: queued batches up to this total size are written as one record. A larger batch has
 * a record to itself.
 */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;

/** Options of `RaftLog.open`. */
export interface RaftLogOptions extends Omit<LogSegmentsOptions, "directory" | "newest"> {
  readonly log: Log;
  /** Whether the first segment was durable once. */
  readonly wasSegmentDurable: boolean;
  /** Memory of the last entries. Entries that are durable and older are read from disk. */
  readonly cacheBytes: number;
}

/** Entries and hard state that one `append` makes durable atomically. */
export interface LogBatch {
  readonly hardState?: HardState;
  /** Consecutive entries. The first one follows the log, or truncates it at its index. */
  readonly entries: readonly Entry[];
}

/** An append that waits for its write. */
interface QueuedAppend {
  readonly kind: "append";
  readonly items: LogItem[];
  readonly hardState: HardState | null;
  readonly sizeBytes: number;
}

/** Other work that runs between two writes. */
interface QueuedTask {
  readonly kind: "task";
  readonly run: () => Promise<void>;
}

type Queued = (QueuedAppend | QueuedTask) & {
  readonly resolve: () => void;
  readonly reject: (error: AshlarError) => void;
};

/**
 * The Raft log: append-only segments on disk, and the last entries in memory (`LogEntries`).
 *
 * Invariants:
 * - At most one record is written and not yet synced, so only the last record can be torn.
 * - The memory contains queued batches that are not on disk yet. Promises resolve in the order of
 *   the calls.
 * - After a failed write or sync no further write is made, because the content of the file is
 *   unknown (fsyncgate). Reads continue to work.
 */
export class RaftLog {
  readonly #options: RaftLogOptions;
  readonly #segments: LogSegments;
  readonly #entries: LogEntries;
  /** Hard state of the last `append`. Its commit index may not be on disk yet. */
  #hardState: HardState;
  /** Hard state of the last record or segment header. */
  #writtenHardState: HardState;
  /**
   * Hard state that changes only the commit index. The next record contains it. Null if there is
   * none.
   */
  #deferredHardState: HardState | null = null;
  /** The last entry in a record: the base of a new segment. */
  #written: { readonly index: LogIndex; readonly term: Term };
  readonly #queue: Queued[] = [];
  /** Number of queued truncations: until they are written, the disk has entries that are not valid. */
  #truncationCount = 0;
  #running: Promise<void> | null = null;
  #failure: AshlarError | null = null;
  /** Null after `settleDamage`. */
  #leftOut: LeftOutSegments | null;
  #syncCount = 0;

  private constructor(options: RaftLogOptions, found: RecoveredLog, segments: LogSegments) {
    this.#options = options;
    this.#segments = segments;
    this.#entries = found.entries;
    this.#leftOut = found.leftOut;
    this.#hardState = found.hardState;
    this.#writtenHardState = found.hardState;
    this.#written = { index: found.entries.lastIndex, term: found.entries.lastTerm };
  }

  /**
   * Reads the log, or creates it. All entries of the opened log are durable: the end of the last
   * segment, which may be in the page cache only after a crash of the process, is written and
   * synced again. The caller then calls `settleDamage`, before it changes the log.
   *
   * @throws {AshlarError} LOG_CORRUPT, WRONG_IDENTITY, VERSION_MISMATCH, DISK_FAILED, NO_SPACE
   */
  static async open(options: RaftLogOptions): Promise<RaftLog> {
    const { disk, hasher, log, cacheBytes, clusterId, memberId } = options;
    await disk.makeDirectory(DIRECTORY).catch((error: unknown) => {
      throw isWrongKind(error) ? logCorrupt(DIRECTORY, 0, "a directory") : error;
    });
    const owner = { clusterId, memberId };
    const directory = DIRECTORY;
    const newest = await NewestSegment.open(options);
    const newestSequence = newest.sequence;
    const recovery = { disk, hasher, log, owner, directory, cacheBytes, newestSequence };
    const found = await recoverLog(recovery);
    const segments = await LogSegments.open({ ...options, directory, newest }, found);
    return new RaftLog(options, found, segments);
  }

  /**
   * Begins the log after damage that is before its last two segments, if the durable state has all
   * entries up to there. The damaged segments are renamed.
   *
   * @param durableIndex index up to which the state is durable
   * @throws {AshlarError} LOG_CORRUPT or DISK_FAILED if the state does not have them; DISK_FAILED
   */
  async settleDamage(durableIndex: LogIndex): Promise<void> {
    const baseIndex = this.#entries.base.index;
    const deps = { ...this.#options, directory: DIRECTORY };
    await this.#leftOut?.settle(deps, { baseIndex, durableIndex });
    this.#leftOut = null;
  }

  /** Hard state of the last `append`. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** All entries, including queued entries. The caller must not change them. */
  get entries(): LogEntries {
    return this.#entries;
  }

  /** Number of syncs: one for each group of appends. Used by tests and metrics. */
  get syncCount(): number {
    return this.#syncCount;
  }

  /** Offset of the end of the last record in the last segment. Zeros may follow. Used by tests. */
  get endOffset(): number {
    return this.#segments.endOffset;
  }

  /** The error of the first failed write. Null while no write has failed. */
  get failure(): AshlarError | null {
    return this.#failure;
  }

  /** Size of all segments, in bytes. */
  get diskBytes(): number {
    return this.#segments.sizeBytes;
  }

  /** Number of segment files. */
  get segmentCount(): number {
    return this.#segments.list.length;
  }

  /**
   * Appends a batch. Resolves when the batch is durable, after all earlier batches. A batch that
   * changes only the commit index causes no write: it resolves after the earlier batches, and the
   * next record contains the new commit index. The commit index is a hint that may be lost.
   *
   * @throws {AshlarError} DISK_FAILED, or NO_SPACE if the disk is full. Every later append fails
   *   too, until the member restarts.
   */
  append(batch: LogBatch): Promise<void> {
    const items: LogItem[] = [];
    const first = batch.entries[0];
    if (first !== undefined && first.index <= this.#entries.lastIndex) {
      assert(first.index > this.#entries.base.index, "a compacted entry is not overwritten");
      const lastIndex = (first.index - 1) as LogIndex;
      const lastTerm = this.#entries.termAt(lastIndex);
      assert(lastIndex >= this.#hardState.commitIndex, "a committed entry is not overwritten");
      this.#entries.truncate(lastIndex, lastTerm);
      this.#truncationCount += 1;
      items.push({ kind: "truncate", lastIndex, lastTerm });
    }
    for (const entry of batch.entries) {
      this.#entries.push(entry);
      items.push({ kind: "entry", entry });
    }
    const hardState = batch.hardState ?? null;
    if (hardState !== null) {
      const { term, commitIndex } = this.#hardState;
      assert(hardState.term >= term, "the term never decreases");
      assert(hardState.commitIndex >= commitIndex, "the commit index never decreases");
      assert(hardState.commitIndex <= this.#entries.lastIndex, "committed entries are in the log");
      this.#hardState = hardState;
    }
    const sizeBytes = sizeOfRecord(items);
    return this.#enqueue({ kind: "append", items, hardState, sizeBytes });
  }

  /**
   * Reads entries that may be on disk only, from `first` on: at most `bytesMax`, but at least one.
   * Empty if they were compacted or replaced in the meantime.
   *
   * @throws {AshlarError} LOG_CORRUPT, with the path, if the disk does not have them; DISK_FAILED
   */
  async load(first: LogIndex, bytesMax: number): Promise<Entry[]> {
    const cached = this.#entries.slice(first, (this.#entries.lastIndex + 1) as LogIndex, bytesMax);
    if (cached !== null) return cached;
    const { disk, hasher } = this.#options;
    const activeEnd = this.#segments.endOffset;
    const source = { disk, hasher, segments: this.#segments.list, entries: this.#entries };
    return await new EntryReader(source, { first, bytesMax, activeEnd }).read();
  }

  /**
   * Returns the index up to which `compactTo` can remove whole segments, so that about `keptBytes`
   * of the log remain, and all entries after `limit`: see `LogSegments.compactionPoint`.
   */
  compactionPoint(limit: LogIndex, isFull = false): LogIndex {
    const point = this.#segments.compactionPoint(limit, isFull);
    return Math.max(point, this.#entries.base.index) as LogIndex;
  }

  /** Returns whether the log between two compaction points is too large: see `LogSegments.isHeldTooLong`. */
  isHeldTooLong(points: { readonly held: LogIndex; readonly wanted: LogIndex }): boolean {
    return this.#segments.isHeldTooLong(points);
  }

  /**
   * Drops the entries up to `index`, which the state contains durably. Segments without a later entry
   * are removed after the work that is queued before. Resolves after the removal.
   */
  compactTo(index: LogIndex): Promise<void> {
    assert(index <= this.#hardState.commitIndex, "only committed entries are compacted");
    this.#entries.compact(index);
    return this.#enqueue({ kind: "task", run: () => this.#segments.removeBefore(index) });
  }

  /**
   * Replaces the log after a snapshot at `base` was installed. Resolves when the new log is
   * durable. After a crash before that, the disk contains the old log or the new log.
   */
  reset(
    base: { readonly index: LogIndex; readonly term: Term },
    hardState: HardState,
  ): Promise<void> {
    assert(hardState.term >= this.#hardState.term, "the term never decreases");
    assert(hardState.commitIndex === base.index, "the commit index is that of the snapshot");
    this.#entries.reset(base);
    this.#hardState = hardState;
    const run = async (): Promise<void> => {
      await this.#roll({ base, hardState, isReset: true });
      this.#deferredHardState = null;
      await this.#segments.removeOld();
    };
    return this.#enqueue({ kind: "task", run });
  }

  /**
   * Writes queued work and a closing record, then closes the file. The closing record makes damage
   * to the record before it distinguishable from a torn write.
   */
  async close(): Promise<void> {
    if (this.#failure === null && this.#leftOut === null) {
      const closing = { items: [], hardState: this.#hardState, sizeBytes: 0 };
      await this.#enqueue({ kind: "task", run: () => this.#writeRecord([closing]) }).catch(() => {
        // Callers of `append` receive the error. The closing record contains no data.
      });
    }
    while (this.#running !== null) await this.#running;
    const hasFailed = this.#failure !== null || this.#leftOut !== null;
    this.#failure ??= new AshlarError("CANCELLED", "Cannot append to the log: it is closed");
    if (hasFailed) await this.#segments.abandon();
    else await this.#segments.close();
  }

  #enqueue(queued: QueuedAppend | QueuedTask): Promise<void> {
    assert(this.#leftOut === null, "the start of the log was confirmed");
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...queued, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // Appends of the same turn are written as one group.
    while (this.#queue.length > 0) {
      const group = this.#dequeueGroup();
      try {
        if (this.#failure !== null) throw this.#failure;
        await this.#perform(group);
        this.#evict();
        for (const queued of group) queued.resolve();
      } catch (error) {
        this.#failure ??= toLogFailure(error);
        for (const queued of group) queued.reject(this.#failure);
      }
    }
    this.#running = null;
  }

  /** Removes one task from the queue, or all appends that are written together. */
  #dequeueGroup(): Queued[] {
    let count = 0;
    let sizeBytes = 0;
    for (const queued of this.#queue) {
      if (queued.kind === "task" || sizeBytes + queued.sizeBytes > GROUP_BYTES_MAX) break;
      sizeBytes += queued.sizeBytes;
      count += 1;
    }
    return this.#queue.splice(0, Math.max(count, 1));
  }

  async #perform(group: readonly Queued[]): Promise<void> {
    const [first] = group;
    if (first?.kind === "task") {
      await first.run();
      return;
    }
    const appends = group.filter((queued) => queued.kind === "append");
    if (appends.some((append) => this.#needsRecord(append))) {
      await this.#writeRecord(appends);
      return;
    }
    const last = appends.findLast((append) => append.hardState !== null);
    this.#deferredHardState = last?.hardState ?? this.#deferredHardState;
  }

  /** Returns whether the append changes more than the commit index. */
  #needsRecord(append: QueuedAppend): boolean {
    const { hardState } = append;
    if (append.items.length > 0) return true;
    if (hardState === null) return false;
    const written = this.#writtenHardState;
    return hardState.term !== written.term || hardState.votedFor !== written.votedFor;
  }

  /** Writes the appends as one record. Creates a new segment first if the current one is full. */
  async #writeRecord(appends: readonly Omit<QueuedAppend, "kind">[]): Promise<void> {
    const items: LogItem[] = [];
    let hardState = this.#deferredHardState;
    for (const append of appends) {
      for (const item of append.items) items.push(item);
      hardState = append.hardState ?? hardState;
    }
    if (hardState !== null) items.push({ kind: "hard-state", hardState });
    if (this.#segments.isFull(sizeOfRecord(items))) {
      const hardStateBefore = this.#writtenHardState;
      await this.#roll({ base: this.#written, hardState: hardStateBefore, isReset: false });
    }
    await this.#segments.append(items);
    for (const item of items) if (item.kind === "truncate") this.#truncationCount -= 1;
    this.#syncCount += 1;
    if (hardState !== null) this.#writtenHardState = hardState;
    this.#deferredHardState = null;
    this.#updateWritten(items);
  }

  /** Records the last entry on disk. */
  #updateWritten(items: readonly LogItem[]): void {
    for (let position = items.length - 1; position >= 0; position -= 1) {
      const item = present(items[position], "an item at its position");
      if (item.kind === "hard-state") continue;
      const { index, term } =
        item.kind === "entry" ? item.entry : { index: item.lastIndex, term: item.lastTerm };
      this.#written = { index, term };
      return;
    }
  }

  /**
   * Removes from memory what exceeds the cache, a quarter of it at a time. Only entries that are on
   * disk and committed, which nothing replaces.
   */
  #evict(): void {
    const { cacheBytes } = this.#options;
    if (this.#truncationCount > 0 || this.#entries.cachedBytes < 1.25 * cacheBytes) return;
    const limit = Math.min(this.#written.index, this.#hardState.commitIndex) as LogIndex;
    this.#entries.evict(this.#entries.evictionPoint(limit, cacheBytes));
  }

  /** Creates the next segment. */
  async #roll(next: HeaderFields): Promise<void> {
    await this.#segments.roll(next);
    this.#syncCount += 1;
    this.#written = next.base;
    this.#writtenHardState = next.hardState;
  }
}
