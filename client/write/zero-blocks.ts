import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { hashBlocks } from "../../shared/protocol/chunk-id.ts";
import type { ChunkFrame } from "./chunk-buffer.ts";

/**
 * Detects frames of zeros, as in sparse files, and generates them.
 *
 * A block of zeros is detected by its hash, which the upload computes in any case, so detection is
 * free.
 */
export class ZeroBlocks {
  readonly #hasher: Hasher;
  /** One frame of zeros, shared by all uploads. */
  readonly #bytes = new Uint8Array(FRAME_BYTES_MAX);
  readonly #hashes: Uint8Array;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
    this.#hashes = hashBlocks(hasher, this.#bytes);
  }

  /** Returns whether `bytes`, with the block hashes `hashes`, are all zero. */
  isZero(bytes: Uint8Array, hashes: Uint8Array): boolean {
    const wholeBytes = bytes.length - (bytes.length % BLOCK_BYTES);
    const wholeHashBytes = (wholeBytes / BLOCK_BYTES) * DIGEST_BYTES;
    for (let index = 0; index < wholeHashBytes; index += 1) {
      if (hashes[index] !== this.#hashes[index]) return false;
    }
    // A partial block at the end has another hash, so its bytes are compared.
    for (let index = wholeBytes; index < bytes.length; index += 1) {
      if (bytes[index] !== 0) return false;
    }
    return true;
  }

  /** Yields the frames of a chunk of `lengthBytes` zeros. They share one static buffer. */
  *frames(lengthBytes: number): Generator<ChunkFrame, void, void> {
    for (let offsetBytes = 0; offsetBytes < lengthBytes; offsetBytes += FRAME_BYTES_MAX) {
      const bytes = this.#bytes.subarray(0, Math.min(FRAME_BYTES_MAX, lengthBytes - offsetBytes));
      const isShort = bytes.length % BLOCK_BYTES !== 0;
      const hashes = isShort
        ? hashBlocks(this.#hasher, bytes)
        : this.#hashes.subarray(0, (bytes.length / BLOCK_BYTES) * DIGEST_BYTES);
      yield { offsetBytes, bytes, hashes, slab: null };
    }
  }
}
