import { assert } from "../../shared/base/assert.ts";

/**
 * How many bytes readers have asked for and not consumed, over all of them.
 *
 * What is read ahead waits for room. What a consumer waits for is always asked for, in small
 * pieces when there is no room: readers that wait for one another's room would never go on.
 */
export class ReadAheadBudget {
  readonly #bytesMax: number;
  #usedBytes = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "there is room to read ahead");
    this.#bytesMax = bytesMax;
  }

  get freeBytes(): number {
    return Math.max(0, this.#bytesMax - this.#usedBytes);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  acquire(bytes: number): void {
    this.#usedBytes += bytes;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
    assert(this.#usedBytes >= 0, "no more is given back than was taken");
  }
}
