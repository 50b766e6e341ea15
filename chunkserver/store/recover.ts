import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { LOGGED_ITEMS_MAX } from "../../shared/ports/log.ts";
import {
  type ChunkRecord,
  type ExtentFileName,
  isPacked,
  parseExtentFileName,
} from "./chunk-record.ts";
import type { ChunkTotals } from "./chunk-totals.ts";
import { isIoError } from "./disk-health.ts";
import { extentPath } from "./extent-files.ts";
import { EXTENTS_DIRECTORY } from "./identity.ts";
import { PACKED_BYTES_MAX } from "./packed-files.ts";
import type { StoreDeps } from "./store-deps.ts";

/** Number of records that are read or changed without a pause for other tasks. */
const PAGE = 1000;

/** The extent files on the disk, and whether a record refers to them. */
type FilesFound = Map<ExtentFileName, "referenced" | "unreferenced">;

/**
 * Reconciles the index and the extent files at a start.
 *
 * Replicas whose extent file is missing are removed and recorded as lost. Extent files without a
 * record were left by work that a crash interrupted. These files are moved to `garbage/` and
 * deleted later. A file with a record is never changed.
 *
 * @throws {AshlarError} STORE_CORRUPT if the index has chunks and no extent file exists.
 */
export async function recover(deps: StoreDeps, totals: ChunkTotals): Promise<void> {
  const found = await listExtentFiles(deps.disk);
  const missing = await countRecords(deps, totals, found ?? new Map());
  if (totals.chunkCount > 0 && (found === null || found.size === 0)) {
    throw new AshlarError(
      "STORE_CORRUPT",
      `Cannot use the data directory: expected the files of ${totals.chunkCount} chunks: ${EXTENTS_DIRECTORY}/ is ${found === null ? "missing" : "empty"}`,
      { hint: "Restore the extents, or move the data directory away and start with an empty one" },
    );
  }
  if (found === null) await deps.disk.makeDirectory(EXTENTS_DIRECTORY);
  for (const name of found?.keys() ?? []) deps.files.skipNumbersTo(numberOf(name));
  await noteMissing(deps, missing);
  await moveUnreferenced(deps, found ?? new Map());
  await adoptPackedFiles(deps, found ?? new Map());
}

/** Lists the extent files. Null if their directory does not exist. */
async function listExtentFiles(disk: Disk): Promise<FilesFound | null> {
  const found: FilesFound = new Map();
  try {
    for (const { name } of await disk.list(EXTENTS_DIRECTORY)) {
      if (parseExtentFileName(name) !== null) found.set(name as ExtentFileName, "unreferenced");
    }
    return found;
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}

/** Reads each record once. Returns the chunks whose extent file is missing. */
async function countRecords(
  deps: StoreDeps,
  totals: ChunkTotals,
  found: FilesFound,
): Promise<readonly ChunkId[]> {
  const missing: ChunkId[] = [];
  let after: ChunkId | null = null;
  for (;;) {
    const page = deps.index.recordsAfter(after, PAGE);
    for (const { chunkId, record } of page) {
      const change = { chunkId, before: null, after: record };
      totals.onCommitted(change);
      deps.packed.onCommitted(change);
      for (const { file } of record.extents) deps.files.skipNumbersTo(numberOf(file));
      if (!markReferenced(found, record)) missing.push(chunkId);
    }
    after = page.at(-1)?.chunkId ?? null;
    if (after === null) return missing;
    await deps.clock.yieldTurn();
  }
}

/** Marks the extent files of a record. Returns whether all of them exist. */
function markReferenced(found: FilesFound, { extents }: ChunkRecord): boolean {
  const existing = extents.filter(({ file }) => found.has(file));
  for (const { file } of existing) found.set(file, "referenced");
  return existing.length === extents.length;
}

async function noteMissing(deps: StoreDeps, missing: readonly ChunkId[]): Promise<void> {
  if (missing.length === 0) return;
  deps.log.warn("Extent files are missing: their replicas were removed from the index", {
    lostCount: missing.length,
    chunkIds: missing.slice(0, LOGGED_ITEMS_MAX),
  });
  for (let start = 0; start < missing.length; start += PAGE) {
    await deps.index.change((operation) => {
      for (const chunkId of missing.slice(start, start + PAGE)) {
        const record = operation.record(chunkId);
        if (record === null) continue;
        operation.remove(chunkId);
        const { intentIndex } = record;
        operation.noteLost({ chunkId, reason: "its extent file is missing", intentIndex });
      }
    });
  }
}

async function moveUnreferenced(deps: StoreDeps, found: FilesFound): Promise<void> {
  let count = 0;
  for (const [name, state] of found) {
    if (state === "referenced") continue;
    await deps.disk.rename(extentPath(name), deps.garbage.pathFor(name));
    count += 1;
  }
  if (count === 0) return;
  await deps.garbage.sync();
  await deps.disk.syncDirectory(EXTENTS_DIRECTORY);
  deps.log.info("Moved extent files left over by a crash to garbage/", { fileCount: count });
}

/** Adds the packed files with their lengths. New chunks go to the newest file if it has room. */
async function adoptPackedFiles(deps: StoreDeps, found: FilesFound): Promise<void> {
  const { files, packed } = deps;
  let newest: ExtentFileName | null = null;
  for (const [name, state] of found) {
    if (!isPacked(name) || state === "unreferenced") continue;
    try {
      const file = await files.open(name);
      const lengthBytes = await file.lengthBytes().finally(() => file.release());
      const isWhole = packed.addExisting(name, lengthBytes);
      if (isWhole && lengthBytes < PACKED_BYTES_MAX / 2) newest = name;
    } catch (error) {
      if (!isIoError(error)) throw error;
      // Its chunks are noted as unreadable when they are read. The others are served.
      deps.health.noteReadFailure(name, 0, error);
      deps.log.warn("The disk cannot open an extent file: it is kept", { name, error });
    }
  }
  if (newest !== null) packed.continueFile(newest);
}

function numberOf(name: ExtentFileName): number {
  return parseExtentFileName(name)?.number ?? 0;
}
