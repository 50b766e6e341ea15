import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";

/** Receive window of the stream of one write: the bytes that the writer may send in advance. */
export const WRITE_WINDOW_BYTES = 4 * 1024 * 1024;

/** Smallest slab: a body of a few bytes occupies this much memory. */
const SLAB_BYTES_MIN = 4096;

/**
 * Bounds the memory of all writes together.
 *
 * Each admitted write reserves in advance the bytes that its stream's window lets the writer send.
 * So the receive slabs are never exhausted, and no write waits for the memory of another write.
 * Such a wait could deadlock if several chains contain the same servers in different orders.
 */
export class WriteAdmission {
  readonly #bytesMax: number;
  #reservedBytes = 0;
  #count = 0;
  readonly #onIdle: (() => void)[] = [];

  constructor(bytesMax: number) {
    assert(bytesMax >= WRITE_WINDOW_BYTES, "the limit has room for one write");
    this.#bytesMax = bytesMax;
  }

  /** Number of admitted writes. */
  get count(): number {
    return this.#count;
  }

  /** Bytes reserved for the admitted writes. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /**
   * Admits a write. The caller calls the returned function once, at the end of the write.
   *
   * @throws {AshlarError} OVERLOADED if there is no memory for the write. The write had no effect.
   */
  admit(sizeHintBytes: number | null): () => void {
    // One message beyond the window may arrive (see StreamReceiver). Slab sizes are powers of two.
    const hintedBytes =
      sizeHintBytes === null ? Number.POSITIVE_INFINITY : 2 * sizeHintBytes + SLAB_BYTES_MIN;
    const needBytes = Math.min(WRITE_WINDOW_BYTES + FRAME_BYTES_MAX, hintedBytes);
    if (this.#reservedBytes + needBytes > this.#bytesMax && this.#count > 0) {
      throw new AshlarError(
        "OVERLOADED",
        `Cannot accept another write: expected at most ${this.#bytesMax} bytes in flight: ${this.#count} writes hold ${this.#reservedBytes}`,
      );
    }
    this.#reservedBytes += needBytes;
    this.#count += 1;
    return () => {
      this.#reservedBytes -= needBytes;
      this.#count -= 1;
      assert(this.#reservedBytes >= 0 && this.#count >= 0, "a write is released once");
      if (this.#count === 0) for (const wake of this.#onIdle.splice(0)) wake();
    };
  }

  /** Resolves when no write is in progress. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }
}
