import { open as openEnvironment, type RootDatabase } from "lmdb";
import { assert } from "../base/assert.ts";
import { lmdbOpenError } from "./lmdb-error.ts";

export type Database = RootDatabase<Uint8Array, Uint8Array>;

/**
 * Addresses, not memory. From its default of 128 KiB lmdb doubles the map whenever the file has
 * outgrown it and keeps every smaller one until it is closed, with the pages that were read there.
 */
const MAP_BYTES = 2 ** 40;

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
