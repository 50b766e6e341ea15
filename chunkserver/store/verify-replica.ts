import { assert } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { BlockReader } from "./chunk-reader.ts";
import type { ChunkRecord } from "./chunk-record.ts";
import { dropDamagedReplica, openReplica } from "./replicas.ts";
import type { StoreDeps } from "./store-deps.ts";
import { firstCorruptBlock } from "./verify-blocks.ts";

/** Called after each read with its length in bytes. Lets a caller limit the read rate. */
export type Pace = (bytes: number) => Promise<void>;

/**
 * Reads a chunk from the disk and verifies each block against its hash, and the hashes against the
 * chunk id. A corrupt replica is removed (`dropDamagedReplica`).
 *
 * `buffer` is a whole number of blocks long. It is in use until the call resolves.
 */
export async function verifyReplica(
  deps: StoreDeps,
  chunkId: ChunkId,
  buffer: Uint8Array,
  pace: Pace = async () => {},
): Promise<"intact" | "corrupt" | "absent"> {
  assert(buffer.length > 0 && buffer.length % BLOCK_BYTES === 0, "the buffer holds whole blocks");
  const record = deps.index.record(chunkId);
  const reader = record === null ? null : await openReplica(deps, chunkId);
  if (record === null || reader === null) return "absent";
  try {
    const damage = await findDamage(deps, chunkId, reader, { buffer, pace });
    if (damage === null) return "intact";
    await dropDamagedReplica(deps, chunkId, record, damage);
    return "corrupt";
  } catch (error) {
    if (isAshlarError(error, "CHUNK_NOT_FOUND")) return "corrupt"; // The reader removed it.
    throw error;
  } finally {
    reader.release();
  }
}

/** Returns a description of the first damage, null if the replica is intact. */
async function findDamage(
  deps: StoreDeps,
  chunkId: ChunkId,
  reader: BlockReader,
  options: { readonly buffer: Uint8Array; readonly pace: Pace },
): Promise<string | null> {
  const { hasher } = deps;
  const hashes = reader.hashes();
  if (chunkIdOf(hasher, reader.lengthBytes, hashes) !== chunkId) {
    return "its block hashes in the index do not match its id";
  }
  for (let offset = 0; offset < reader.lengthBytes; offset += options.buffer.length) {
    const length = Math.min(options.buffer.length, reader.lengthBytes - offset);
    const bytes = options.buffer.subarray(0, length);
    await reader.read(bytes, offset, "pass"); // Bypasses the page cache: the disk is verified.
    const firstBlock = offset / BLOCK_BYTES;
    const corrupt = firstCorruptBlock(hasher, bytes, hashes.subarray(firstBlock * DIGEST_BYTES));
    if (corrupt >= 0) return `block ${firstBlock + corrupt} does not match its hash`;
    await options.pace(length);
  }
  return null;
}

/**
 * Checks that the extent files of up to `limit` chunks after `after` exist in full length, without
 * reading them. Removes a replica whose file is missing or short. Returns the last checked
 * chunk, null at the end.
 */
export async function checkExtentFiles(
  deps: StoreDeps,
  after: ChunkId | null,
  limit: number,
): Promise<ChunkId | null> {
  const page = deps.index.recordsAfter(after, limit);
  for (const { chunkId, record } of page) {
    const reason = await findShortFile(deps, record);
    if (reason !== null) await dropDamagedReplica(deps, chunkId, record, reason);
  }
  return page.at(-1)?.chunkId ?? null;
}

async function findShortFile(deps: StoreDeps, record: ChunkRecord): Promise<string | null> {
  for (const extent of record.extents) {
    try {
      const file = await deps.files.open(extent.file);
      const lengthBytes = await file.lengthBytes().finally(() => file.release());
      const endBytes = extent.offsetBytes + extent.lengthBytes;
      if (lengthBytes < endBytes) {
        return `${extent.file} has ${lengthBytes} bytes: the replica ends at byte ${endBytes}`;
      }
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return "its extent file is missing";
      throw error;
    }
  }
  return null;
}
