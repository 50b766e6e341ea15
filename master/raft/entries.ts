import type { LogIndex } from "../../shared/base/ids.ts";
import type { Entry, EntryPosition } from "./messages.ts";

/** What an entry takes on the wire beside its data; see `writeEntry` in `encoding.ts`. */
export const ENTRY_HEADER_BYTES = 24;

/** What an entry takes on the wire; in the log file it takes two bytes less. Positive. */
export function entrySizeBytes(entry: Entry): number {
  return ENTRY_HEADER_BYTES + entry.data.length;
}

export function entriesSizeBytes(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + entrySizeBytes(entry), 0);
}

/** Bytes of the state machine's own data: 0 for the entry that begins a term. */
export function payloadSizeBytes(entries: readonly { readonly data: Uint8Array }[]): number {
  return entries.reduce((sum, entry) => sum + entry.data.length, 0);
}

/** The longest prefix within `bytesMax`, but at least one entry if there is one. */
export function limitSize(entries: readonly Entry[], bytesMax: number): readonly Entry[] {
  let sizeBytes = 0;
  for (const [offset, entry] of entries.entries()) {
    sizeBytes += entrySizeBytes(entry);
    if (sizeBytes > bytesMax && offset > 0) return entries.slice(0, offset);
  }
  return entries;
}

export function positionOf(entry: EntryPosition): EntryPosition {
  return { index: entry.index, term: entry.term };
}

/** The index `count` places after `index`. */
export function indexAfter(index: LogIndex, count = 1): LogIndex {
  return (index + count) as LogIndex;
}

export function indexBefore(index: LogIndex): LogIndex {
  return (index - 1) as LogIndex;
}

export function minIndex(left: LogIndex, right: LogIndex): LogIndex {
  return left < right ? left : right;
}

export function maxIndex(left: LogIndex, right: LogIndex): LogIndex {
  return left > right ? left : right;
}
