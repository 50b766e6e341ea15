import { assert } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { BlockReader } from "./chunk-reader.ts";
import type { ChunkRecord } from "./chunk-record.ts";
import { isIoError } from "./disk-health.ts";
import { dropDamagedReplica, dropMissingReplica, openReplica } from "./replicas.ts";
import type { StoreDeps } from "./store-deps.ts";
import { noteUnreadable } from "./unreadable.ts";
import { firstCorruptBlock } from "./verify-blocks.ts";

/** The result of the verification of a replica. `unreadable`: the disk fails, and it is kept. */
export type ReplicaState = "intact" | "corrupt" | "unreadable" | "absent";

/** Called after each read with its length in bytes. Lets a caller limit the read rate. */
export type Pace = (bytes: number) => Promise<void>;

/**
 * Reads a chunk from the disk and verifies each block against its hash, and the hashes against the
 * chunk id. A corrupt replica is removed (`dropDamagedReplica`). Before that, a block that does not
 * match is read again with another descriptor.
 *
 * `buffer` is a whole number of blocks long. It is in use until the call resolves.
 */
export async function verifyReplica(
  deps: StoreDeps,
  chunkId: ChunkId,
  buffer: Uint8Array,
  pace: Pace = async () => {},
): Promise<ReplicaState> {
  assert(buffer.length > 0 && buffer.length % BLOCK_BYTES === 0, "the buffer holds whole blocks");
  const record = deps.index.record(chunkId);
  let reader: BlockReader | null = null;
  try {
    reader = record === null ? null : await openReplica(deps, chunkId);
    if (record === null || reader === null) return "absent";
    const damage = await findDamage(deps, chunkId, reader, { buffer, pace });
    if (damage === null) {
      deps.unreadable.forget(chunkId);
      return "intact";
    }
    await dropDamagedReplica(deps, chunkId, record, damage);
    return "corrupt";
  } catch (error) {
    if (!isAshlarError(error, "CHUNK_NOT_FOUND")) throw error;
    // The reader has removed the replica, or it has noted that the disk cannot read it.
    return isIoError(error.cause) ? "unreadable" : "corrupt";
  } finally {
    reader?.release();
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
    await reader.read(bytes, offset, "disk");
    const firstBlock = offset / BLOCK_BYTES;
    const expected = hashes.subarray(firstBlock * DIGEST_BYTES);
    let corrupt = firstCorruptBlock(hasher, bytes, expected);
    if (corrupt >= 0) {
      await reader.readAgain(bytes, offset);
      corrupt = firstCorruptBlock(hasher, bytes, expected);
    }
    if (corrupt >= 0) return `block ${firstBlock + corrupt} does not match its hash`;
    await options.pace(length);
  }
  return null;
}

/**
 * Checks that the extent files of up to `limit` chunks after `after` exist in full length, without
 * reading them. Removes a replica whose file is missing or short. Returns the last checked
 * chunk, null at the end.
 *
 * @throws {AshlarError} DISK_FAILED if all extent files are missing
 */
export async function checkExtentFiles(
  deps: StoreDeps,
  after: ChunkId | null,
  limit: number,
): Promise<ChunkId | null> {
  const page = deps.index.recordsAfter(after, limit);
  for (const { chunkId, record } of page) {
    const found = await findShortFile(deps, chunkId, record);
    if (found === "missing") await dropMissingReplica(deps, chunkId, record);
    else if (found !== null) await dropDamagedReplica(deps, chunkId, record, found.reason);
  }
  return page.at(-1)?.chunkId ?? null;
}

async function findShortFile(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
): Promise<{ readonly reason: string } | "missing" | null> {
  for (const extent of record.extents) {
    try {
      const file = await deps.files.open(extent.file);
      const lengthBytes = await file.lengthBytes().finally(() => file.release());
      const endBytes = extent.offsetBytes + extent.lengthBytes;
      if (lengthBytes < endBytes) {
        const reason = `${extent.file} has ${lengthBytes} bytes: the replica ends at byte ${endBytes}`;
        return { reason };
      }
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return "missing";
      if (!isIoError(error)) throw error;
      noteUnreadable(deps, chunkId, record, { ...extent, error });
      return null;
    }
  }
  return null;
}
