import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";

/** Bytes that one write may send ahead: the window of its stream. */
export const WRITE_WINDOW_BYTES = 4 * 1024 * 1024;

const SLAB_BYTES_MIN = 4096;

/**
 * Bounds what all writes together hold in memory.
 *
 * Every write that is let in takes what its stream's window lets the writer send ahead, before any
 * of it comes. So the receive slabs never run out, and no write waits for the memory of another:
 * with several chains through the same servers in different orders that would be a deadlock.
 */
export class WriteAdmission {
  readonly #bytesMax: number;
  #takenBytes = 0;
  #count = 0;
  readonly #onIdle: (() => void)[] = [];

  constructor(bytesMax: number) {
    assert(bytesMax >= WRITE_WINDOW_BYTES, "one write fits");
    this.#bytesMax = bytesMax;
  }

  /** Writes that were let in and have not left. */
  get count(): number {
    return this.#count;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /**
   * Lets a write in; the returned function lets it leave.
   *
   * @throws {AshlarError} OVERLOADED: there is no room; the write had no effect.
   */
  enter(sizeHintBytes: number | null): () => void {
    // One message more than the window may come (see StreamReceiver); slabs are powers of two.
    const ofSizeBytes =
      sizeHintBytes === null ? Number.POSITIVE_INFINITY : 2 * sizeHintBytes + SLAB_BYTES_MIN;
    const needBytes = Math.min(WRITE_WINDOW_BYTES + FRAME_BYTES_MAX, ofSizeBytes);
    if (this.#takenBytes + needBytes > this.#bytesMax && this.#count > 0) {
      throw new AshlarError(
        "OVERLOADED",
        `Cannot take another write: expected at most ${this.#bytesMax} bytes in flight: ${this.#count} writes hold ${this.#takenBytes}`,
      );
    }
    this.#takenBytes += needBytes;
    this.#count += 1;
    return () => {
      this.#takenBytes -= needBytes;
      this.#count -= 1;
      assert(this.#takenBytes >= 0 && this.#count >= 0, "a write leaves once");
      if (this.#count === 0) for (const wake of this.#onIdle.splice(0)) wake();
    };
  }

  /** Resolves when no write is under way. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }
}
