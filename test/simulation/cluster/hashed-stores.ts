import {
  MemoryStores,
  type MemoryStoresOptions,
  type StoresImage,
} from "../../../shared/platform/memory-store.ts";
import type {
  KeyValue,
  OrderedReader,
  OrderedStore,
  OrderedStores,
  RangeOptions,
  StoreChange,
  StoreSnapshot,
} from "../../../shared/ports/ordered-store.ts";
import { CorruptRows } from "./corrupt-rows.ts";
import type { SimulationRandom } from "./simulation-random.ts";

const FIRST_KEY = Uint8Array.of(0);
const END_KEY = new Uint8Array(64).fill(255);

/** Called after every commit that has resolved. */
export type CommitListener = (
  name: string,
  store: HashedStore,
  changes: readonly StoreChange[],
) => void;

/** Stores in memory. Each store maintains a hash of its rows and can have corrupt rows. */
export class HashedStores implements OrderedStores {
  readonly #stores: MemoryStores;
  readonly #open = new Map<string, HashedStore>();
  readonly #corruptRows = new Map<string, CorruptRows>();
  onCommitted: CommitListener = () => {};

  constructor(options: MemoryStoresOptions) {
    this.#stores = new MemoryStores(options);
  }

  /** Opens a store. The corrupt rows of a store remain corrupt when it is opened again. */
  async open(name: string): Promise<HashedStore> {
    const inner = await this.#stores.open(name);
    const corruptRows = this.#corruptRows.get(name) ?? new CorruptRows();
    this.#corruptRows.set(name, corruptRows);
    const store = new HashedStore(inner, corruptRows, (committed, changes) =>
      this.onCommitted(name, committed, changes),
    );
    this.#open.set(name, store);
    return store;
  }

  /** Returns the store that was last opened with this name. Undefined after a crash. */
  lastOpened(name: string): HashedStore | undefined {
    return this.#open.get(name);
  }

  async remove(name: string): Promise<void> {
    this.#open.delete(name);
    this.#corruptRows.delete(name);
    await this.#stores.remove(name);
  }

  list(): Promise<readonly string[]> {
    return this.#stores.list();
  }

  /** Returns the rows of all stores, without commits in progress and without corruption. */
  image(): StoresImage {
    return this.#stores.image();
  }

  /**
   * Discards each unsynced commit for which `isCommitKept` returns false, and closes all stores.
   */
  crash(isCommitKept: () => boolean): void {
    this.#open.clear();
    this.#stores.crash(isCommitKept);
  }
}

/**
 * A store with a hash of its rows as they were written. The hash is the sum of the hashes of the
 * rows, so a commit updates it at the cost of the changed rows.
 */
export class HashedStore implements OrderedStore {
  readonly #inner: OrderedStore;
  readonly corruptRows: CorruptRows;
  readonly #onCommitted: (store: HashedStore, changes: readonly StoreChange[]) => void;
  #low = 0;
  #high = 0;

  constructor(
    inner: OrderedStore,
    corruptRows: CorruptRows,
    onCommitted: (store: HashedStore, changes: readonly StoreChange[]) => void,
  ) {
    this.#inner = inner;
    this.corruptRows = corruptRows;
    this.#onCommitted = onCommitted;
    for (const { key, value } of inner.range({ start: FIRST_KEY, end: END_KEY })) {
      const [low, high] = hashOfRow(key, value);
      this.#low = (this.#low + low) >>> 0;
      this.#high = (this.#high + high) >>> 0;
    }
  }

  /** Flips a bit of a random row. @returns a description; null if the store has no rows */
  corruptRandomRow(random: SimulationRandom): string | null {
    return this.corruptRows.corruptRandomRow(this.#inner, random);
  }

  /** The rows as they were written, without the corruption. */
  get rowsAsWritten(): OrderedReader {
    return this.#inner;
  }

  /** Hash of the rows as they were written: equal for stores to which equal rows were written. */
  get hash(): string {
    return `${this.#high.toString(16)}-${this.#low.toString(16)}`;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const value = this.#inner.get(key);
    return this.corruptRows.isEmpty ? value : this.corruptRows.valueAsRead(key, value);
  }

  read<Value>(key: Uint8Array, decode: (bytes: Uint8Array) => Value): Value | undefined {
    if (this.corruptRows.isEmpty) return this.#inner.read(key, decode);
    const value = this.get(key)?.slice();
    return value === undefined ? undefined : decode(value);
  }

  range(options: RangeOptions): Iterable<KeyValue> {
    if (this.corruptRows.isEmpty) return this.#inner.range(options);
    return this.corruptRows.range(this.#inner, options);
  }

  async commit(changes: readonly StoreChange[]): Promise<void> {
    const [low, high] = this.#difference(changes);
    await this.#inner.commit(changes);
    this.corruptRows.onCommitted(changes);
    this.#low = (this.#low + low) >>> 0;
    this.#high = (this.#high + high) >>> 0;
    this.#onCommitted(this, changes);
  }

  snapshot(): StoreSnapshot {
    const snapshot = this.#inner.snapshot();
    if (this.corruptRows.isEmpty) return snapshot;
    const corruptRows = this.corruptRows.snapshot();
    return {
      get: (key) => corruptRows.valueAsRead(key, snapshot.get(key)),
      range: (options) => corruptRows.range(snapshot, options),
      release: () => snapshot.release(),
    };
  }

  sizeBytes(): number {
    return this.#inner.sizeBytes();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /**
   * Returns the difference of the hash. If several changes have the same key, the last one counts.
   */
  #difference(changes: readonly StoreChange[]): readonly [number, number] {
    const last = new Map(changes.map((change) => [nameOf(change.key), change]));
    let low = 0;
    let high = 0;
    for (const { key, value } of last.values()) {
      const before = this.#inner.get(key);
      const [lowBefore, highBefore] = before === undefined ? [0, 0] : hashOfRow(key, before);
      const [lowAfter, highAfter] = value === null ? [0, 0] : hashOfRow(key, value);
      low = (low + lowAfter - lowBefore) >>> 0;
      high = (high + highAfter - highBefore) >>> 0;
    }
    return [low, high];
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function hashOfRow(key: Uint8Array, value: Uint8Array): readonly [number, number] {
  let low = 0x811c9dc5;
  let high = key.length;
  for (const bytes of [key, value]) {
    for (const byte of bytes) {
      low = Math.imul(low ^ byte, 0x01000193);
      high = Math.imul(high ^ (high >>> 15) ^ byte, 0x2c1b3c6d);
    }
  }
  return [low >>> 0, high >>> 0];
}
