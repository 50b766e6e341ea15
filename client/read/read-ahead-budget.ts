import { assert } from "../../shared/base/assert.ts";

/**
 * Bytes that all readers of one client have requested and their consumers have not released yet.
 *
 * A reader requests data ahead of its consumer only while the budget has free bytes. A segment that
 * a consumer waits for is requested in any case, as a small segment if the budget is exhausted.
 * Otherwise readers that wait for each other's bytes would deadlock.
 */
export class ReadAheadBudget {
  readonly #bytesMax: number;
  #usedBytes = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "the read-ahead budget is positive");
    this.#bytesMax = bytesMax;
  }

  /** Bytes that can still be requested ahead. 0 while the budget is exceeded. */
  get freeBytes(): number {
    return Math.max(0, this.#bytesMax - this.#usedBytes);
  }

  /** Bytes requested and not released. May exceed the budget. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Counts `bytes` as used, also beyond the budget. */
  acquire(bytes: number): void {
    this.#usedBytes += bytes;
  }

  /** Returns `bytes` that were acquired before. */
  release(bytes: number): void {
    this.#usedBytes -= bytes;
    assert(this.#usedBytes >= 0, "released bytes were acquired before");
  }
}
