import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import { ExtentReader } from "./chunk-reader.ts";
import { type ChunkRecord, type Extent, isPacked, sameExtents } from "./chunk-record.ts";
import { isFromEarlierMasters } from "./confirm-again.ts";
import { isIoError } from "./disk-health.ts";
import type { ExtentFile } from "./extent-files.ts";
import type { StoreDeps } from "./store-deps.ts";
import { noteUnreadable } from "./unreadable.ts";

// A replica is removed in two steps: first its record, durably, then its bytes. A crash between the
// two steps leaves an extent file without a record, which the next start moves to garbage/.

/** Deletes bytes that no record refers to. */
export async function deleteExtents(deps: StoreDeps, extents: readonly Extent[]): Promise<void> {
  for (const { file } of extents) {
    if (!isPacked(file)) await deps.files.remove(file);
  }
  await deleteEmptyPackedFiles(deps);
}

/** Deletes the packed files without live chunks and without writers. */
export async function deleteEmptyPackedFiles(deps: StoreDeps): Promise<void> {
  for (let name = deps.packed.removeEmpty(); name !== null; name = deps.packed.removeEmpty()) {
    await deps.files.remove(name);
  }
}

/**
 * Deletes the replica if it was written under an intent older than `purgeIndex`. A newer intent
 * means that the chunk was stored again after the purge was decided: the replica is kept.
 */
export async function purgeReplica(
  deps: StoreDeps,
  chunkId: ChunkId,
  purgeIndex: LogIndex,
): Promise<"deleted" | "kept" | "absent"> {
  const found = await deps.index.change((operation) => {
    const record = operation.record(chunkId);
    if (record === null) return "absent";
    if (record.intentIndex >= purgeIndex) return "kept";
    operation.remove(chunkId);
    return record;
  });
  if (typeof found === "string") return found;
  await deleteExtents(deps, found.extents);
  return "deleted";
}

/** The answer of the master to the question whether a committed file contains a chunk. */
export interface ChunkConfirmation {
  readonly chunkId: ChunkId;
  /** Intent index in the question. If the record has a newer one, the answer is ignored. */
  readonly intentIndex: LogIndex;
  readonly verdict: "known" | "unknown" | "undecided";
}

/**
 * Applies the answers of the master: keeps a known chunk, deletes an unknown one, and asks about an
 * undecided one again at `retryAtMs` (wall clock). An unknown one from before the last restore of the masters
 * is undecided: a backup of those masters may still be restored.
 */
export async function applyConfirmations(
  deps: StoreDeps,
  confirmations: readonly ChunkConfirmation[],
  retryAtMs: number,
): Promise<void> {
  const removed = await deps.index.change((operation) => {
    const records: ChunkRecord[] = [];
    for (const { chunkId, intentIndex, verdict } of confirmations) {
      const record = operation.record(chunkId);
      if (record === null || record.intentIndex !== intentIndex) continue;
      if (verdict === "unknown" && !isFromEarlierMasters(deps, intentIndex)) {
        operation.remove(chunkId);
        records.push(record);
      } else {
        const confirmDueMs = verdict === "known" ? 0 : Math.floor(retryAtMs);
        operation.put(chunkId, { ...record, confirmDueMs });
      }
    }
    return records;
  });
  for (const record of removed) await deleteExtents(deps, record.extents);
}

/**
 * Removes a damaged replica: it is no longer served, its loss is recorded durably for the master,
 * and its bytes are moved to the quarantine. Does nothing if the bytes of the chunk have moved
 * since `record` was read.
 */
export async function dropDamagedReplica(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
  reason: string,
): Promise<void> {
  const isLost = await deps.index.change((operation) => {
    const current = operation.record(chunkId);
    if (current === null || !sameExtents(current, record)) return false;
    operation.remove(chunkId);
    operation.noteLost({ chunkId, reason, intentIndex: current.intentIndex });
    return true;
  });
  if (!isLost) return;
  deps.log.warn("A replica is damaged and was removed from the index", { chunkId, reason });
  for (const extent of record.extents) await moveToQuarantine(deps, chunkId, extent);
  await deleteEmptyPackedFiles(deps);
}

