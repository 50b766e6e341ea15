import { assert, present } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { Entry, HardState } from "../raft/messages.ts";
import type { LogEntries } from "./log-entries.ts";
import { toLogFailure } from "./log-failure.ts";
import { CHECKSUM_BYTES, type LogItem, SALT_BYTES, sizeOfRecord } from "./log-record.ts";
import { type LogOwner, recoverLog } from "./log-recovery.ts";
import { readEntries } from "./read-entries.ts";
import { addMark, type Segment, segmentPath } from "./segment.ts";
import { SegmentFile } from "./segment-file.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from "./segment-header.ts";

const DIRECTORY = "log";
/**
 * Group commit: queued batches up to this total size are written as one record. A larger batch has
 * a record to itself.
 */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;

/** Options of `RaftLog.open`. */
export interface RaftLogOptions extends LogOwner {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly log: Log;
  /** Size at which a segment is full and the next one is created. */
  readonly segmentBytes: number;
  /** Memory of the last entries. Entries that are durable and older are read from disk. */
  readonly cacheBytes: number;
  /**
   * Size of the log on disk that compaction keeps for members that were away. Less if the disk has
   * little space: see `compactionPoint`.
   */
  readonly keptBytes: number;
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

/** The content of an open log. */
interface LogState {
  readonly entries: LogEntries;
  readonly hardState: HardState;
  readonly segments: readonly Segment[];
  readonly open: SegmentFile;
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
  readonly #segments: Segment[];
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
  #active: SegmentFile;
  readonly #queue: Queued[] = [];
  /** Number of queued truncations: until they are written, the disk has entries that are not valid. */
  #truncationCount = 0;
  #running: Promise<void> | null = null;
  #failure: AshlarError | null = null;
  #syncCount = 0;
  /** Space that the disk would have without the log, at the creation of the active segment. */
  #spaceBytes = Number.POSITIVE_INFINITY;

  private constructor(options: RaftLogOptions, state: LogState) {
    this.#options = options;
    this.#segments = [...state.segments];
    this.#entries = state.entries;
    this.#hardState = state.hardState;
    this.#writtenHardState = state.hardState;
    this.#written = { index: state.entries.lastIndex, term: state.entries.lastTerm };
    this.#active = state.open;
  }

  /**
   * Reads the log, or creates it. All entries of the opened log are durable: the end of the last
   * segment, which may be in the page cache only after a crash of the process, is written and
   * synced again.
   *
   * @throws {AshlarError} LOG_CORRUPT, WRONG_IDENTITY, VERSION_MISMATCH, DISK_FAILED, NO_SPACE
   */
  static async open(options: RaftLogOptions): Promise<RaftLog> {
    const { disk, hasher, log, cacheBytes, clusterId, memberId } = options;
    await disk.makeDirectory(DIRECTORY);
    const owner = { clusterId, memberId };
    const directory = DIRECTORY;
    const found = await recoverLog({ disk, hasher, log, owner, directory, cacheBytes });
    const { entries, hardState, tail } = found;
    const create = async (files: Pick<LogState, "segments" | "open">): Promise<RaftLog> => {
      const raftLog = new RaftLog(options, { entries, hardState, ...files });
      await raftLog.#measureSpace();
      return raftLog;
    };
    if (tail === null) {
      const base = entries.base;
      const header = newHeader(options, { sequence: 1, base, hardState, isReset: false });
      const { segment, open } = await createSegment(options, header);
      return await create({ segments: [segment], open });
    }
    const { path } = present(found.segments.at(-1), "a log with a tail has a segment");
    const file = await disk.open(path, "read-write");
    try {
      if (tail.lengthBytes > tail.offset) await file.truncate(tail.offset);
      await file.write([tail.last.bytes], tail.last.offset);
      await file.sync();
      await disk.syncDirectory(DIRECTORY);
    } catch (error) {
      await file.close();
      throw error;
    }
    const end = { salt: tail.salt, checksum: tail.checksum, lengthBytes: tail.offset };
    const open = new SegmentFile({ ...options, path, file, end });
    return await create({ segments: found.segments, open });
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
    return this.#active.lengthBytes;
  }

  /** The error of the first failed write. Null while no write has failed. */
  get failure(): AshlarError | null {
    return this.#failure;
  }

