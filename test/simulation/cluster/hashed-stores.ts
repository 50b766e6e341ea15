import { MemoryStores, type MemoryStoresOptions } from "../../../shared/platform/memory-store.ts";
import type {
  KeyValue,
  OrderedReader,
  OrderedStore,
  OrderedStores,
  RangeOptions,
  StoreChange,
  StoreSnapshot,
} from "../../../shared/ports/ordered-store.ts";
import { RottenRows } from "./corrupt-rows.ts";
import type { Dice } from "./simulation-random.ts";

const FIRST_KEY = Uint8Array.of(0);
const END_KEY = new Uint8Array(64).fill(255);

/** Told of every commit that has resolved. */
export type CommitListener = (name: string, store: HashedStore) => void;

/** Stores in memory, each with a hash over all of its rows that keeps up with every commit. */
export class HashedStores implements OrderedStores {
  readonly #stores: MemoryStores;
  readonly #open = new Map<string, HashedStore>();
  readonly #rotten = new Map<string, RottenRows>();
  onCommitted: CommitListener = () => {};

  constructor(options: MemoryStoresOptions) {
    this.#stores = new MemoryStores(options);
  }

  async open(name: string): Promise<HashedStore> {
    const inner = await this.#stores.open(name);
    const rotten = this.#rotten.get(name) ?? new RottenRows();
    this.#rotten.set(name, rotten);
    const store = new HashedStore(inner, rotten, (committed) => this.onCommitted(name, committed));
    this.#open.set(name, store);
    return store;
  }

  /** The store of that name that was opened last. */
  opened(name: string): HashedStore | undefined {
    return this.#open.get(name);
  }

  async remove(name: string): Promise<void> {
    this.#open.delete(name);
    this.#rotten.delete(name);
    await this.#stores.remove(name);
  }

  list(): Promise<readonly string[]> {
    return this.#stores.list();
  }

  crash(isCommitKept: () => boolean): void {
    this.#open.clear();
    this.#stores.crash(isCommitKept);
  }
}

/** A store that knows the hash of its rows: a sum, so that a change costs no more than itself. */
export class HashedStore implements OrderedStore {
  readonly #inner: OrderedStore;
  readonly rotten: RottenRows;
  readonly #onCommitted: (store: HashedStore) => void;
  #low = 0;
  #high = 0;

  constructor(inner: OrderedStore, rotten: RottenRows, onCommitted: (store: HashedStore) => void) {
    this.#inner = inner;
    this.rotten = rotten;
    this.#onCommitted = onCommitted;
    for (const { key, value } of inner.range({ start: FIRST_KEY, end: END_KEY })) {
      const [low, high] = hashOfRow(key, value);
      this.#low = (this.#low + low) >>> 0;
      this.#high = (this.#high + high) >>> 0;
    }
  }

  /** One bit of it turns over. @returns which, or null if it is empty */
  rot(dice: Dice): string | null {
    return this.rotten.rot(this.#inner, dice);
  }

  /** The rows as they were written. */
  get written(): OrderedReader {
    return this.#inner;
  }

  /** Equal for stores to which equal rows were written. */
  get hash(): string {
    return `${this.#high.toString(16)}-${this.#low.toString(16)}`;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const value = this.#inner.get(key);
    return this.rotten.isEmpty ? value : this.rotten.seen(key, value);
  }

  read<Value>(key: Uint8Array, decode: (bytes: Uint8Array) => Value): Value | undefined {
    if (this.rotten.isEmpty) return this.#inner.read(key, decode);
    const value = this.get(key)?.slice();
    return value === undefined ? undefined : decode(value);
  }

  range(options: RangeOptions): Iterable<KeyValue> {
    if (this.rotten.isEmpty) return this.#inner.range(options);
    return this.rotten.range(this.#inner, options);
  }

  async commit(changes: readonly StoreChange[]): Promise<void> {
    const [low, high] = this.#difference(changes);
    await this.#inner.commit(changes);
    this.rotten.written(changes);
    this.#low = (this.#low + low) >>> 0;
    this.#high = (this.#high + high) >>> 0;
    this.#onCommitted(this);
  }

  snapshot(): StoreSnapshot {
    const snapshot = this.#inner.snapshot();
    if (this.rotten.isEmpty) return snapshot;
    const rotten = this.rotten.frozen();
    return {
      get: (key) => rotten.seen(key, snapshot.get(key)),
      range: (options) => rotten.range(snapshot, options),
      release: () => snapshot.release(),
    };
  }

  sizeBytes(): number {
    return this.#inner.sizeBytes();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** What the hash grows by with these changes, the later of two of one key counting. */
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