/**
 * Removes a replica whose extent file is missing.
 *
 * @throws {AshlarError} DISK_FAILED if all extent files are missing
 */
export async function dropMissingReplica(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
): Promise<void> {
  await deps.files.requireDirectory();
  await dropDamagedReplica(deps, chunkId, record, "its extent file is missing");
}

async function moveToQuarantine(deps: StoreDeps, chunkId: ChunkId, extent: Extent): Promise<void> {
  try {
    if (isPacked(extent.file)) await copyToQuarantine(deps, chunkId, extent);
    else await deps.files.moveTo(extent.file, deps.quarantine.pathFor(chunkId));
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return; // The file does not exist.
    deps.log.warn("Cannot keep the bytes of a damaged replica for inspection", { chunkId, error });
  }
}

async function copyToQuarantine(deps: StoreDeps, chunkId: ChunkId, extent: Extent): Promise<void> {
  const file = await deps.files.open(extent.file);
  try {
    const bytes = new Uint8Array(extent.lengthBytes);
    const count = await file.read(bytes, extent.offsetBytes);
    await addToQuarantine(deps, chunkId, bytes.subarray(0, count));
  } finally {
    file.release();
  }
}

async function addToQuarantine(
  deps: StoreDeps,
  chunkId: ChunkId,
  bytes: Uint8Array,
): Promise<void> {
  try {
    await deps.quarantine.add(chunkId, bytes);
  } catch (error) {
    deps.health.noteWriteFailure(error); // Its sync may have failed.
    throw error;
  }
}

/** Maximum number of attempts to open a chunk whose bytes are moved at the same time. */
const OPEN_ATTEMPTS_MAX = 5;

/**
 * Opens a replica. Null if there is none. A replica whose file is missing is removed.
 *
 * @throws {AshlarError} CHUNK_NOT_FOUND if the disk cannot open a file: the replica is kept
 */
export async function openReplica(deps: StoreDeps, chunkId: ChunkId): Promise<ExtentReader | null> {
  for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX; attempt += 1) {
    const record = deps.index.record(chunkId);
    if (record === null) return null;
    const files = await openFiles(deps, chunkId, record);
    if (files !== null) return readerOf(deps, chunkId, record, files);
    // A file is missing: the replica was purged, moved or lost. The current record shows which.
    const current = deps.index.record(chunkId);
    if (current === null || !sameExtents(current, record)) continue;
    await dropMissingReplica(deps, chunkId, record);
  }
  return null;
}

function readerOf(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
  files: readonly ExtentFile[],
): ExtentReader {
  return new ExtentReader({
    extents: record.extents,
    files,
    readHashes: () => hashesOf(deps, chunkId),
    onDamaged: (reason) => dropDamagedReplica(deps, chunkId, record, reason),
    onUnreadable: (failure) => noteUnreadable(deps, chunkId, record, failure),
  });
}

/** Returns the block hashes of a chunk. @throws {AshlarError} CHUNK_NOT_FOUND */
export function hashesOf(deps: StoreDeps, chunkId: ChunkId): Uint8Array {
  const hashes = deps.index.hashes(chunkId);
  if (hashes !== null) return hashes;
  throw new AshlarError("CHUNK_NOT_FOUND", `Cannot find chunk ${chunkId} on this server`);
}

/** Opens the extent files of a record. Null if a file does not exist. */
async function openFiles(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
): Promise<readonly ExtentFile[] | null> {
  const files: ExtentFile[] = [];
  try {
    for (const extent of record.extents) files.push(await deps.files.open(extent.file));
    return files;
  } catch (error) {
    for (const file of files) file.release();
    if (isAshlarError(error, "NOT_FOUND")) return null;
    if (!isIoError(error)) throw error;
    const extent = record.extents[files.length];
    assert(extent !== undefined, "the extent whose file was not opened");
    noteUnreadable(deps, chunkId, record, { ...extent, error });
    throw new AshlarError("CHUNK_NOT_FOUND", `Cannot open a chunk: ${error.message}`, {
      cause: error,
    });
  }
}
