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

/** The entries that were read so far. */
interface Collected {
  readonly found: Entry[];
  sizeBytes: number;
  isFull: boolean;
}

/**
 * Reads consecutive entries from disk, from `wanted.first` on: at least one, at most `bytesMax`. A
 * segment may contain entries that later ones replaced: an entry is valid if its term is that of the
 * log at its index (Raft §5.3, log matching).
 *
 * @returns fewer entries, or none, if the log was compacted or replaced in the meantime
 * @throws {AshlarError} LOG_CORRUPT if a record is damaged or no segment has the first entry;
 *   DISK_FAILED
 */
export async function readEntries(source: Source, wanted: Wanted): Promise<Entry[]> {
  const segments = [...source.segments];
  const start = Math.max(
    0,
    segments.findLastIndex((segment) => segment.base.index < wanted.first),
  );
  const collected: Collected = { found: [], sizeBytes: 0, isFull: false };
  const isCurrent = (): boolean => wanted.first >= source.entries.firstIndex;
  for (const [offset, segment] of segments.slice(start).entries()) {
    if (collected.isFull || !isCurrent()) break;
    const isActive = start + offset === segments.length - 1;
    const endOffset = isActive ? wanted.activeEnd : segment.lengthBytes;
    try {
      await readSegment(source, wanted, { segment, endOffset, collected });
    } catch (error) {
      if (isCurrent() || !isAshlarError(error)) throw error;
    }
  }
  if (collected.found.length === 0 && isCurrent()) {
    const { path } = present(segments[start], "a log has a segment");
    throw logCorrupt(path, 0, `entry ${wanted.first}`);
  }
  return stillInLog(source, collected.found);
}

/** Returns the entries if the log still has the last one, and so all of them. Otherwise none. */
function stillInLog({ entries }: Source, found: Entry[]): Entry[] {
  const last = found.at(-1);
  return last !== undefined && entries.has(last) ? found : [];
}

interface Reading {
  readonly segment: Segment;
  readonly endOffset: number;
  readonly collected: Collected;
}

async function readSegment(source: Source, wanted: Wanted, reading: Reading): Promise<void> {
  const { segment, endOffset, collected } = reading;
  const mark = segment.marks.findLast(({ firstIndex }) => firstIndex <= wanted.first);
  const file = await source.disk.open(segment.path, "read");
  try {
    let offset = mark?.offset ?? SEGMENT_HEADER_BYTES;
    while (offset < endOffset && !collected.isFull) {
      const window = await readWindow(file, offset, endOffset);
      const usedBytes = takeRecords(source, wanted, { ...reading, window, offset });
      if (usedBytes === 0) return; // Zeros that were preallocated and not truncated.
      offset += usedBytes;
    }
  } finally {
    await file.close();
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

/** Collects the valid entries of the complete records in a window. @returns their size in bytes */
function takeRecords(
  { hasher, entries }: Source,
  wanted: Wanted,
  reading: Reading & { readonly window: Uint8Array; readonly offset: number },
): number {
  const { segment, window, offset, collected } = reading;
  const { salt, path } = segment;
  let usedBytes = 0;
  while (!collected.isFull) {
    const recordBytes = recordBytesAt(window, usedBytes);
    const isCut = recordBytes === null || usedBytes + recordBytes > window.length;
    if (isCut && usedBytes > 0) break;
    const result = readRecord(hasher, window, { salt, offset: usedBytes });
    if (result.kind !== "record") {
      if (window.subarray(usedBytes).every((byte) => byte === 0)) return usedBytes;
      throw logCorrupt(path, offset + usedBytes, "a valid record");
    }
    const items = decodeItems(result.payload, result.itemCount);
    addMark(segment, offset + usedBytes, items);
    for (const item of items) {
      if (item.kind === "entry") collect(entries, wanted, collected, item.entry);
    }
    usedBytes = result.nextOffset;
  }
  return usedBytes;
}

/** Adds `entry` if it is the next valid entry, unless the limit is reached. */
function collect(entries: LogEntries, wanted: Wanted, collected: Collected, entry: Entry): void {
  const { found } = collected;
  const next = wanted.first + found.length;
  if (collected.isFull || entry.index !== next || !entries.has(entry)) return;
  const sizeBytes = entrySizeBytes(entry);
  if (found.length > 0 && collected.sizeBytes + sizeBytes > wanted.bytesMax) {
    collected.isFull = true;
    return;
  }
  // A view would keep the whole window in memory.
  found.push({ ...entry, data: entry.data.slice() });
  collected.sizeBytes += sizeBytes;
  // The next entry is in memory.
  if (next + 1 >= entries.firstCachedIndex) collected.isFull = true;
}
