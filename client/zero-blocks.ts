import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES } from "../shared/base/ids.ts";
import type { Hasher } from "../shared/ports/hasher.ts";
import { FRAME_BYTES_MAX } from "../shared/protocol/chunk-api.ts";
import { blockCount, chunkIdOf, hashBlocks } from "../shared/protocol/chunk-id.ts";
import type { ChunkFrame } from "./write/chunk-buffer.ts";

/** Number of chunk lengths whose ids are kept. Most files have two chunk lengths. */
const CHUNK_IDS_MAX = 64;

/** One frame of zeros and the hashes of its blocks. */
interface ZeroFrame {
  readonly bytes: Uint8Array;
  readonly hashes: Uint8Array;
}

/**
 * Detects and generates zeros, as in sparse files, without hashing them.
 *
 * `isZero` compares memory (memcmp), which ends at the first byte that is not zero. So it costs
 * nothing where a file has data, and a tenth of a hash where it has zeros.
 */
export class ZeroBlocks {
  readonly #hasher: Hasher;
  /** Null until the first use: most small reads and writes do not need it. */
  #zeroFrame: ZeroFrame | null = null;
  readonly #chunkIds = new Map<number, ChunkId>();

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  /** Returns whether `bytes` are all zero. At most FRAME_BYTES_MAX bytes. */
  isZero(bytes: Uint8Array): boolean {
    if (bytes[0] !== 0) return bytes.length === 0;
    return Buffer.compare(bytes, this.bytes(bytes.length)) === 0;
  }

  /**
   * Returns `lengthBytes` zeros in static memory, which must not be written to. At most
   * FRAME_BYTES_MAX bytes.
   */
  bytes(lengthBytes: number): Uint8Array {
    return this.#frame().bytes.subarray(0, lengthBytes);
  }

  /** Returns the block hashes of `lengthBytes` zeros. At most FRAME_BYTES_MAX bytes. */
  hashes(lengthBytes: number): Uint8Array {
    const wholeBytes = lengthBytes - (lengthBytes % BLOCK_BYTES);
    const whole = this.#frame().hashes.subarray(0, blockCount(wholeBytes) * DIGEST_BYTES);
    if (wholeBytes === lengthBytes) return whole;
    const hashes = new Uint8Array(whole.length + DIGEST_BYTES);
    hashes.set(whole);
    hashes.set(hashBlocks(this.#hasher, this.bytes(lengthBytes - wholeBytes)), whole.length);
    return hashes;
  }

  /** Returns the id of a chunk of `lengthBytes` zeros. */
  chunkId(lengthBytes: number): ChunkId {
    const known = this.#chunkIds.get(lengthBytes);
    if (known !== undefined) return known;
    const hashes = new Uint8Array(blockCount(lengthBytes) * DIGEST_BYTES);
    for (const frame of this.frames(lengthBytes)) {
      hashes.set(frame.hashes, (frame.offsetBytes / BLOCK_BYTES) * DIGEST_BYTES);
    }
    const id = chunkIdOf(this.#hasher, lengthBytes, hashes);
    if (this.#chunkIds.size === CHUNK_IDS_MAX) this.#chunkIds.clear();
    this.#chunkIds.set(lengthBytes, id);
    return id;
  }

  /** Yields the frames of a chunk of `lengthBytes` zeros. They share one static buffer. */
  *frames(lengthBytes: number): Generator<ChunkFrame, void, void> {
    for (let offsetBytes = 0; offsetBytes < lengthBytes; offsetBytes += FRAME_BYTES_MAX) {
      const frameBytes = Math.min(FRAME_BYTES_MAX, lengthBytes - offsetBytes);
      const bytes = this.bytes(frameBytes);
      yield { offsetBytes, bytes, hashes: this.hashes(frameBytes), slab: null };
    }
  }

  #frame(): ZeroFrame {
    if (this.#zeroFrame === null) {
      const bytes = new Uint8Array(FRAME_BYTES_MAX);
      const block = this.#hasher.hash(bytes.subarray(0, BLOCK_BYTES));
      const hashes = new Uint8Array(blockCount(FRAME_BYTES_MAX) * DIGEST_BYTES);
      for (let offset = 0; offset < hashes.length; offset += DIGEST_BYTES)
        hashes.set(block, offset);
      this.#zeroFrame = { bytes, hashes };
    }
    return this.#zeroFrame;
  }
}
