import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import { type ExtentFileName, isPacked, parseExtentFileName } from "./chunk-record.ts";
import { extentPath } from "./extent-files.ts";
import { EXTENTS_DIRECTORY } from "./identity.ts";
import { PACKED_BYTES_MAX } from "./packed-files.ts";
import type { StoreParts } from "./parts.ts";
import type { Tally } from "./tally.ts";

/** Records that are read, or changed, before others have their turn. */
const PAGE = 1000;

/** Extent files on the disk; whether a record names the file. */
type FilesFound = Map<ExtentFileName, "named" | "unnamed">;

/**
 * Brings index and extent files together after a start.
 *
 * Copies whose extent file is gone are taken out and noted as lost. Extent files that no record
 * names are what a crash left of unfinished work: they are moved to `garbage/`, and deleted later.
 * A file that a record names is never touched.
 *
 * @throws {AshlarError} STORE_CORRUPT if the index names chunks and there is no extent file at all.
 */
export async function recover(parts: StoreParts, tally: Tally): Promise<void> {
  const found = await listExtentFiles(parts.disk);
  const missing = await countRecords(parts, tally, found ?? new Map());
  if (tally.chunkCount > 0 && (found === null || found.size === 0)) {
    throw new AshlarError(
      "STORE_CORRUPT",
      `Cannot use the data directory: the index names ${tally.chunkCount} chunks: ${EXTENTS_DIRECTORY}/ is ${found === null ? "missing" : "empty"}`,
      { hint: "Restore the extents, or move the data directory away and start with an empty one" },
    );
  }
  if (found === null) await parts.disk.makeDirectory(EXTENTS_DIRECTORY);
  for (const name of found?.keys() ?? []) parts.files.numberAbove(numberOf(name));
  await noteMissing(parts, missing);
  await moveUnnamed(parts, found ?? new Map());
  await adoptPackedFiles(parts, found ?? new Map());
}

/** null: there is no directory of extents. */
async function listExtentFiles(disk: Disk): Promise<FilesFound | null> {
  const found: FilesFound = new Map();
  try {
    for (const { name } of await disk.list(EXTENTS_DIRECTORY)) {
      if (parseExtentFileName(name) !== null) found.set(name as ExtentFileName, "unnamed");
    }
    return found;
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}

/** Reads every record once. Returns the chunks whose extent file is not there. */
async function countRecords(
  parts: StoreParts,
  tally: Tally,
  found: FilesFound,
): Promise<readonly ChunkId[]> {
  const missing: ChunkId[] = [];
  let after: ChunkId | null = null;
  for (;;) {
    const page = parts.index.recordsAfter(after, PAGE);
    for (const { chunkId, record } of page) {
      const change = { chunkId, before: null, after: record };
      tally.onCommitted(change);
      parts.packed.onCommitted(change);
      for (const { file } of record.extents) {
        parts.files.numberAbove(numberOf(file));
        if (found.has(file)) found.set(file, "named");
        else missing.push(chunkId);
      }
    }
    after = page.at(-1)?.chunkId ?? null;
    if (after === null) return missing;
    await parts.clock.yieldTurn();
  }
}

async function noteMissing(parts: StoreParts, missing: readonly ChunkId[]): Promise<void> {
  if (missing.length === 0) return;
  parts.log.warn("Extent files are missing: their copies no longer count", {
    copyCount: missing.length,
  });
  for (let start = 0; start < missing.length; start += PAGE) {
    await parts.index.change((operation) => {
      for (const chunkId of missing.slice(start, start + PAGE)) {
        if (operation.record(chunkId) === null) continue;
        operation.remove(chunkId);
        operation.noteLost(chunkId, "its extent file is missing");
      }
    });
  }
}

async function moveUnnamed(parts: StoreParts, found: FilesFound): Promise<void> {
  let count = 0;
  for (const [name, state] of found) {
    if (state === "named") continue;
    await parts.disk.rename(extentPath(name), parts.garbage.pathFor(name));
    count += 1;
  }
  if (count === 0) return;
  await parts.garbage.sync();
  await parts.disk.syncDirectory(EXTENTS_DIRECTORY);
  parts.log.info("Moved extent files that a crash left over to garbage/", { fileCount: count });
}

/** Learns the lengths of packed files, and goes on with the newest one if it has room. */
async function adoptPackedFiles(parts: StoreParts, found: FilesFound): Promise<void> {
  const { files, packed } = parts;
  let newest: ExtentFileName | null = null;
  for (const [name, state] of found) {
    if (!isPacked(name) || state === "unnamed") continue;
    const file = await files.open(name);
    try {
      const lengthBytes = await file.lengthBytes();
      const isWhole = packed.adopt(name, lengthBytes);
      if (isWhole && lengthBytes < PACKED_BYTES_MAX / 2) newest = name;
    } finally {
      file.release();
    }
  }
  if (newest !== null) packed.appendTo(newest);
}

function numberOf(name: ExtentFileName): number {
  return parseExtentFileName(name)?.number ?? 0;
}
