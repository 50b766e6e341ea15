import { isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { BlockReader } from "./chunk-reader.ts";
import { type ChunkRecord, type ExtentFileName, isPacked, sameExtents } from "./chunk-record.ts";
import { isIoError } from "./disk-health.ts";
import type { PackedAllocation } from "./packed-files.ts";
import { deleteEmptyPackedFiles, dropDamagedReplica, openReplica } from "./replicas.ts";
import type { SpaceClaim } from "./reserve.ts";
import type { StoreDeps } from "./store-deps.ts";
import { firstCorruptBlock } from "./verify-blocks.ts";

/** Maximum number of chunks that are moved with one sync and one commit. */
const MOVES_AT_ONCE = 32;

interface Move {
  readonly chunkId: ChunkId;
  readonly record: ChunkRecord;
  readonly allocation: PackedAllocation;
  readonly claim: SpaceClaim;
}

/**
 * Moves some chunks out of a packed file with few live bytes, and deletes the file once it is
 * empty. Verifies each block, so that corrupt data is not copied. Resolves with the number of moved
 * chunks: 0 when there is nothing to do now.
 */
export async function rewriteSparseFile(deps: StoreDeps): Promise<number> {
  const name = deps.packed.findSparse();
  if (name === null) return 0;
  const chunkIds = deps.index.chunksInPackedFile(name, MOVES_AT_ONCE);
  const moves: Move[] = [];
  let unreadableCount = 0;
  try {
    for (const chunkId of chunkIds) {
      const move = await copyChunk(deps, chunkId, name);
      if (move === "unreadable") unreadableCount += 1;
      else if (move !== null) moves.push(move);
    }
    await commitMoves(deps, moves);
  } finally {
    for (const { allocation, claim } of moves) {
      claim.release();
      deps.packed.release(allocation.file.name);
      allocation.file.release();
    }
  }
  await deleteEmptyPackedFiles(deps);
  // The file stays as it is until a chunk of it is removed or replaced.
  if (unreadableCount > 0 && unreadableCount === chunkIds.length) deps.packed.skipRewrite(name);
  return moves.length;
}

/**
 * Copies a chunk to the current packed file. Null if the chunk no longer exists, or was corrupt and
 * was removed. A chunk that the disk cannot read stays where it is.
 */
async function copyChunk(
  deps: StoreDeps,
  chunkId: ChunkId,
  from: ExtentFileName,
): Promise<Move | "unreadable" | null> {
  const record = deps.index.record(chunkId);
  if (record === null) return null;
  let reader: BlockReader | null = null;
  const bytes = new Uint8Array(record.lengthBytes);
  try {
    reader = await openReplica(deps, chunkId);
    if (reader === null) return null;
    if (!record.extents.every((extent) => extent.file === from && isPacked(extent.file))) {
      return null; // The chunk was moved, or stored again, after the list was read.
    }
    await reader.read(bytes, 0, "disk");
    let corrupt = firstCorruptBlock(deps.hasher, bytes, reader.hashes());
    if (corrupt >= 0) {
      await reader.readAgain(bytes, 0);
      corrupt = firstCorruptBlock(deps.hasher, bytes, reader.hashes());
    }
    if (corrupt >= 0) {
      await dropDamagedReplica(deps, chunkId, record, `block ${corrupt} does not match its hash`);
      return null;
    }
  } catch (error) {
    if (!isAshlarError(error, "CHUNK_NOT_FOUND")) throw error;
    return isIoError(error.cause) ? "unreadable" : null;
  } finally {
    reader?.release();
  }
  return writeCopy(deps, chunkId, record, bytes);
}

async function writeCopy(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
  bytes: Uint8Array,
): Promise<Move> {
  const claim = await deps.reserve.claim(bytes.length, "copy");
  try {
    const allocation = await deps.packed.allocate(bytes.length);
    try {
      await allocation.file.write(bytes, allocation.offsetBytes);
      claim.markWritten(bytes.length);
      return { chunkId, record, allocation, claim };
    } catch (error) {
      deps.packed.release(allocation.file.name);
      allocation.file.release();
      throw error;
    }
  } catch (error) {
    claim.release();
    throw error;
  }
}

async function commitMoves(deps: StoreDeps, moves: readonly Move[]): Promise<void> {
  const files = new Map(moves.map((move) => [move.allocation.file.name, move.allocation.file]));
  await Promise.all([...files.values()].map((file) => file.sync()));
  await deps.index.change((operation) => {
    for (const { chunkId, record, allocation } of moves) {
      const current = operation.record(chunkId);
      if (current === null || !sameExtents(current, record)) continue;
      const { lengthBytes } = record;
      const extents = [
        { file: allocation.file.name, offsetBytes: allocation.offsetBytes, lengthBytes },
      ];
      operation.put(chunkId, { ...current, extents });
    }
  });
}
