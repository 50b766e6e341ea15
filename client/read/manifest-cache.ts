import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { blockCount, chunkIdOf } from "../../shared/protocol/chunk-id.ts";

/** The block hashes of a chunk, proved against its id. */
export interface Manifest {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  /** 32 bytes for every block, in order. */
  readonly hashes: Uint8Array;
}

/**
 * A manifest from a server that need not be trusted.
 *
 * @throws {AshlarError} CHUNK_CORRUPT if it is not the one that the id stands for.
 */
export function verifyManifest(
  hasher: Hasher,
  chunkId: ChunkId,
  claim: { readonly lengthBytes: number; readonly hashes: Uint8Array },
): Manifest {
  const { lengthBytes, hashes } = claim;
  const isWhole = lengthBytes > 0 && hashes.length === blockCount(lengthBytes) * DIGEST_BYTES;
  if (isWhole && chunkIdOf(hasher, lengthBytes, hashes) === chunkId) {
    return { chunkId, lengthBytes, hashes };
  }
  throw new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot use the block hashes of chunk ${chunkId}: they do not hash to its id`,
  );
}

/**
 * How many bytes of `bytes`, which begin at the block boundary `offsetBytes` of the chunk, are
 * proved by the manifest: all, or those before the first block that does not match.
 */
export function verifiedBytes(
  hasher: Hasher,
  manifest: Manifest,
  offsetBytes: number,
  bytes: Uint8Array,
): number {
  let provedBytes = 0;
  while (provedBytes < bytes.length) {
    const startBytes = offsetBytes + provedBytes;
    // A block that was cut short by the sender is no block of this chunk: its hash will not match.
    const block = bytes.subarray(provedBytes, provedBytes + BLOCK_BYTES);
    if (!isHashAt(manifest.hashes, startBytes / BLOCK_BYTES, hasher.hash(block))) break;
    provedBytes += block.length;
  }
  return provedBytes;
}

function isHashAt(hashes: Uint8Array, block: number, digest: Uint8Array): boolean {
  const start = block * DIGEST_BYTES;
  for (let place = 0; place < DIGEST_BYTES; place += 1) {
    if (hashes[start + place] !== digest[place]) return false;
  }
  return true;
}

/** The manifests that were used last. A chunk never changes, so an entry never grows stale. */
export class ManifestCache {
  readonly #bytesMax: number;
  /** In the order of use, the oldest first. */
  readonly #manifests = new Map<ChunkId, Manifest>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(chunkId: ChunkId): Manifest | undefined {
    const manifest = this.#manifests.get(chunkId);
    if (manifest === undefined) return undefined;
    this.#manifests.delete(chunkId);
    this.#manifests.set(chunkId, manifest);
    return manifest;
  }

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
