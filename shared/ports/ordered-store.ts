/** Reads of an ordered map from keys to values, both bytes. Keys sort byte by byte, shorter first. */
export interface OrderedReader {
  /** The value, or undefined. The array is the caller's to keep and not to change. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Entries with `start` <= key < `end`, in order, or from the last down with `reverse`. */
  range(options: RangeOptions): Iterable<KeyValue>;
}

export interface RangeOptions {
  readonly start: Uint8Array;
  /** Exclusive. */
  readonly end: Uint8Array;
  readonly reverse?: boolean;
  /** At most so many entries; default: all. */
  readonly limit?: number;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** One change of a batch: `value` null deletes the key (no error if it is absent). */
export interface StoreChange {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/**
 * A durable ordered map. Keys are 1 to KEY_BYTES_MAX bytes; values up to 8 MiB. Reads see the last
 * commit that has resolved, or a later one.
 */
export interface OrderedStore extends OrderedReader {
  /** What `decode` makes of the value, or undefined. The bytes are valid only while it runs. */
  read<Value>(key: Uint8Array, decode: (bytes: Uint8Array) => Value): Value | undefined;
  /**
   * Applies all of `changes`, or none; the later of two changes of one key wins. Resolves when they
   * are synced to disk. One call at a time; the caller keeps a batch well below 100 MB.
   *
   * @throws {AshlarError} NO_SPACE: nothing was applied, the store stays usable; DISK_FAILED: the
   *   store must be given up.
   */
  commit(changes: readonly StoreChange[]): Promise<void>;
  /** A view of this moment, which later commits do not change. Release it within seconds (it pins space). */
  snapshot(): StoreSnapshot;
  /** Bytes on disk. */
  sizeBytes(): number;
  close(): Promise<void>;
}

export interface StoreSnapshot extends OrderedReader {
  release(): void;
}

/** Opens stores by name. In production each is an LMDB environment in a directory of that name. */
export interface OrderedStores {
  /**
   * Opens the store, making it if it is not there.
   *
   * @throws {AshlarError} STORE_CORRUPT if it cannot be read: it is to be rebuilt.
   */
  open(name: string): Promise<OrderedStore>;
  /** Deletes a store that is not open. No error if it is not there. */
  remove(name: string): Promise<void>;
  /** Names of the stores that are there. */
  list(): Promise<readonly string[]>;
}

export const KEY_BYTES_MAX = 1024;
