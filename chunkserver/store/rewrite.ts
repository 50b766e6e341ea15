import type { ChunkId } from "../../shared/base/ids.ts";
import { type ChunkRecord, type ExtentFileName, isPacked, sameExtents } from "./chunk-record.ts";
import { deleteEmptyPackedFiles, loseCopy, openCopy } from "./copies.ts";
import type { PackedRoom } from "./packed-files.ts";
import type { StoreParts } from "./parts.ts";
import type { SpaceClaim } from "./reserve.ts";
import { firstRottenBlock } from "./verify-blocks.ts";

/** Chunks that are moved under one sync and one commit. */
const MOVES_AT_ONCE = 32;

interface Move {
  readonly chunkId: ChunkId;
  readonly record: ChunkRecord;
  readonly room: PackedRoom;
  readonly claim: SpaceClaim;
}

/**
 * Moves some chunks out of a packed file that is mostly dead, and deletes it once it is empty.
 * Every block is verified on the way, so that rot is not copied under a fresh name. Resolves with
 * the count of chunks that were moved: 0 when there is nothing more to do now.
 */
export async function rewriteSparseFile(parts: StoreParts): Promise<number> {
  const name = parts.packed.sparse();
  if (name === null) return 0;
  const chunkIds = parts.index.chunksInPackedFile(name, MOVES_AT_ONCE);
  const moves: Move[] = [];
  try {
    for (const chunkId of chunkIds) {
      const move = await copyChunk(parts, chunkId, name);
      if (move !== null) moves.push(move);
    }
    await commitMoves(parts, moves);
  } finally {
    for (const { room, claim } of moves) {
      claim.release();
      parts.packed.release(room.file.name);
      room.file.release();
    }
  }
  await deleteEmptyPackedFiles(parts);
  return moves.length;
}

/** Copies a chunk to the current packed file; null if it is gone, or rotten and was taken out. */
async function copyChunk(
  parts: StoreParts,
  chunkId: ChunkId,
  from: ExtentFileName,
): Promise<Move | null> {
  const record = parts.index.record(chunkId);
  const reader = record === null ? null : await openCopy(parts, chunkId);
  if (record === null || reader === null) return null;
  const bytes = new Uint8Array(record.lengthBytes);
  try {
    if (!record.extents.every((extent) => extent.file === from && isPacked(extent.file))) {
      return null; // It was moved or stored anew since the list was made.
    }
    await reader.read(bytes, 0);
    const rotten = firstRottenBlock(parts.hasher, bytes, reader.hashes());
    if (rotten >= 0) {
      await loseCopy(parts, chunkId, record, `block ${rotten} does not match its hash`);
      return null;
    }
  } finally {
    reader.release();
  }
  return writeCopy(parts, chunkId, record, bytes);
}

async function writeCopy(
  parts: StoreParts,
  chunkId: ChunkId,
  record: ChunkRecord,
  bytes: Uint8Array,
): Promise<Move> {
  const claim = await parts.reserve.claim(bytes.length, "copy");
  try {
    const room = await parts.packed.take(bytes.length);
    try {
      await room.file.write(bytes, room.offsetBytes);
      claim.written(bytes.length);
      return { chunkId, record, room, claim };
    } catch (error) {
      parts.packed.release(room.file.name);
      room.file.release();
      throw error;
    }
  } catch (error) {
    claim.release();
    throw error;
  }
}

async function commitMoves(parts: StoreParts, moves: readonly Move[]): Promise<void> {
  const files = new Map(moves.map((move) => [move.room.file.name, move.room.file]));
  await Promise.all([...files.values()].map((file) => file.sync()));
  await parts.index.change((operation) => {
    for (const { chunkId, record, room } of moves) {
      const current = operation.record(chunkId);
      if (current === null || !sameExtents(current, record)) continue;
      const { lengthBytes } = record;
      const extents = [{ file: room.file.name, offsetBytes: room.offsetBytes, lengthBytes }];
      operation.put(chunkId, { ...current, extents });
    }
  });
}
