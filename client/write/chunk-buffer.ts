import { assert } from "../../shared/base/assert.ts";
import { BLOCK_BYTES, CHUNK_BYTES_MAX, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";

/** A frame of a chunk on its way to the servers. */
export interface ChunkFrame {
  /** A block boundary. */
  readonly offsetBytes: number;
  /** Whole blocks; the chunk's last one may be short. */
  readonly bytes: Uint8Array;
  /** 32 bytes for every block. */
  readonly hashes: Uint8Array;
  /** The memory under `bytes` is kept until the last `release`; null where nobody waits for it. */
  readonly slab: { retain(): void; release(): void } | null;
}

/**
 * What was read of one chunk and may have to be sent again.
 *
 * Invariant: every byte from `firstKeptBytes` on is here, and every byte before it was acknowledged
 * by a whole chain. A frame that ends within a block is kept until the chunk is sealed, because a
 * chain is resumed at block boundaries only.
 */
export class ChunkBuffer {
  #frames: ChunkFrame[] = [];
  #lengthBytes = 0;
  #ackedBytes = 0;
  #isEnded = false;
  readonly #hashes: Uint8Array;

  constructor(capacityBytes: number) {
    assert(capacityBytes > 0 && capacityBytes <= CHUNK_BYTES_MAX, "a chunk has 1 byte to 64 MiB");
    this.#hashes = new Uint8Array(blockCount(capacityBytes) * DIGEST_BYTES);
  }

  /** Bytes of the chunk that were put in so far. */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  get ackedBytes(): number {
    return this.#ackedBytes;
  }

  get unackedBytes(): number {
    return this.#lengthBytes - this.#ackedBytes;
  }

  /** No frame follows. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  get firstKeptBytes(): number {
    return this.#frames[0]?.offsetBytes ?? this.#lengthBytes;
  }

  /** The hashes of all blocks, one after the other. */
  get blockHashes(): Uint8Array {
    return this.#hashes.subarray(0, blockCount(this.#lengthBytes) * DIGEST_BYTES);
  }

  push(frame: ChunkFrame): void {
    assert(!this.#isEnded, "nothing follows the end of a chunk");
    assert(frame.offsetBytes === this.#lengthBytes, "frames follow one another without gap");
    assert(frame.offsetBytes % BLOCK_BYTES === 0, "a frame begins at a block boundary");
    assert(frame.bytes.length > 0, "a frame has bytes");
    assert(
      frame.hashes.length === blockCount(frame.bytes.length) * DIGEST_BYTES,
      "a hash for every block",
    );
    this.#frames.push(frame);
    this.#hashes.set(frame.hashes, (frame.offsetBytes / BLOCK_BYTES) * DIGEST_BYTES);
    this.#lengthBytes += frame.bytes.length;
  }

  end(): void {
    this.#isEnded = true;
  }

  /** A whole chain has the bytes before `ackedBytes`. Acknowledgements may come again. */
  ack(ackedBytes: number): void {
    assert(ackedBytes <= this.#lengthBytes, "only what was sent is acknowledged");
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

  /** What is to be sent from `offsetBytes` on: a frame or the rest of one; null if nothing yet. */
  frameAt(offsetBytes: number): ChunkFrame | null {
    assert(offsetBytes >= this.firstKeptBytes, "what was given back is not asked for");
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

  /** Gives everything back: the chunk is sealed or given up. */
  clear(): void {
    for (const frame of this.#frames) frame.slab?.release();
    this.#frames = [];
  }
}
