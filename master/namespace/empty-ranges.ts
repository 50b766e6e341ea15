import { type Key, prefixEnd } from "./keys.ts";

/** Most ranges of one table: every write of a row compares its key with them. */
const RANGES_PER_TABLE_MAX = 2;

/**
 * Ranges of keys that have no row, although layers and the store may still have deleted rows there. A
 * range is in one table, which is the first byte of its keys.
 *
 * Rows of a queue are deleted from its first row on. Until they are flushed, a read of the first row would
 * skip all of them, and again with each read.
 */
export class EmptyRanges {
  /** By table: the exclusive ends of the ranges by their starts, the least recently used one first. */
  readonly #tables = new Map<string, Map<Key, Key>>();

  /** Returns the first key at or after `start` that may have a row. */
  skip(start: Key): Key {
    const ends = this.#tables.get(tableOf(start));
    const end = ends?.get(start);
    if (ends === undefined || end === undefined) return start;
    ends.delete(start);
    ends.set(start, end);
    return end;
  }

  /** Adds the range from `start` to `end`, exclusive, as far as it is in the table of `start`. */
  add(start: Key, end: Key): void {
    const table = tableOf(start);
    const tableEnd = prefixEnd(table);
    const ends = this.#tables.get(table) ?? new Map<Key, Key>();
    this.#tables.set(table, ends);
    ends.delete(start);
    ends.set(start, end < tableEnd ? end : tableEnd);
    for (const oldest of ends.keys()) {
      if (ends.size <= RANGES_PER_TABLE_MAX) return;
      ends.delete(oldest);
    }
  }

  /** Ends the ranges before `key`, which gets a row. */
  cut(key: Key): void {
    const ends = this.#tables.get(tableOf(key));
    if (ends === undefined) return;
    for (const [start, end] of ends) if (start <= key && key < end) ends.set(start, key);
  }
}

function tableOf(key: Key): string {
  return key.slice(0, 1);
}
