/** Read access to an ordered map. Keys and values are byte arrays, ordered by `compareBytes`. */
export interface OrderedReader {
  /** Returns the value, or undefined. The caller may keep the array and must not modify it. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** Yields the rows with `start` <= key < `end` in order, with `reverse` in descending order. */
  range(options: RangeOptions): Iterable<KeyValue>;
}

/** A range of keys. */
export interface RangeOptions {
  readonly start: Uint8Array;
  /** Exclusive. */
  readonly end: Uint8Array;
  readonly reverse?: boolean;
  /** Largest number of rows. Default: all. */
  readonly limit?: number;
}

/** A row of a store. */
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
 * A durable ordered map. Keys have 1 to KEY_BYTES_MAX bytes, values up to 8 MiB. A read sees the
 * last commit that has resolved, or a later one.
 */
export interface OrderedStore extends OrderedReader {
  /**
   * Returns the decoded value, or undefined. The bytes are valid only during the call of `decode`.
   */
  read<Value>(key: Uint8Array, decode: (bytes: Uint8Array) => Value): Value | undefined;
  /**
   * Applies all of `changes` or none. If two changes have the same key, the later one wins.
   * Resolves when the changes are synced to disk. One call at a time; a batch is well below 100 MB.
   *
   * @throws {AshlarError} NO_SPACE: no change was applied, the store stays usable; DISK_FAILED: the
   *   store must be closed
   */
  commit(changes: readonly StoreChange[]): Promise<void>;
  /**
   * Returns a view of the current state that later commits do not change. The caller releases the
   * snapshot within seconds: until then the store cannot reuse the pages of this state.
   *
   * @throws {AshlarError} OVERLOADED if snapshots of too many states are open
   */
  snapshot(): StoreSnapshot;
  /** Returns the size of the store on disk. */
  sizeBytes(): number;
  close(): Promise<void>;
}

/** A view of one state of a store. */
export interface StoreSnapshot extends OrderedReader {
  release(): void;
}

/**
 * Opens stores by name. In production, a store is an LMDB environment in a directory of that name.
 */
export interface OrderedStores {
  /**
   * Opens a store. Creates it if it does not exist.
   *
   * @throws {AshlarError} STORE_CORRUPT if it cannot be read and must be rebuilt
   */
  open(name: string): Promise<OrderedStore>;
  /** Deletes a store that is not open. No error if it does not exist. */
  remove(name: string): Promise<void>;
  /** Returns the names of the existing stores. */
  list(): Promise<readonly string[]>;
}

/** Longest key of a store. */
export const KEY_BYTES_MAX = 1024;
