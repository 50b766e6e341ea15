import { compareBytes } from "../base/bytes.ts";
import type { KeyValue, RangeOptions } from "../ports/ordered-store.ts";

/** Rows of the first batch: many callers need a single row. Each batch is a multiple of the one before it. */
const BATCH_ENTRIES_MIN = 1;
const BATCH_GROWTH = 8;
const BATCH_ENTRIES_MAX = 1024;
/** A batch ends with the row that exceeds this size. A value has up to 8 MiB. */
const BATCH_BYTES_MAX = 1024 * 1024;

/** The part of a range that is not read yet. */
export interface RangeRest {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly reverse: boolean;
}

/**
 * Yields the rows of a range, which are read in batches. No cursor of the store is open while the
 * caller handles a row, so the caller may wait or stop between rows, and a slow caller does not
 * prevent the store from reusing pages.
 *
 * @param read returns an iterator over the rest. The iterator is read to its end or closed within
 *   one turn of the event loop.
 */
export function* rangeInBatches(
  options: RangeOptions,
  read: (rest: RangeRest) => Iterable<KeyValue>,
): Generator<KeyValue, void, void> {
  let remaining = options.limit ?? Number.POSITIVE_INFINITY;
  let batchEntriesMax = BATCH_ENTRIES_MIN;
  let rest: RangeRest | null = {
    start: options.start,
    end: options.end,
    reverse: options.reverse ?? false,
  };
  while (rest !== null && remaining > 0 && compareBytes(rest.start, rest.end) < 0) {
    const batch = takeBatch(read(rest), Math.min(remaining, batchEntriesMax));
    for (const entry of batch.entries) yield entry;
    remaining -= batch.entries.length;
    const last = batch.entries.at(-1);
    rest = batch.ended || last === undefined ? null : restAfter(last.key, rest);
    batchEntriesMax = Math.min(batchEntriesMax * BATCH_GROWTH, BATCH_ENTRIES_MAX);
  }
}

function takeBatch(
  source: Iterable<KeyValue>,
  entriesMax: number,
): { readonly entries: readonly KeyValue[]; readonly ended: boolean } {
  const entries: KeyValue[] = [];
  let bytes = 0;
  for (const entry of source) {
    entries.push(entry);
    bytes += entry.value.length;
    if (entries.length >= entriesMax || bytes >= BATCH_BYTES_MAX) return { entries, ended: false };
  }
  return { entries, ended: true };
}

function restAfter(key: Uint8Array, rest: RangeRest): RangeRest {
  if (rest.reverse) return { ...rest, end: key };
  const next = new Uint8Array(key.length + 1); // The smallest key above `key`.
  next.set(key);
  return { ...rest, start: next };
}
