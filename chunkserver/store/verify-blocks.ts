import { assert } from "../../shared/base/assert.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";

/**
 * Returns the position of the first block of `bytes` that does not match its hash, -1 if all match.
 * `bytes` starts at a block boundary of its chunk, and `hashes` with the hash of its first block.
 */
export function firstCorruptBlock(hasher: Hasher, bytes: Uint8Array, hashes: Uint8Array): number {
  const count = blockCount(bytes.length);
  assert(hashes.length >= count * DIGEST_BYTES, "each block has a hash");
  for (let block = 0; block < count; block += 1) {
    const start = block * BLOCK_BYTES;
    const digest = hasher.hash(bytes.subarray(start, start + BLOCK_BYTES));
    if (!matches(digest, hashes, block * DIGEST_BYTES)) return block;
  }
  return -1;
}

/** Compares without a copy: this runs once for every block that passes through the server. */
function matches(digest: Uint8Array, hashes: Uint8Array, offset: number): boolean {
  for (let index = 0; index < DIGEST_BYTES; index += 1) {
    if (digest[index] !== hashes[offset + index]) return false;
  }
  return true;
}
