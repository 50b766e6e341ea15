import { readFileSync } from "node:fs";
import { open as openEnvironment, type RootDatabase } from "lmdb";
import { assert } from "../base/assert.ts";
import { lmdbOpenError } from "./lmdb-error.ts";

export type Database = RootDatabase<Uint8Array, Uint8Array>;

/**
 * Addresses, not memory. From its default of 128 KiB lmdb doubles the map whenever the file has
 * outgrown it and keeps every smaller one until it is closed, with the pages that were read there.
 */
const MAP_BYTES = 2 ** 40;
/** proc(5) statm counts in pages. Right on x86-64 and most arm64; elsewhere the pages are larger. */
const PAGE_BYTES = 4096;

/** @throws {AshlarError} as `lmdbOpenError` */
export function openDatabase(path: string): Database {
  try {
    return openEnvironment<Uint8Array, Uint8Array>({
      path,
      noSubdir: false, // Else a dot in the path would make it a file.
      keyEncoding: "binary",
      encoding: "binary",
      cache: false,
      mapSize: MAP_BYTES,
      // With the default, a commit was seen to be acknowledged that the disk had refused.
      overlappingSync: false,
      // A batch is one transaction of its own, begun at once.
      eventTurnBatching: false,
      // The default would write bytes of our heap into unused parts of pages.
      noMemInit: false,
    });
  } catch (error) {
    throw lmdbOpenError(path, error);
  }
}

/**
 * Closes within this turn, where the promise of `close` would resolve a few microtasks later. No
 * commit may be under way: it is the wait for the last one that is left out.
 */
export function closeAtOnce(database: Database): void {
  Object.defineProperty(database, "_endWrites", { value: undefined });
  database.close().catch(() => {}); // It has closed, or the line below fails.
  const { status } = database as unknown as { readonly status: string };
  assert(status === "closed", "lmdb closes at once where it waits for no commit");
}

/** Pages of mapped files that this process has in memory, in bytes; 0 where there is no /proc. */
export function mappedFileBytes(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[2]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
