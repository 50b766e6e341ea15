import type { LogIndex } from "../../shared/base/ids.ts";
import type { Entry, EntryPosition } from "./messages.ts";

/** Size of an entry on the wire without its data; see `writeEntry` in `encoding.ts`. */
export const ENTRY_HEADER_BYTES = 24;

/** Returns the size of an entry on the wire, always positive. In the log file it is 2 less. */
export function entrySizeBytes(entry: Entry): number {
  return ENTRY_HEADER_BYTES + entry.data.length;
}

/** Returns the sum of the sizes on the wire. */
export function entriesSizeBytes(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + entrySizeBytes(entry), 0);
}

/** Returns the size of the payloads alone: 0 for the entry that begins a term. */
export function payloadSizeBytes(entries: readonly { readonly data: Uint8Array }[]): number {
  return entries.reduce((sum, entry) => sum + entry.data.length, 0);
}

/**
 * Returns the longest prefix of at most `bytesMax`, but at least the first entry if there is one.
 */
export function limitSize(entries: readonly Entry[], bytesMax: number): readonly Entry[] {
  let sizeBytes = 0;
  for (const [offset, entry] of entries.entries()) {
    sizeBytes += entrySizeBytes(entry);
    if (sizeBytes > bytesMax && offset > 0) return entries.slice(0, offset);
  }
  return entries;
}

/** Returns index and term only. */
export function positionOf(entry: EntryPosition): EntryPosition {
  return { index: entry.index, term: entry.term };
}

/** Returns `index + count`. */
export function indexAfter(index: LogIndex, count = 1): LogIndex {
  return (index + count) as LogIndex;
}

/** Returns `index - 1`. */
export function indexBefore(index: LogIndex): LogIndex {
  return (index - 1) as LogIndex;
}

/** Returns the lower index. */
export function minIndex(left: LogIndex, right: LogIndex): LogIndex {
  return left < right ? left : right;
}

/** Returns the higher index. */
export function maxIndex(left: LogIndex, right: LogIndex): LogIndex {
  return left > right ? left : right;
}
