import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { blockCount, chunkIdOf } from "../../shared/protocol/chunk-id.ts";

/** The block hashes of a chunk, verified against its id. */
export interface Manifest {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  /** Hashes of the blocks in order, 32 bytes each. */
  readonly hashes: Uint8Array;
}

/**
 * Verifies block hashes from an untrusted server.
 *
 * @throws {AshlarError} CHUNK_CORRUPT if the hashes do not match `chunkId`.
 */
export function verifyManifest(
  hasher: Hasher,
  chunkId: ChunkId,
  claim: { readonly lengthBytes: number; readonly hashes: Uint8Array },
): Manifest {
  const { lengthBytes, hashes } = claim;
  const isComplete = lengthBytes > 0 && hashes.length === blockCount(lengthBytes) * DIGEST_BYTES;
  if (isComplete && chunkIdOf(hasher, lengthBytes, hashes) === chunkId) {
    return { chunkId, lengthBytes, hashes };
  }
  throw new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot use the block hashes of chunk ${chunkId}: the hashes do not match the chunk id`,
  );
}

/**
 * Returns how many of `bytes` match the manifest: all, or those before the first block with another
 * hash. `bytes` start at the block boundary `offsetBytes` of the chunk.
 */
export function countVerifiedBytes(
  hasher: Hasher,
  manifest: Manifest,
  offsetBytes: number,
  bytes: Uint8Array,
): number {
  let matchingBytes = 0;
  while (matchingBytes < bytes.length) {
    const startBytes = offsetBytes + matchingBytes;
    // A block that the sender truncated has another hash than the block of the chunk.
    const block = bytes.subarray(matchingBytes, matchingBytes + BLOCK_BYTES);
    if (!isHashAt(manifest.hashes, startBytes / BLOCK_BYTES, hasher.hash(block))) break;
    matchingBytes += block.length;
  }
  return matchingBytes;
}

function isHashAt(hashes: Uint8Array, block: number, digest: Uint8Array): boolean {
  const start = block * DIGEST_BYTES;
  for (let index = 0; index < DIGEST_BYTES; index += 1) {
    if (hashes[start + index] !== digest[index]) return false;
  }
  return true;
}

/**
 * LRU cache of manifests, bounded by bytes. A chunk never changes, so entries never become stale.
 */
export class ManifestCache {
  readonly #bytesMax: number;
  /** Manifests in the order of their last use, the oldest first. */
  readonly #manifests = new Map<ChunkId, Manifest>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Returns a manifest and marks it as recently used. */
  get(chunkId: ChunkId): Manifest | undefined {
    const manifest = this.#manifests.get(chunkId);
    if (manifest === undefined) return undefined;
    this.#manifests.delete(chunkId);
    this.#manifests.set(chunkId, manifest);
    return manifest;
  }

  /** Adds a manifest, and evicts the least recently used ones beyond the limit. */
  put(manifest: Manifest): void {
    if (this.#manifests.has(manifest.chunkId)) return;
    this.#manifests.set(manifest.chunkId, manifest);
    this.#bytes += manifest.hashes.length;
    for (const [oldestId, oldest] of this.#manifests) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#manifests.delete(oldestId);
      this.#bytes -= oldest.hashes.length;
    }
  }
}
