import { assert } from "../../shared/base/assert.ts";
import type { Slab, SlabPool } from "../../shared/flow/slabs.ts";
import type { ByteSource } from "./put-source.ts";

/** The first frame begins small: many small files are written at the same time. */
const FIRST_SLAB_BYTES = 64 * 1024;

/** A part of a file, in a slab. Only the last frame of a file is shorter than the others. */
export interface UploadFrame {
  readonly slab: Slab;
  /** At least 1 byte. */
  readonly bytes: Uint8Array;
}

/**
 * Cuts a source into frames, whatever the sizes of its pieces.
 *
 * A slab is taken from the pool before the source is read: a pool that is empty slows the source.
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
    /** Bytes of every frame but the last. */
    readonly frameBytes: number;
    /** Bytes of the whole source, if somebody knows. */
    readonly sizeHint: number | undefined;
  }) {
    this.#source = options.source;
    this.#slabs = options.slabs;
    this.#signal = options.signal;
    this.#frameBytes = options.frameBytes;
    const { sizeHint = FIRST_SLAB_BYTES } = options;
    this.#slabBytes = Math.min(Math.max(sizeHint, 1) + 1, this.#frameBytes);
  }

  /** The source has ended: no frame follows the one that was given last. */
  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  /** The next frame, whose slab the caller releases, or null at the end. */
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

  /** Fills `slab` from `filledBytes` on, to its end or the source's; returns what it holds then. */
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
   * The first frame did not end in its small slab: on to a whole one. The small one is given back
   * first: writers that hold one slab and wait for another could wait for each other.
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
