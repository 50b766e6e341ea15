import { equalBytes } from "../../shared/base/bytes.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { CHECKSUM_BYTES, decodeItems, type LogItem, readRecord, SALT_BYTES } from "./log-record.ts";
import { addMark, logCorrupt, type Segment } from "./segment.ts";
import { SEGMENT_HEADER_BYTES } from "./segment-header.ts";

/** End of a segment, after its last valid record. */
export interface LogTail {
  readonly salt: Uint8Array;
  /** Checksum of the last record, or of the header. */
  readonly checksum: Uint8Array;
  /** Offset of the next record. It is followed by a torn record, by zeros, or by nothing. */
  readonly offset: number;
  /** Length of the file. */
  readonly lengthBytes: number;
  /** Whether the file has a torn record there. */
  readonly isTorn: boolean;
  /** The last record, or the header. `RaftLog.open` writes and syncs it again. */
  readonly last: { readonly offset: number; readonly bytes: Uint8Array };
}

interface SegmentBytes {
  readonly segment: Segment;
  readonly bytes: Uint8Array;
  /** Checksum of the header. */
  readonly checksum: Uint8Array;
}

/**
 * Reads the records of a segment up to its end, to preallocated zeros, or to a torn record.
 *
 * @throws {AshlarError} LOG_CORRUPT with path and offset
 */
export function readRecords(
  hasher: Hasher,
  { segment, bytes, checksum: headerChecksum }: SegmentBytes,
): { items: LogItem[]; tail: LogTail } {
  const { path, salt } = segment;
  const items: LogItem[] = [];
  let checksum = headerChecksum;
  let offset = SEGMENT_HEADER_BYTES;
  let lastOffset = 0;
  let isTorn = false;
  for (;;) {
    const result = readRecord(hasher, bytes, { salt, offset });
    if (result.kind === "end") break;
    if (result.kind === "bad") {
      if (isZero(bytes, offset)) break; // Preallocated space that was not used.
      const valid = nextRecord(hasher, bytes, { salt, offset: offset + 1 });
      if (valid !== null)
        throw logCorrupt(path, offset, "a valid record before another valid record");
      isTorn = true;
      break;
    }
    if (!equalBytes(result.previousChecksum, checksum))
      throw logCorrupt(path, offset, "the checksum of the previous record");
    const found = decodeItems(result.payload, result.itemCount);
    addMark(segment, offset, found);
    for (const item of found) items.push(item);
    checksum = result.checksum;
    lastOffset = offset;
    offset = result.nextOffset;
  }
  const last = { offset: lastOffset, bytes: bytes.subarray(lastOffset, offset) };
  return { items, tail: { salt, checksum, offset, lengthBytes: bytes.length, isTorn, last } };
}

/** Returns whether all bytes from `offset` on are zero. */
function isZero(bytes: Uint8Array, offset: number): boolean {
  for (let index = offset; index < bytes.length; index += 1) if (bytes[index] !== 0) return false;
  return true;
}

/** Returns the offset of the first valid record at or after `from.offset`, at any alignment. */
function nextRecord(
  hasher: Hasher,
  segment: Uint8Array,
  from: { readonly salt: Uint8Array; readonly offset: number },
): number | null {
  const { salt } = from;
  const firstByte = salt[0] as number;
  let saltOffset = segment.indexOf(firstByte, from.offset + CHECKSUM_BYTES);
  while (saltOffset !== -1) {
    const offset = saltOffset - CHECKSUM_BYTES;
    if (equalBytes(segment.subarray(saltOffset, saltOffset + SALT_BYTES), salt)) {
      if (readRecord(hasher, segment, { salt, offset }).kind === "record") return offset;
    }
    saltOffset = segment.indexOf(firstByte, saltOffset + 1);
  }
  return null;
}
