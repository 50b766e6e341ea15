import { assert } from "../base/assert.ts";
import { concatBytes, equalBytes, toHex } from "../base/bytes.ts";
import {
  BLOCK_BYTES,
  CHUNK_BYTES_MAX,
  type ChunkId,
  DIGEST_BYTES,
  type Digest,
} from "../base/ids.ts";
import type { Hasher } from "../ports/hasher.ts";

const CHUNK_ID_CONTEXT = "ashlar 2026-11-21 chunk id v1";
const CONTENT_ROOT_CONTEXT = "ashlar 2026-11-21 content root v1";
const SEGMENT_CONTEXT = "ashlar 2026-11-28 content segment v1";
const CONTENT_TREE_CONTEXT = "ashlar 2026-11-28 content tree v1";

/** Chunks of a segment: see `treeRootOf`. */
export const SEGMENT_CHUNKS = 256;
/** A published upload of more chunks has the root of `treeRootOf`, any other file that of `contentRootOf`. */
export const LIST_ROOT_CHUNKS_MAX = 1_024;

/** Returns the number of blocks in a chunk. Every block but the last has BLOCK_BYTES. */
export function blockCount(lengthBytes: number): number {
  return Math.ceil(lengthBytes / BLOCK_BYTES);
}

/**
 * Returns the id of a chunk: BLAKE3-256 in derive-key mode over
 *
 *     offset  size  field
 *          0     8  length of the chunk in bytes, little-endian
 *          8  32*n  its block hashes (BLAKE3-256 of each block), in order
 *
 * It is the root of a two-level Merkle tree: with the id, any block of the chunk can be verified.
 *
 * @param blockHashes the concatenated n hashes of 32 bytes
 */
export function chunkIdOf(hasher: Hasher, lengthBytes: number, blockHashes: Uint8Array): ChunkId {
  return toHex(chunkDigestOf(hasher, lengthBytes, blockHashes)) as ChunkId;
}

/** Returns the 32 bytes of the id of a chunk: see `chunkIdOf`. */
export function chunkDigestOf(
  hasher: Hasher,
  lengthBytes: number,
  blockHashes: Uint8Array,
): Digest {
  assert(lengthBytes > 0 && lengthBytes <= CHUNK_BYTES_MAX, "a chunk has 1 byte to 64 MiB");
  assert(blockHashes.length === blockCount(lengthBytes) * DIGEST_BYTES, "every block has a hash");
  const material = new Uint8Array(8 + blockHashes.length);
  new DataView(material.buffer).setBigUint64(0, BigInt(lengthBytes), true);
  material.set(blockHashes, 8);
  return hasher.deriveKey(CHUNK_ID_CONTEXT, material);
}

/**
 * Returns the concatenated block hashes of `bytes`, which begins at a block boundary of its chunk.
 */
export function hashBlocks(hasher: Hasher, bytes: Uint8Array): Uint8Array {
  const hashes = new Uint8Array(blockCount(bytes.length) * DIGEST_BYTES);
  for (let block = 0; block * BLOCK_BYTES < bytes.length; block += 1) {
    const blockBytes = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    hashes.set(hasher.hash(blockBytes), block * DIGEST_BYTES);
  }
  return hashes;
}

/**
 * Returns the content root of a file: BLAKE3-256 in derive-key mode over its size (8 bytes,
 * little-endian), its chunk size (8 bytes) and its chunk ids (32 bytes each), in order. Equal files
 * with equal chunk sizes have equal roots. An inline file counts as one chunk; an empty file has no
 * chunks.
 */
export function contentRootOf(
  hasher: Hasher,
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  chunkIds: readonly Uint8Array[],
): Digest {
  return hasher.deriveKey(CONTENT_ROOT_CONTEXT, rootMaterial(file, concatBytes(chunkIds)));
}

/** Returns the digest of up to SEGMENT_CHUNKS chunk ids: BLAKE3-256 in derive-key mode over them. */
export function segmentDigestOf(hasher: Hasher, chunkIds: readonly Uint8Array[]): Digest {
  assert(chunkIds.length <= SEGMENT_CHUNKS, "a segment has at most 256 chunks");
  return hasher.deriveKey(SEGMENT_CONTEXT, concatBytes(chunkIds));
}

/**
 * Returns the content root of a large file: as `contentRootOf`, in another context, over the digests of
 * its segments instead of its chunk ids. A segment has SEGMENT_CHUNKS chunks, the last one the rest. So
 * the root of a file that grows is known without its whole list of chunks.
 *
 * @param segments the concatenated digests
 */
export function treeRootOf(
  hasher: Hasher,
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  segments: Uint8Array,
): Digest {
  return hasher.deriveKey(CONTENT_TREE_CONTEXT, rootMaterial(file, segments));
}

/** Returns the content root of a file that `publish` makes of an upload. */
export function publishedRootOf(
  hasher: Hasher,
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  chunkIds: readonly Uint8Array[],
): Digest {
  if (chunkIds.length <= LIST_ROOT_CHUNKS_MAX) return contentRootOf(hasher, file, chunkIds);
  const segments: Uint8Array[] = [];
  for (let start = 0; start < chunkIds.length; start += SEGMENT_CHUNKS) {
    segments.push(segmentDigestOf(hasher, chunkIds.slice(start, start + SEGMENT_CHUNKS)));
  }
  return treeRootOf(hasher, file, concatBytes(segments));
}

/** Returns whether `root` is a content root of a file with these chunks, in one of its two forms. */
export function isContentRoot(
  hasher: Hasher,
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  { chunkIds, root }: { readonly chunkIds: readonly Uint8Array[]; readonly root: Uint8Array },
): boolean {
  if (equalBytes(contentRootOf(hasher, file, chunkIds), root)) return true;
  if (chunkIds.length <= LIST_ROOT_CHUNKS_MAX) return false;
  return equalBytes(publishedRootOf(hasher, file, chunkIds), root);
}

/** @param digests concatenated */
function rootMaterial(
  file: { readonly sizeBytes: number; readonly chunkSizeBytes: number },
  digests: Uint8Array,
): Uint8Array {
  assert(digests.length % DIGEST_BYTES === 0, "a digest has 32 bytes");
  const material = new Uint8Array(16 + digests.length);
  const view = new DataView(material.buffer);
  view.setBigUint64(0, BigInt(file.sizeBytes), true);
  view.setBigUint64(8, BigInt(file.chunkSizeBytes), true);
  material.set(digests, 16);
  return material;
}
