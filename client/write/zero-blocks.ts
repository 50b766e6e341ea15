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
  /** Null until the first upload: a client that only reads does not compute the hashes. */
  #zeroFrame: { readonly bytes: Uint8Array; readonly hashes: Uint8Array } | null = null;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  /** Returns whether `bytes`, with the block hashes `hashes`, are all zero. */
  isZero(bytes: Uint8Array, hashes: Uint8Array): boolean {
    const wholeBytes = bytes.length - (bytes.length % BLOCK_BYTES);
    const wholeHashBytes = (wholeBytes / BLOCK_BYTES) * DIGEST_BYTES;
    const zeros = this.#frameOfZeros();
    for (let index = 0; index < wholeHashBytes; index += 1) {
      if (hashes[index] !== zeros.hashes[index]) return false;
    }
    // A partial block at the end has another hash, so its bytes are compared.
    for (let index = wholeBytes; index < bytes.length; index += 1) {
      if (bytes[index] !== 0) return false;
    }
    return true;
  }

  /** Yields the frames of a chunk of `lengthBytes` zeros. They share one static buffer. */
  *frames(lengthBytes: number): Generator<ChunkFrame, void, void> {
    const zeros = this.#frameOfZeros();
    for (let offsetBytes = 0; offsetBytes < lengthBytes; offsetBytes += FRAME_BYTES_MAX) {
      const bytes = zeros.bytes.subarray(0, Math.min(FRAME_BYTES_MAX, lengthBytes - offsetBytes));
      const isShort = bytes.length % BLOCK_BYTES !== 0;
      const hashes = isShort
        ? hashBlocks(this.#hasher, bytes)
        : zeros.hashes.subarray(0, (bytes.length / BLOCK_BYTES) * DIGEST_BYTES);
      yield { offsetBytes, bytes, hashes, slab: null };
    }
  }

  /** Returns one frame of zeros and the hashes of its blocks, which all uploads share. */
  #frameOfZeros(): { readonly bytes: Uint8Array; readonly hashes: Uint8Array } {
    if (this.#zeroFrame === null) {
      const bytes = new Uint8Array(FRAME_BYTES_MAX);
      this.#zeroFrame = { bytes, hashes: hashBlocks(this.#hasher, bytes) };
    }
    return this.#zeroFrame;
  }
}
