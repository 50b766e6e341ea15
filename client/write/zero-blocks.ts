import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { hashBlocks } from "../../shared/protocol/chunk-id.ts";
import type { ChunkFrame } from "./chunk-buffer.ts";

/**
 * Recognises frames that hold nothing but zeros (a sparse file's), and makes them again.
 *
 * A block of zeros is known by its hash, which is computed anyway: looking for one costs nothing.
 */
export class ZeroBlocks {
  readonly #hasher: Hasher;
  /** One frame of zeros, for all who send one. */
  readonly #bytes = new Uint8Array(FRAME_BYTES_MAX);
  readonly #hashes: Uint8Array;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
    this.#hashes = hashBlocks(hasher, this.#bytes);
  }

  isZero(bytes: Uint8Array, hashes: Uint8Array): boolean {
    const wholeBytes = bytes.length - (bytes.length % BLOCK_BYTES);
    const wholeHashBytes = (wholeBytes / BLOCK_BYTES) * DIGEST_BYTES;
    for (let place = 0; place < wholeHashBytes; place += 1) {
      if (hashes[place] !== this.#hashes[place]) return false;
    }
    // The end of a file within a block has a hash of its own.
    for (let place = wholeBytes; place < bytes.length; place += 1) {
      if (bytes[place] !== 0) return false;
    }
    return true;
  }

  /** The frames of `lengthBytes` zeros from the start of a chunk on. They take no memory. */
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
