import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import { ExtentReader } from "./chunk-reader.ts";
import { type ChunkRecord, type Extent, isPacked, sameExtents } from "./chunk-record.ts";
import type { ExtentFile } from "./extent-files.ts";
import type { StoreParts } from "./parts.ts";

/** Removal of copies: always the record first, durably, then the bytes. A crash between leaves garbage. */

/** Deletes bytes that no record names any more. */
export async function deleteExtents(parts: StoreParts, extents: readonly Extent[]): Promise<void> {
  for (const { file } of extents) {
    if (!isPacked(file)) await parts.files.remove(file);
  }
  await deleteEmptyPackedFiles(parts);
}

export async function deleteEmptyPackedFiles(parts: StoreParts): Promise<void> {
  for (let name = parts.packed.takeEmpty(); name !== null; name = parts.packed.takeEmpty()) {
    await parts.files.remove(name);
  }
}

/**
 * Deletes the copy if it was written under an intent older than `purgeIndex`. A newer intent means
 * that somebody stored the chunk again after the purge was decided: it stays.
 */
export async function purgeCopy(
  parts: StoreParts,
  chunkId: ChunkId,
  purgeIndex: LogIndex,
): Promise<"deleted" | "kept" | "absent"> {
  const found = await parts.index.change((operation) => {
    const record = operation.record(chunkId);
    if (record === null) return "absent";
    if (record.intentIndex >= purgeIndex) return "kept";
    operation.remove(chunkId);
    return record;
  });
  if (typeof found === "string") return found;
  await deleteExtents(parts, found.extents);
  return "deleted";
}

/** What the master said about a chunk that was never seen in a commit. */
export interface Verdict {
  readonly chunkId: ChunkId;
  /** The intent that the master was asked about: a newer one makes the verdict void. */
  readonly intentIndex: LogIndex;
  readonly verdict: "known" | "unknown" | "undecided";
}

/** Keeps, deletes or asks again later (from `laterMs` of the wall clock on), as the master said. */
export async function applyVerdicts(
  parts: StoreParts,
  verdicts: readonly Verdict[],
  laterMs: number,
): Promise<void> {
  const removed = await parts.index.change((operation) => {
    const records: ChunkRecord[] = [];
    for (const { chunkId, intentIndex, verdict } of verdicts) {
      const record = operation.record(chunkId);
      if (record === null || record.intentIndex !== intentIndex) continue;
      if (verdict === "unknown") {
        operation.remove(chunkId);
        records.push(record);
      } else {
        const confirmDueMs = verdict === "known" ? 0 : Math.floor(laterMs);
        operation.put(chunkId, { ...record, confirmDueMs });
      }
    }
    return records;
  });
  for (const record of removed) await deleteExtents(parts, record.extents);
}

/**
 * Takes a damaged copy out: it no longer counts and is not served, the master will be told (durably
 * noted), and what bytes there are go to the quarantine. Does nothing if the chunk's bytes are not
 * those of `record` any more.
 */
export async function loseCopy(
  parts: StoreParts,
  chunkId: ChunkId,
  record: ChunkRecord,
  reason: string,
): Promise<void> {
  const isLost = await parts.index.change((operation) => {
    const current = operation.record(chunkId);
    if (current === null || !sameExtents(current, record)) return false;
    operation.remove(chunkId);
    operation.noteLost(chunkId, reason);
    return true;
  });
  if (!isLost) return;
  parts.log.warn("A copy is damaged and no longer counts", { chunkId, reason });
  for (const extent of record.extents) await setAside(parts, chunkId, extent);
  await deleteEmptyPackedFiles(parts);
}

async function setAside(parts: StoreParts, chunkId: ChunkId, extent: Extent): Promise<void> {
  try {
    if (isPacked(extent.file)) await copyAside(parts, chunkId, extent);
    else await parts.files.moveAside(extent.file, parts.quarantine.pathFor(chunkId));
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return; // The file is gone: nothing to keep.
    parts.log.warn("Cannot keep the bytes of a damaged copy for inspection", { chunkId, error });
  }
}

async function copyAside(parts: StoreParts, chunkId: ChunkId, extent: Extent): Promise<void> {
  const file = await parts.files.open(extent.file);
  try {
    const bytes = new Uint8Array(extent.lengthBytes);
    const count = await file.read(bytes, extent.offsetBytes);
    await parts.quarantine.put(chunkId, bytes.subarray(0, count));
  } finally {
    file.release();
  }
}

/** Times that a reader looks again for a chunk whose bytes moved while it was opened. */
const OPEN_ATTEMPTS_MAX = 5;

/** Opens a chunk; null if it is not here. A copy whose file is missing is lost. */
export async function openCopy(parts: StoreParts, chunkId: ChunkId): Promise<ExtentReader | null> {
  for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX; attempt += 1) {
    const record = parts.index.record(chunkId);
    if (record === null) return null;
    const files = await openFiles(parts, record.extents);
    if (files !== null) return readerOf(parts, chunkId, record, files);
    // Missing: purged or moved by a rewrite since we looked, or lost. The index tells which.
    const current = parts.index.record(chunkId);
    if (current === null || !sameExtents(current, record)) continue;
    await loseCopy(parts, chunkId, record, "its extent file is missing");
  }
  return null;
}

function readerOf(
  parts: StoreParts,
  chunkId: ChunkId,
  record: ChunkRecord,
  files: readonly ExtentFile[],
): ExtentReader {
  return new ExtentReader({
    extents: record.extents,
    files,
    readHashes: () => hashesOf(parts, chunkId),
    onDamaged: (reason) => loseCopy(parts, chunkId, record, reason),
  });
}

/** The block hashes of a chunk. @throws {AshlarError} CHUNK_NOT_FOUND */
export function hashesOf(parts: StoreParts, chunkId: ChunkId): Uint8Array {
  const hashes = parts.index.hashes(chunkId);
  if (hashes !== null) return hashes;
  throw new AshlarError("CHUNK_NOT_FOUND", `Cannot find chunk ${chunkId} on this server`);
}

/** The files of `extents`, or null if one is missing. */
async function openFiles(
  parts: StoreParts,
  extents: readonly Extent[],
): Promise<readonly ExtentFile[] | null> {
  const files: ExtentFile[] = [];
  try {
    for (const extent of extents) files.push(await parts.files.open(extent.file));
    return files;
  } catch (error) {
    for (const file of files) file.release();
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}
