import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Random } from "../../shared/ports/random.ts";
import { CHECKSUM_BYTES, type LogItem, SALT_BYTES } from "./log-record.ts";
import type { LogOwner, RecoveredLog } from "./log-recovery.ts";
import type { NewestSegment } from "./newest-segment.ts";
import { addMark, type Segment, segmentPath } from "./segment.ts";
import { SegmentFile } from "./segment-file.ts";
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from "./segment-header.ts";
import type { LogTail } from "./segment-records.ts";

/** Options of `LogSegments.open`. */
export interface LogSegmentsOptions extends LogOwner {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly random: Random;
  /** Directory of the segments. It exists. */
  readonly directory: string;
  readonly newest: NewestSegment;
  /** Size at which a segment is full and the next one is created. */
  readonly segmentBytes: number;
  /**
   * Size of the log on disk that compaction keeps for members that were away. Less if the disk has
   * little space: see `compactionPoint`.
   */
  readonly keptBytes: number;
}

/** Number of full segments that a transfer of the state may hold, however small `keptBytes` is. */
const HELD_SEGMENTS_MIN = 32;

/** The parts of a header that differ from segment to segment. */
export type HeaderFields = Pick<SegmentHeader, "base" | "hardState" | "isReset">;

/** The segment files of the log. Its asynchronous methods must not be called concurrently. */
export class LogSegments {
  readonly #options: LogSegmentsOptions;
  /** The segments, oldest first. The last one is active. */
  readonly #list: Segment[];
  #active: SegmentFile;
  /** Space of the disk at the creation of the active segment. */
  #availableBytes = Number.POSITIVE_INFINITY;

  private constructor(
    options: LogSegmentsOptions,
    { list, active }: { readonly list: readonly Segment[]; readonly active: SegmentFile },
  ) {
    this.#options = options;
    this.#list = [...list];
    this.#active = active;
  }

  /**
   * Opens the last segment of a log for writing, or creates the first one. Everything in the log is
   * durable when it resolves.
   */
  static async open(options: LogSegmentsOptions, found: RecoveredLog): Promise<LogSegments> {
    const { tail, entries, hardState } = found;
    const created = async () => {
      const fields = { base: entries.base, hardState, isReset: false };
      const first = await createSegment(options, { ...fields, sequence: 1 });
      return { list: [first.segment], active: first.file };
    };
    const files =
      tail === null
        ? await created()
        : { list: found.segments, active: await openTail(options, found.segments, tail) };
    const segments = new LogSegments(options, files);
    await segments.#measureSpace();
    return segments;
  }

  /** The segments, oldest first. The last one is active. */
  get list(): readonly Segment[] {
    return this.#list;
  }

  /** Offset of the end of the last record in the active segment. Zeros may follow. */
  get endOffset(): number {
    return this.#active.lengthBytes;
  }

