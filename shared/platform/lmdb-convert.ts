import { statSync } from "node:fs";
import { rename } from "node:fs/promises";
import { AshlarError } from "../base/errors.ts";
import type { Disk } from "../ports/disk.ts";
import { type Database, entryCountOf, openDatabase } from "./lmdb-database.ts";
import { lmdbCommitError, storeFileError } from "./lmdb-error.ts";
import { markSuspect } from "./lmdb-inspect.ts";
import { availableBytesOf, RESERVE_BYTES } from "./lmdb-space.ts";

/** Directory of the new environment, in that of the store. A crash leaves it behind. */
const CONVERTED = "converted";
/** Size of one commit. Large commits free pages that later ones cannot use at once. */
const COMMIT_BYTES = 4 * 1024 * 1024;

interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Gives a store a new data file with the same rows: version 0.1.0 used lmdb 3, whose list of free pages lmdb 2
 * reads as something else and would use pages with data. Reading needs no free list. A million rows take
 * some seconds. If the process dies, the next open begins again.
 *
 * @param path that of the store, which is `name` on `disk`
 * @throws {AshlarError} NO_SPACE, STORE_CORRUPT if the store lacks rows: it has not changed
 */
export async function convertStore(disk: Disk, path: string, name: string): Promise<void> {
  await markSuspect(path);
  await disk.removeTree(`${name}/${CONVERTED}`);
  checkSpace(path);
  await disk.makeDirectory(`${name}/${CONVERTED}`);
  try {
    await copyRows(path, `${path}/${CONVERTED}`);
  } catch (error) {
    await disk.removeTree(`${name}/${CONVERTED}`); // It may fill the disk.
    throw error;
  }
  await replaceData(path);
  await disk.removeTree(`${name}/${CONVERTED}`);
  await disk.syncDirectory(name);
}

async function replaceData(path: string): Promise<void> {
  const file = `${path}/data.mdb`;
  try {
    await rename(`${path}/${CONVERTED}/data.mdb`, file);
  } catch (error) {
    throw storeFileError({ path, action: "replace", file }, error);
  }
}

function checkSpace(path: string): void {
  const neededBytes = statSync(`${path}/data.mdb`).size + RESERVE_BYTES;
  const availableBytes = availableBytesOf(path);
  if (availableBytes >= neededBytes) return;
  throw new AshlarError(
    "NO_SPACE",
    `Cannot convert the store ${path} of version 0.1.0: expected ${neededBytes} free bytes: current value is ${availableBytes}`,
    { hint: "Free the space and start the process again; the store is unchanged" },
  );
}

async function copyRows(from: string, to: string): Promise<void> {
  const source = openDatabase(from, { readOnly: true });
  try {
    const target = openDatabase(to);
    try {
      let rows: Row[] = [];
      let bytes = 0;
      let count = 0;
      for (const { key, value } of source.getRange({})) {
        rows.push({ key, value: new Uint8Array(value) });
        count += 1;
        bytes += key.length + value.length;
        if (bytes < COMMIT_BYTES) continue;
        await commitRows(to, target, rows);
        rows = [];
        bytes = 0;
      }
      if (rows.length > 0) await commitRows(to, target, rows);
      // A range ends at a damaged page without an error.
      const expected = entryCountOf(source);
      if (count !== expected) throw incomplete(from, { expected, count });
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

function incomplete(
  path: string,
  { expected, count }: { readonly expected: number; readonly count: number },
): AshlarError {
  return new AshlarError(
    "STORE_CORRUPT",
    `Cannot convert the store ${path}: expected ${expected} rows: ${count} can be read`,
  );
}

/** @throws {AshlarError} see `lmdbCommitError` */
async function commitRows(path: string, target: Database, rows: readonly Row[]): Promise<void> {
  try {
    await target.batch(() => {
      // The promise of the batch reports the error.
      for (const { key, value } of rows) target.put(key, value).catch(() => {});
    });
  } catch (error) {
    throw await lmdbCommitError({ path, isFull: availableBytesOf(path) < RESERVE_BYTES }, error);
  }
}
