import type { Key } from "./keys.ts";

/** Most ranges that are known at the same time: every write of a row compares its key with all of them. */
const RANGES_MAX = 8;

/**
 * Ranges of keys that have no row, although layers and the store may still have deleted rows there.
 *
 * Rows of a queue are deleted from its first row on. Until they are flushed, a read of the first row would
 * skip all of them, and again with each read.
 */
export class EmptyRanges {
  /** The exclusive ends of the ranges by their starts, the oldest first. */
  readonly #ends = new Map<Key, Key>();

  /** Returns the first key at or after `start` that may have a row. */
  skip(start: Key): Key {
    return this.#ends.get(start) ?? start;
  }

  /** Adds the range from `start` to `end`, exclusive. */
  add(start: Key, end: Key): void {
    this.#ends.delete(start);
    this.#ends.set(start, end);
    for (const oldest of this.#ends.keys()) {
      if (this.#ends.size <= RANGES_MAX) return;
      this.#ends.delete(oldest);
    }
  }

  /** Ends the ranges before `key`, which gets a row. */
  cut(key: Key): void {
    for (const [start, end] of this.#ends) {
      if (start <= key && key < end) this.#ends.set(start, key);
    }
  }
}
