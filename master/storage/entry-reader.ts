import { present } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Disk, DiskFile } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { entrySizeBytes } from "../raft/entries.ts";
import type { Entry } from "../raft/messages.ts";
import type { LogEntries } from "./log-entries.ts";
import { decodeItems, readRecord, recordBytesAt } from "./log-record.ts";
import { addMark, logCorrupt, type Segment } from "./segment.ts";
import { SEGMENT_HEADER_BYTES } from "./segment-header.ts";

/**
 * Bytes that are read in one step. They are hashed in one turn of the event loop: about 4 ms for
 * records of 300 bytes. A longer record, of up to 8 MiB for a group of appends, is read and hashed whole.
 */
const WINDOW_BYTES = 256 * 1024;

/** The log from which entries are read. */
interface Source {
  readonly disk: Disk;
  readonly hasher: Hasher;
  /** The segments, oldest first. */
  readonly segments: readonly Segment[];
  /** The valid index and term of each entry. */
  readonly entries: LogEntries;
}

/** The wanted entries. */
interface Wanted {
  readonly first: LogIndex;
  readonly bytesMax: number;
  /** Length of the active segment, up to which it is durable. */
  readonly activeEnd: number;
}

/** The bytes of a segment that are read in one step. */
interface Window {
  readonly segment: Segment;
  /** Offset of the bytes in the segment. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * One read of consecutive entries from disk. A segment may contain entries that later ones replaced: an
 * entry is valid if its term is that of the log at its index (Raft §5.3, log matching).
 */
export class EntryReader {
  readonly #source: Source;
  readonly #wanted: Wanted;
  /** The valid entries that were read so far, from `first` on. */
  readonly #found: Entry[] = [];
  #sizeBytes = 0;
  /** Whether the limit is reached, or the next entry is in memory. */
  #isFull = false;

  constructor(source: Source, wanted: Wanted) {
    this.#source = source;
    this.#wanted = wanted;
  }

  /**
   * Reads the entries from `first` on: at least one, at most `bytesMax`. Called once.
   *
   * @returns fewer entries, or none, if the log was compacted or replaced in the meantime
   * @throws {AshlarError} LOG_CORRUPT if a record is damaged or no segment has the first entry;
   *   DISK_FAILED
   */
  async read(): Promise<Entry[]> {
    const { first, activeEnd } = this.#wanted;
    const segments = [...this.#source.segments];
    const start = Math.max(
      0,
      segments.findLastIndex((segment) => segment.base.index < first),
    );
    for (const [offset, segment] of segments.slice(start).entries()) {
      if (this.#isFull || !this.#isCurrent()) break;
      const isActive = start + offset === segments.length - 1;
      try {
        await this.#readSegment(segment, isActive ? activeEnd : segment.lengthBytes);
      } catch (error) {
        if (this.#isCurrent() || !isAshlarError(error)) throw error;
      }
    }
    if (this.#found.length === 0 && this.#isCurrent()) {
      const { path } = present(segments[start], "a log has a segment");
      throw logCorrupt(path, 0, `entry ${first}`);
    }
    return this.#isStillInLog() ? this.#found : [];
  }

  /** Whether the log has not been compacted beyond the first entry. */
  #isCurrent(): boolean {
    return this.#wanted.first >= this.#source.entries.firstIndex;
  }

  /** Whether the log still has the last entry that was read, and so all of them. */
  #isStillInLog(): boolean {
    const last = this.#found.at(-1);
    return last !== undefined && this.#source.entries.has(last);
  }

  async #readSegment(segment: Segment, endOffset: number): Promise<void> {
    const mark = segment.marks.findLast(({ firstIndex }) => firstIndex <= this.#wanted.first);
    const file = await this.#source.disk.open(segment.path, "read");
    try {
      let offset = mark?.offset ?? SEGMENT_HEADER_BYTES;
      while (offset < endOffset && !this.#isFull) {
        const bytes = await readWindow(file, offset, endOffset);
        const usedBytes = this.#takeRecords({ segment, offset, bytes });
        if (usedBytes === 0) return; // Zeros that were preallocated and not truncated.
        offset += usedBytes;
      }
    } finally {
      await file.close();
    }
  }

  /** Takes the valid entries of the complete records in a window. @returns their size in bytes */
  #takeRecords({ segment, offset, bytes }: Window): number {
    const { salt, path } = segment;
    let usedBytes = 0;
    while (!this.#isFull) {
      const recordBytes = recordBytesAt(bytes, usedBytes);
      const isCut = recordBytes === null || usedBytes + recordBytes > bytes.length;
      if (isCut && usedBytes > 0) break;
      const result = readRecord(this.#source.hasher, bytes, { salt, offset: usedBytes });
      if (result.kind !== "record") {
        if (bytes.subarray(usedBytes).every((byte) => byte === 0)) return usedBytes;
        throw logCorrupt(path, offset + usedBytes, "a valid record");
      }
      const items = decodeItems(result.payload, result.itemCount);
      addMark(segment, offset + usedBytes, items);
      for (const item of items) {
        if (item.kind === "entry") this.#take(item.entry);
      }
      usedBytes = result.nextOffset;
    }
    return usedBytes;
  }

  /** Takes `entry` if it is the next valid entry, unless the limit is reached. */
  #take(entry: Entry): void {
    const { entries } = this.#source;
    const next = this.#wanted.first + this.#found.length;
    if (this.#isFull || entry.index !== next || !entries.has(entry)) return;
    const sizeBytes = entrySizeBytes(entry);
    if (this.#found.length > 0 && this.#sizeBytes + sizeBytes > this.#wanted.bytesMax) {
      this.#isFull = true;
      return;
    }
    // A view would keep the whole window in memory.
    this.#found.push({ ...entry, data: entry.data.slice() });
    this.#sizeBytes += sizeBytes;
    if (next + 1 >= entries.firstCachedIndex) this.#isFull = true;
  }
}

/** Reads the bytes from `offset` on: a window, or the whole record there if it is longer. */
async function readWindow(file: DiskFile, offset: number, endOffset: number): Promise<Uint8Array> {
  const restBytes = endOffset - offset;
  const window = await readAt(file, offset, Math.min(WINDOW_BYTES, restBytes));
  const recordBytes = recordBytesAt(window, 0);
  if (recordBytes === null || recordBytes <= window.length) return window;
  return await readAt(file, offset, Math.min(recordBytes, restBytes));
}

async function readAt(file: DiskFile, offset: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  return bytes.subarray(0, await file.read(bytes, offset));
}
