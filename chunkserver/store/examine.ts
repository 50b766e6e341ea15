import { assert } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { BlockReader } from "./chunk-reader.ts";
import type { ChunkRecord } from "./chunk-record.ts";
import { loseCopy, openCopy } from "./copies.ts";
import type { StoreParts } from "./parts.ts";
import { firstRottenBlock } from "./verify-blocks.ts";

/** Called after each read with its bytes, so that a slow examination can pace itself. */
export type Pace = (bytes: number) => Promise<void>;

/**
 * Reads a chunk from the disk and verifies every block, and its hashes against its id. A rotten
 * copy is taken out (`loseCopy`).
 *
 * `buffer` is a whole number of blocks, the reader's for the time of the call.
 */
export async function examineCopy(
  parts: StoreParts,
  chunkId: ChunkId,
  buffer: Uint8Array,
  pace: Pace = async () => {},
): Promise<"sound" | "rotten" | "absent"> {
  assert(buffer.length > 0 && buffer.length % BLOCK_BYTES === 0, "whole blocks are read");
  const record = parts.index.record(chunkId);
  const reader = record === null ? null : await openCopy(parts, chunkId);
  if (record === null || reader === null) return "absent";
  try {
    const damage = await findDamage(parts, chunkId, reader, { buffer, pace });
    if (damage === null) return "sound";
    await loseCopy(parts, chunkId, record, damage);
    return "rotten";
  } catch (error) {
    if (isAshlarError(error, "CHUNK_NOT_FOUND")) return "rotten"; // The reader took it out.
    throw error;
  } finally {
    reader.release();
  }
}

async function findDamage(
  parts: StoreParts,
  chunkId: ChunkId,
  reader: BlockReader,
  how: { readonly buffer: Uint8Array; readonly pace: Pace },
): Promise<string | null> {
  const { hasher } = parts;
  const hashes = reader.hashes();
  if (chunkIdOf(hasher, reader.lengthBytes, hashes) !== chunkId) {
    return "its block hashes in the index do not make up its id";
  }
  for (let offset = 0; offset < reader.lengthBytes; offset += how.buffer.length) {
    const length = Math.min(how.buffer.length, reader.lengthBytes - offset);
    const bytes = how.buffer.subarray(0, length);
    await reader.read(bytes, offset, "pass"); // What the disk holds, not what memory does.
    const firstBlock = offset / BLOCK_BYTES;
    const rotten = firstRottenBlock(hasher, bytes, hashes.subarray(firstBlock * DIGEST_BYTES));
    if (rotten >= 0) return `block ${firstBlock + rotten} does not match its hash`;
    await how.pace(length);
  }
  return null;
}

/**
 * Looks whether the extent files of up to `limit` chunks after `after` are there in full length,
 * without reading them; a copy that is not is taken out. Returns where to go on; null at the end.
 */
export async function inspectCopies(
  parts: StoreParts,
  after: ChunkId | null,
  limit: number,
): Promise<ChunkId | null> {
  const page = parts.index.recordsAfter(after, limit);
  for (const { chunkId, record } of page) {
    const reason = await findShortFile(parts, record);
    if (reason !== null) await loseCopy(parts, chunkId, record, reason);
  }
  return page.at(-1)?.chunkId ?? null;
}

async function findShortFile(parts: StoreParts, record: ChunkRecord): Promise<string | null> {
  for (const extent of record.extents) {
    try {
      const file = await parts.files.open(extent.file);
      const lengthBytes = await file.lengthBytes().finally(() => file.release());
      const endBytes = extent.offsetBytes + extent.lengthBytes;
      if (lengthBytes < endBytes) {
        return `${extent.file} has ${lengthBytes} bytes, the copy ends at ${endBytes}`;
      }
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND")) return "its extent file is missing";
      throw error;
    }
  }
  return null;
}
