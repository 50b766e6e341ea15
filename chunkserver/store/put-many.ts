import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { FRAME_BYTES_MAX, SMALL_CHUNK_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { Extent } from "./chunk-record.ts";
import { confirmDueMsIn } from "./confirm-due.ts";
import type { PackedAllocation } from "./packed-files.ts";
import { warnUndeleted } from "./partials.ts";
import { deleteExtents } from "./replicas.ts";
import { checkChunkId, recordChunk, type StoringIntent } from "./seal.ts";
import type { StoreDeps } from "./store-deps.ts";
import { firstCorruptBlock } from "./verify-blocks.ts";

/** A small chunk of a group. */
export interface SmallChunk {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  /** Hashes of its blocks, 32 bytes each. */
  readonly hashes: Uint8Array;
}

/** Small chunks whose bytes, one after another, match their ids. The bytes must not change. */
export class VerifiedGroup {
  readonly chunks: readonly SmallChunk[];
  readonly bytes: Uint8Array;

  private constructor(chunks: readonly SmallChunk[], bytes: Uint8Array) {
    this.chunks = chunks;
    this.bytes = bytes;
  }

  /**
   * Verifies the blocks against their hashes, and the hashes against the ids.
   *
   * @throws {AshlarError} INVALID_ARGUMENT if the lengths do not fit; CHUNK_CORRUPT
   */
  static verify(hasher: Hasher, chunks: readonly SmallChunk[], bytes: Uint8Array): VerifiedGroup {
    checkLengths(chunks, bytes);
    let startBytes = 0;
    for (const [position, chunk] of chunks.entries()) {
      const own = bytes.subarray(startBytes, startBytes + chunk.lengthBytes);
      startBytes += chunk.lengthBytes;
      const corrupt = firstCorruptBlock(hasher, own, chunk.hashes);
      if (corrupt >= 0) {
        const text = `Cannot accept block ${corrupt} of chunk ${position} of the group: it does not match its hash`;
        throw new AshlarError("CHUNK_CORRUPT", text);
      }
      checkChunkId(hasher, chunk, chunk.hashes);
    }
    return new VerifiedGroup(chunks, bytes);
  }
}

function checkLengths(chunks: readonly SmallChunk[], bytes: Uint8Array): void {
  let sumBytes = 0;
  let hasHashes = true;
  for (const { lengthBytes, hashes } of chunks) {
    assert(lengthBytes > 0 && lengthBytes <= SMALL_CHUNK_BYTES_MAX, "a small chunk is not empty");
    sumBytes += lengthBytes;
    hasHashes &&= hashes.length === blockCount(lengthBytes) * DIGEST_BYTES;
  }
  if (hasHashes && sumBytes === bytes.length && sumBytes <= FRAME_BYTES_MAX) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot accept a group of chunks: expected a hash of each block, and ${sumBytes} bytes, at most ${FRAME_BYTES_MAX}: the body has ${bytes.length}`,
  );
}

/**
 * Stores a group of small chunks next to one another in a packed file: one write, one sync, then one
 * commit of all records, in this order. All are durable when it resolves. Concurrent calls share syncs
 * and commits. For a chunk that exists already, see `recordChunk`.
 *
 * @throws {AshlarError} NO_SPACE, DISK_FAILED: no record has changed.
 */
export async function putMany(
  deps: StoreDeps,
  group: VerifiedGroup,
  intent: StoringIntent,
): Promise<void> {
  deps.health.requireWritable();
  const { length } = group.bytes;
  const claim = await deps.reserve.claim(length, "write");
  try {
    const allocation = await deps.packed.allocate(length);
    try {
      await allocation.file.write(group.bytes, allocation.offsetBytes);
      claim.markWritten(length);
      await allocation.file.sync();
      await recordAll(deps, group, allocation, intent);
    } finally {
      deps.packed.release(allocation.file.name);
      allocation.file.release();
    }
  } finally {
    claim.release();
  }
}

/** Commits the records of all chunks, then deletes the bytes that they replace. */
async function recordAll(
  deps: StoreDeps,
  { chunks }: VerifiedGroup,
  { file, offsetBytes }: PackedAllocation,
  intent: StoringIntent,
): Promise<void> {
  const dueMs = confirmDueMsIn(deps, intent.lifetimeMs);
  const replaced = await deps.index.change((operation) => {
    const before: Extent[] = [];
    const seen = new Set<ChunkId>();
    let startBytes = offsetBytes;
    for (const { chunkId, lengthBytes, hashes } of chunks) {
      const extent = { file: file.name, offsetBytes: startBytes, lengthBytes };
      startBytes += lengthBytes;
      if (seen.has(chunkId)) continue; // The bytes of the repetition stay without a record.
      seen.add(chunkId);
      before.push(...recordChunk(operation, { chunkId, extent, hashes }, intent, dueMs));
    }
    return before;
  });
  if (replaced.length === 0) return;
  // The chunks are durable even if their old bytes cannot be deleted.
  await deleteExtents(deps, replaced).catch((error) => warnUndeleted(deps, error));
}