  /** Size of all segments, in bytes. */
  get sizeBytes(): number {
    let sizeBytes = this.#active.lengthBytes;
    for (const segment of this.#list.slice(0, -1)) sizeBytes += segment.lengthBytes;
    return sizeBytes;
  }

  /** Returns whether the active segment has records and no room for another one of this size. */
  isFull(recordBytes: number): boolean {
    const { lengthBytes } = this.#active;
    const isOver = lengthBytes + recordBytes > this.#options.segmentBytes;
    return isOver && lengthBytes > SEGMENT_HEADER_BYTES;
  }

  /** Appends a record. Resolves when it is durable. @throws {AshlarError} DISK_FAILED, NO_SPACE */
  async append(items: readonly LogItem[]): Promise<void> {
    const offset = this.#active.lengthBytes;
    await this.#active.append(items);
    addMark(this.#last(), offset, items);
  }

  /** Creates the next segment, which is durable then, and closes the current one. */
  async roll(next: HeaderFields): Promise<void> {
    const previous = this.#active;
    const last = this.#last();
    const { segment, file } = await createSegment(this.#options, {
      ...next,
      sequence: last.sequence + 1,
      previousChecksum: previous.checksum,
    });
    last.lengthBytes = previous.lengthBytes;
    this.#list.push(segment);
    this.#active = file;
    await previous.close();
    await this.#measureSpace();
  }

  /**
   * Returns the index up to which whole segments can be removed, or 0. The rest has at least `keptBytes`
   * and all entries after `limit`. On a small disk, `keptBytes` is a quarter of the space that the disk
   * would have without the log, and 0 while it has no room for another segment.
   *
   * @param isFull whether the disk is known to be full
   */
  compactionPoint(limit: LogIndex, isFull: boolean): number {
    let laterBytes = this.sizeBytes;
    const availableBytes = this.#availableBytes;
    const hasNoRoom = isFull || availableBytes < this.#options.segmentBytes;
    const quarterBytes = (availableBytes + laterBytes) / 4;
    const keptBytes = hasNoRoom ? 0 : Math.min(this.#options.keptBytes, quarterBytes);
    let point = 0;
    for (const [position, segment] of this.#list.entries()) {
      const next = this.#list[position + 1];
      if (next === undefined || next.base.index > limit) break;
      laterBytes -= segment.lengthBytes;
      if (laterBytes < keptBytes) break;
      point = Math.max(point, next.base.index);
    }
    return point;
  }

  /**
   * Returns whether the segments that a compaction to `wanted` removes and one to `held` keeps are larger than
   * `keptBytes`, and than HELD_SEGMENTS_MIN full segments.
   */
  isHeldTooLong({ held, wanted }: { readonly held: number; readonly wanted: number }): boolean {
    let heldBytes = 0;
    for (const [position, segment] of this.#list.entries()) {
      const end = this.#list[position + 1]?.base.index;
      if (end !== undefined && end > held && end <= wanted) heldBytes += segment.lengthBytes;
    }
    const { keptBytes, segmentBytes } = this.#options;
    return heldBytes > Math.max(keptBytes, HELD_SEGMENTS_MIN * segmentBytes);
  }

  /** Removes the segments without an entry after `index`. */
  async removeBefore(index: LogIndex): Promise<void> {
    // A segment can be removed when the base of the next one is at or before `index`.
    await this.#removeFirst(this.#list.findLastIndex(({ base }) => base.index <= index));
  }

  /** Removes all segments but the active one. */
  removeOld(): Promise<void> {
    return this.#removeFirst(this.#list.length - 1);
  }

  /** Closes the active segment. */
  close(): Promise<void> {
    return this.#active.close();
  }

  /** Closes the active segment without a further write, after a failure. */
  abandon(): Promise<void> {
    return this.#active.abandon();
  }

  #last(): Segment {
    return present(this.#list.at(-1), "a log has a segment");
  }

  async #measureSpace(): Promise<void> {
    // If the disk does not answer, the last measurement stays. It affects only how much is kept for others.
    const space = await this.#options.disk.space().catch(() => null);
    if (space !== null) this.#availableBytes = space.availableBytes;
  }

  /**
   * Removes the `count` oldest segments, oldest first. Each removal is durable before the next one:
   * a gap would be reported as a missing segment.
   */
  async #removeFirst(count: number): Promise<void> {
    const { disk, directory } = this.#options;
    for (let removed = 0; removed < count; removed += 1) {
      const segment = present(this.#list[0], "a segment to remove exists");
      assert(segment.path !== this.#active.path, "the active segment is not removed");
      await disk.remove(segment.path);
      await disk.syncDirectory(directory);
      this.#list.shift();
    }
  }
}

/**
 * Opens the last segment. Its end may be in the page cache only after a crash of the process, so it
 * is written and synced again.
 */
async function openTail(
  options: LogSegmentsOptions,
  segments: readonly Segment[],
  tail: LogTail,
): Promise<SegmentFile> {
  const { disk, directory, newest } = options;
  const { path, sequence } = present(segments.at(-1), "a log with a tail has a segment");
  await newest.record(sequence);
  const file = await disk.open(path, "read-write");
  try {
    if (tail.lengthBytes > tail.offset) await file.truncate(tail.offset);
    await file.write([tail.last.bytes], tail.last.offset);
    await file.sync();
    await disk.syncDirectory(directory);
  } catch (error) {
    await file.close();
    throw error;
  }
  const end = { salt: tail.salt, checksum: tail.checksum, lengthBytes: tail.offset };
  return new SegmentFile({ ...options, path, file, end });
}

async function createSegment(
  options: LogSegmentsOptions,
  fields: HeaderFields & { readonly sequence: number; readonly previousChecksum?: Uint8Array },
): Promise<{ readonly segment: Segment; readonly file: SegmentFile }> {
  const { clusterId, memberId, random, directory } = options;
  const salt = random.bytes(SALT_BYTES);
  const previousChecksum = fields.previousChecksum ?? new Uint8Array(CHECKSUM_BYTES);
  const header = { ...fields, previousChecksum, clusterId, memberId, salt };
  const { sequence, base } = header;
  const path = segmentPath(directory, sequence, base.index);
  const file = await SegmentFile.create({ ...options, path, header });
  await options.newest.record(sequence);
  const segment = { path, sequence, base, salt, lengthBytes: SEGMENT_HEADER_BYTES, marks: [] };
  return { segment, file };
}