  /** Size of all segments, in bytes. */
  get diskBytes(): number {
    let sizeBytes = this.#active.lengthBytes;
    for (const segment of this.#segments.slice(0, -1)) sizeBytes += segment.lengthBytes;
    return sizeBytes;
  }

  /** Number of segment files. */
  get segmentCount(): number {
    return this.#segments.length;
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
    const activeEnd = this.#active.lengthBytes;
    const range = { first, bytesMax, activeEnd };
    return await readEntries(
      { disk, hasher, segments: this.#segments, entries: this.#entries },
      range,
    );
  }

  /**
   * Returns the index up to which `compactTo` can remove whole segments, so that about `keptBytes`
   * of the log remain, and all entries after `limit`. The log takes at most a quarter of the space
   * that the disk would have without it.
   */
  compactionPoint(limit: LogIndex): LogIndex {
    const keptBytes = Math.min(this.#options.keptBytes, this.#spaceBytes / 4);
    let laterBytes = this.diskBytes;
    let point = this.#entries.base.index;
    for (const [position, segment] of this.#segments.entries()) {
      const next = this.#segments[position + 1];
      if (next === undefined || next.base.index > limit) break;
      laterBytes -= segment.lengthBytes;
      if (laterBytes < keptBytes) break;
      point = Math.max(point, next.base.index) as LogIndex;
    }
    return point;
  }

  /**
   * Drops the entries up to `index`, which the state contains durably. Segments without a later entry
   * are removed after the work that is queued before. Resolves after the removal.
   */
  compactTo(index: LogIndex): Promise<void> {
    assert(index <= this.#hardState.commitIndex, "only committed entries are compacted");
    this.#entries.compact(index);
    return this.#enqueue({ kind: "task", run: () => this.#removeBefore(index) });
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
      await this.#removeFirst(this.#segments.length - 1);
    };
    return this.#enqueue({ kind: "task", run });
  }

  /**
   * Writes queued work and a closing record, then closes the file. The closing record makes damage
   * to the record before it distinguishable from a torn write.
   */
  async close(): Promise<void> {
    if (this.#failure === null) {
      const closing = { items: [], hardState: this.#hardState, sizeBytes: 0 };
      await this.#enqueue({ kind: "task", run: () => this.#writeRecord([closing]) }).catch(() => {
        // Callers of `append` receive the error. The closing record contains no data.
      });
    }
    while (this.#running !== null) await this.#running;
    const hasFailed = this.#failure !== null;
    this.#failure ??= new AshlarError("CANCELLED", "Cannot append to the log: it is closed");
    if (hasFailed) await this.#active.abandon();
    else await this.#active.close();
  }

  #enqueue(queued: QueuedAppend | QueuedTask): Promise<void> {
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
    const sizeBytes = sizeOfRecord(items);
    const isFull = this.#active.lengthBytes + sizeBytes > this.#options.segmentBytes;
    if (isFull && this.#active.lengthBytes > SEGMENT_HEADER_BYTES) {
      const hardStateBefore = this.#writtenHardState;
      await this.#roll({ base: this.#written, hardState: hardStateBefore, isReset: false });
    }
    const offset = this.#active.lengthBytes;
    await this.#active.append(items);
    addMark(present(this.#segments.at(-1), "a log has a segment"), offset, items);
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

  /** Creates the next segment and closes the current one. */
  async #roll(next: Pick<SegmentHeader, "base" | "hardState" | "isReset">): Promise<void> {
    const previous = this.#active;
    const last = present(this.#segments.at(-1), "a log has a segment");
    const header = newHeader(this.#options, {
      ...next,
      sequence: last.sequence + 1,
      previousChecksum: previous.checksum,
    });
    const { segment, open } = await createSegment(this.#options, header);
    this.#syncCount += 1;
    last.lengthBytes = previous.lengthBytes;
    this.#segments.push(segment);
    this.#active = open;
    this.#written = next.base;
    this.#writtenHardState = next.hardState;
    await previous.close();
    await this.#measureSpace();
  }

  async #measureSpace(): Promise<void> {
    // Without an answer the last one stays: it only limits what is kept for others.
    const space = await this.#options.disk.space().catch(() => null);
    if (space !== null) this.#spaceBytes = space.availableBytes + this.diskBytes;
  }

  async #removeBefore(index: LogIndex): Promise<void> {
    // A segment can be removed when the base of the next one is at or before `index`.
    const keepFrom = this.#segments.findLastIndex((segment) => segment.base.index <= index);
    await this.#removeFirst(keepFrom);
  }

  /**
   * Removes the `count` oldest segments, oldest first. Each removal is durable before the next one:
   * a gap would be reported as a missing segment.
   */
  async #removeFirst(count: number): Promise<void> {
    for (let removed = 0; removed < count; removed += 1) {
      const segment = present(this.#segments[0], "a segment to remove exists");
      assert(segment.path !== this.#active.path, "the active segment is not removed");
      await this.#options.disk.remove(segment.path);
      await this.#options.disk.syncDirectory(DIRECTORY);
      this.#segments.shift();
    }
  }
}

function newHeader(
  options: RaftLogOptions,
  header: Pick<SegmentHeader, "sequence" | "base" | "hardState" | "isReset"> & {
    readonly previousChecksum?: Uint8Array;
  },
): SegmentHeader {
  const { clusterId, memberId, random } = options;
  const previousChecksum = header.previousChecksum ?? new Uint8Array(CHECKSUM_BYTES);
  return { ...header, previousChecksum, clusterId, memberId, salt: random.bytes(SALT_BYTES) };
}

async function createSegment(
  options: RaftLogOptions,
  header: SegmentHeader,
): Promise<{ segment: Segment; open: SegmentFile }> {
  const { sequence, base, salt } = header;
  const path = segmentPath(DIRECTORY, sequence, base.index);
  const open = await SegmentFile.create({ ...options, directory: DIRECTORY, path, header });
  const lengthBytes = SEGMENT_HEADER_BYTES;
  return { segment: { path, sequence, base, salt, lengthBytes, marks: [] }, open };
}
