import { assert } from "../../shared/base/assert.ts";
import type { Slab, SlabPool } from "../../shared/flow/slabs.ts";
import type { ByteSource } from "./put-source.ts";

/**
 * Size of the first slab of a file. Small, because many small files may be written at the same
 * time.
 */
const FIRST_SLAB_BYTES = 64 * 1024;

/**
 * The slabs of all uploads of a client. The first frame of a chunk has a pool of its own: it is held while
 * the chunk waits for servers. So a chunk that the servers have admitted never waits for memory of
 * one that they have not.
 */
export interface UploadSlabs {
  readonly first: SlabPool;
  readonly next: SlabPool;
}

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
  readonly #slabs: UploadSlabs;
  readonly #signal: AbortSignal;
  readonly #frameBytes: number;
  readonly #framesPerChunk: number;
  #frameCount = 0;
  #slabBytes: number;
  #isAtEnd = false;

  constructor(options: {
    readonly source: ByteSource;
    readonly slabs: UploadSlabs;
    readonly signal: AbortSignal;
    /** Length of every frame but the last. */
    readonly frameBytes: number;
    /** Length of every chunk but the last: a multiple of `frameBytes`. */
    readonly chunkSizeBytes: number;
    /** Expected size of the whole source in bytes, if known. */
    readonly sizeHint: number | undefined;
  }) {
    this.#source = options.source;
    this.#slabs = options.slabs;
    this.#signal = options.signal;
    this.#frameBytes = options.frameBytes;
    this.#framesPerChunk = options.chunkSizeBytes / options.frameBytes;
    assert(Number.isInteger(this.#framesPerChunk), "a chunk consists of whole frames");
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
    const isFirst = this.#frameCount % this.#framesPerChunk === 0;
    const slabs = isFirst ? this.#slabs.first : this.#slabs.next;
    let slab: Slab | null = await slabs.acquire(this.#slabBytes, this.#signal);
    try {
      let lengthBytes = await this.#fill(slab, 0);
      if (!this.#isAtEnd && lengthBytes < this.#frameBytes) {
        const small = slab;
        slab = null; // `#grow` releases it.
        slab = await this.#grow(small, slabs);
        lengthBytes = await this.#fill(slab, lengthBytes);
      }
      this.#slabBytes = this.#frameBytes;
      this.#frameCount += 1;
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
  async #grow(small: Slab, slabs: SlabPool): Promise<Slab> {
    assert(small.bytes.length < this.#frameBytes, "only a small slab grows");
    const bytes = small.bytes.slice();
    small.release();
    const large = await slabs.acquire(this.#frameBytes, this.#signal);
    large.bytes.set(bytes);
    return large;
  }
}
