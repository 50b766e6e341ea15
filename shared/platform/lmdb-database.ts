import { open as openEnvironment, type RootDatabase, type RootDatabaseOptionsWithPath } from "lmdb";
import { lmdbOpenError } from "./lmdb-error.ts";

/** An open LMDB environment. */
export type Database = RootDatabase<Uint8Array, Uint8Array>;

/**
 * Address space, not memory. With its default of 128 KiB, lmdb doubles the map whenever the file
 * has outgrown it, and keeps every smaller map with the pages that were read through it until the
 * close. The pages of the file that were read stay mapped. They belong to the page cache, and the
 * kernel takes them when memory is short.
 */
const MAP_BYTES = 2 ** 40;

/** Up to this length a loop copies faster than `set`, which needs a view of the source. */
const LOOP_BYTES_MAX = 64;

/**
 * Keys are bytes in the order of their bytes, as with `keyEncoding: "binary"`. That one reads a key with the
 * `slice` of a Buffer, which takes several times as long as a copy.
 */
const KEYS = {
  writeKey(key: Uint8Array, target: Uint8Array, start: number): number {
    target.set(key, start);
    return start + key.length;
  },
  readKey(source: Uint8Array, start: number, end: number): Uint8Array {
    const key = new Uint8Array(end - start);
    if (key.length > LOOP_BYTES_MAX) key.set(source.subarray(start, end));
    else for (let at = 0; at < key.length; at += 1) key[at] = source[start + at] as number;
    return key;
  },
};

/** The types of lmdb 2 lack this option. */
interface Options extends RootDatabaseOptionsWithPath {
  readonly keyEncoder: typeof KEYS;
}

/**
 * Opens an environment. Creates it if it does not exist and `readOnly` is false.
 *
 * @throws {AshlarError} see `lmdbOpenError`
 */
export function openDatabase(path: string, { readOnly = false } = {}): Database {
  try {
    const options: Options = {
      path,
      noSubdir: false, // By default, lmdb uses a path with a dot as the name of a file.
      keyEncoder: KEYS,
      encoding: "binary",
      cache: false,
      mapSize: MAP_BYTES,
      // With the default, lmdb was seen to acknowledge a commit that the disk had refused.
      overlappingSync: false,
      // Every batch is a separate transaction and starts immediately.
      eventTurnBatching: false,
      // The default would write bytes of this process's heap into unused parts of pages.
      noMemInit: false,
      readOnly,
    };
    return openEnvironment<Uint8Array, Uint8Array>(options);
  } catch (error) {
    throw lmdbOpenError(path, error);
  }
}

/** Returns the number of rows that the environment states. A damaged page hides some from a range. */
export function entryCountOf(database: Database): number {
  return (database.getStats() as { readonly entryCount: number }).entryCount;
}
