import { assert } from "../../shared/base/assert.ts";
import { BLOCK_BYTES, CHUNK_BYTES_MAX, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";

/** A frame of a chunk to send to the chunkservers. */
export interface ChunkFrame {
  /** Offset in the chunk, at a block boundary. */
  readonly offsetBytes: number;
  /** Whole blocks. Only the last block of the chunk may be short. */
  readonly bytes: Uint8Array;
  /** Block hashes, 32 bytes each. */
  readonly hashes: Uint8Array;
  /**
   * Owner of the memory of `bytes`, which is valid until the last `release`. Null for static
   * memory.
   */
  readonly slab: { retain(): void; release(): void } | null;
}

/**
 * Frames of one chunk that may have to be sent again.
 *
 * Invariant: the buffer holds every byte from `firstKeptBytes` on, and a whole chain has
 * acknowledged every byte before. A frame that ends within a block is kept until the chunk is
 * sealed, because a write chain is resumed at block boundaries only.
 */
export class ChunkBuffer {
  #frames: ChunkFrame[] = [];
  #lengthBytes = 0;
  #ackedBytes = 0;
  #isEnded = false;
  readonly #hashes: Uint8Array;

  constructor(capacityBytes: number) {
    assert(
      capacityBytes > 0 && capacityBytes <= CHUNK_BYTES_MAX,
      "the length of a chunk is 1 byte to 64 MiB",
    );
    this.#hashes = new Uint8Array(blockCount(capacityBytes) * DIGEST_BYTES);
  }

  /** Bytes pushed so far. */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** Bytes that a whole chain has acknowledged. */
  get ackedBytes(): number {
    return this.#ackedBytes;
  }

  /** Bytes pushed and not acknowledged. */
  get unackedBytes(): number {
    return this.#lengthBytes - this.#ackedBytes;
  }

  /** Whether all frames of the chunk were pushed. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Offset of the first byte that can be sent again. */
  get firstKeptBytes(): number {
    return this.#frames[0]?.offsetBytes ?? this.#lengthBytes;
  }

  /** Hashes of all blocks pushed so far, concatenated. */
  get blockHashes(): Uint8Array {
    return this.#hashes.subarray(0, blockCount(this.#lengthBytes) * DIGEST_BYTES);
  }

  /** Appends the next frame and takes ownership of its slab. */
  push(frame: ChunkFrame): void {
    assert(!this.#isEnded, "no frame follows the end of a chunk");
    assert(frame.offsetBytes === this.#lengthBytes, "frames are contiguous");
    assert(frame.offsetBytes % BLOCK_BYTES === 0, "a frame begins at a block boundary");
    assert(frame.bytes.length > 0, "a frame is not empty");
    assert(
      frame.hashes.length === blockCount(frame.bytes.length) * DIGEST_BYTES,
      "a frame has one hash per block",
    );
    this.#frames.push(frame);
    this.#hashes.set(frame.hashes, (frame.offsetBytes / BLOCK_BYTES) * DIGEST_BYTES);
    this.#lengthBytes += frame.bytes.length;
  }

  /** Marks the chunk as complete. */
  end(): void {
    this.#isEnded = true;
  }

  /**
   * Records that a whole chain has the bytes before `ackedBytes`, and releases their frames. A
   * lower value than before has no effect: a resumed chain acknowledges bytes again.
   */
  ack(ackedBytes: number): void {
    assert(ackedBytes <= this.#lengthBytes, "acknowledged bytes were pushed before");
    this.#ackedBytes = Math.max(this.#ackedBytes, ackedBytes);
    let doneCount = 0;
    for (const frame of this.#frames) {
      const endBytes = frame.offsetBytes + frame.bytes.length;
      if (endBytes > this.#ackedBytes || endBytes % BLOCK_BYTES !== 0) break;
      frame.slab?.release();
      doneCount += 1;
    }
    if (doneCount > 0) this.#frames = this.#frames.slice(doneCount);
  }

  /**
   * Returns the frame at `offsetBytes`, or the rest of the frame that contains it. Null if the
   * frame was not pushed yet.
   */
  frameAt(offsetBytes: number): ChunkFrame | null {
    assert(offsetBytes >= this.firstKeptBytes, "a released frame is not sent again");
    const frame = this.#frames.find((each) => each.offsetBytes + each.bytes.length > offsetBytes);
    if (frame === undefined || frame.offsetBytes === offsetBytes) return frame ?? null;
    const skipBytes = offsetBytes - frame.offsetBytes;
    assert(skipBytes % BLOCK_BYTES === 0, "a frame is cut at a block boundary");
    return {
      offsetBytes,
      bytes: frame.bytes.subarray(skipBytes),
      hashes: frame.hashes.subarray((skipBytes / BLOCK_BYTES) * DIGEST_BYTES),
      slab: frame.slab,
    };
  }

  /** Releases all frames, after the chunk was sealed or has failed. */
  clear(): void {
    for (const frame of this.#frames) frame.slab?.release();
    this.#frames = [];
  }
}
