import { assert } from "../../shared/base/assert.ts";
import type { Slab, SlabPool } from "../../shared/flow/slabs.ts";
import type { ByteSource } from "./put-source.ts";

/**
 * Size of the first slab of a file. Small, because many small files may be written at the same
 * time.
 */
const FIRST_SLAB_BYTES = 64 * 1024;

/** A part of a file in a slab. All frames but the last have the same length. */
export interface UploadFrame {
  readonly slab: Slab;
  /** At least 1 byte. */
  readonly bytes: Uint8Array;
}

/**
 * Splits a source into frames of equal length, independent of the sizes of its pieces.
 *
 * The reader acquires a slab before it reads from the source, so an exhausted pool applies
 * back-pressure to the source.
 */
export class UploadFrameReader {
  readonly #source: ByteSource;
  readonly #slabs: SlabPool;
  readonly #signal: AbortSignal;
  readonly #frameBytes: number;
  #slabBytes: number;
  #isAtEnd = false;

  constructor(options: {
    readonly source: ByteSource;
    readonly slabs: SlabPool;
    readonly signal: AbortSignal;
    /** Length of every frame but the last. */
    readonly frameBytes: number;
    /** Expected size of the whole source in bytes, if known. */
    readonly sizeHint: number | undefined;
  }) {
    this.#source = options.source;
    this.#slabs = options.slabs;
    this.#signal = options.signal;
    this.#frameBytes = options.frameBytes;
    const { sizeHint = FIRST_SLAB_BYTES } = options;
    this.#slabBytes = Math.min(Math.max(sizeHint, 1) + 1, this.#frameBytes);
  }

  /** Whether the source has ended: the last returned frame was the last of the file. */
  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  /** Returns the next frame, or null at the end. The caller must release its slab. */
  async next(): Promise<UploadFrame | null> {
    if (this.#isAtEnd) return null;
    let slab: Slab | null = await this.#slabs.acquire(this.#slabBytes, this.#signal);
    try {
      let lengthBytes = await this.#fill(slab, 0);
      if (!this.#isAtEnd && lengthBytes < this.#frameBytes) {
        const small = slab;
        slab = null; // `#grow` releases it.
        slab = await this.#grow(small);
        lengthBytes = await this.#fill(slab, lengthBytes);
      }
      this.#slabBytes = this.#frameBytes;
      if (lengthBytes === 0) return null;
      const frame = { slab, bytes: slab.bytes.subarray(0, lengthBytes) };
      slab = null; // The caller's from here on.
      return frame;
    } finally {
      slab?.release();
    }
  }

  /**
   * Fills `slab` from `filledBytes` on until it is full or the source ends. Returns the number of
   * bytes in the slab.
   */
  async #fill(slab: Slab, filledBytes: number): Promise<number> {
    let lengthBytes = filledBytes;
    while (lengthBytes < slab.bytes.length) {
      if (this.#signal.aborted) throw this.#signal.reason;
      const count = await this.#source.fill(slab.bytes.subarray(lengthBytes));
      this.#isAtEnd = count === 0;
      if (this.#isAtEnd) break;
      lengthBytes += count;
    }
    return lengthBytes;
  }

  /**
   * Moves the bytes of a small first slab to a slab of full size. Releases the small slab first:
   * writers that hold one slab and wait for another could deadlock.
   */
  async #grow(small: Slab): Promise<Slab> {
    assert(small.bytes.length < this.#frameBytes, "only a small slab grows");
    const bytes = small.bytes.slice();
    small.release();
    const large = await this.#slabs.acquire(this.#frameBytes, this.#signal);
    large.bytes.set(bytes);
    return large;
  }
}
