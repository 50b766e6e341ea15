import BTreeModule from "sorted-btree";
import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import { AshlarError } from "../base/errors.ts";
import type {
  KeyValue,
  OrderedStore,
  OrderedStores,
  RangeOptions,
  StoreChange,
  StoreSnapshot,
} from "../ports/ordered-store.ts";
import { type RangeRest, rangeInBatches } from "./range-batches.ts";
import { checkChanges, checkStoreName } from "./store-check.ts";

// A CommonJS package: its class is a property of what Node imports by default.
const BTree = BTreeModule.default;
type Tree = InstanceType<typeof BTree<Uint8Array, Uint8Array>>;

/** The rows of all stores at one time: see `MemoryStores.image`. */
export type StoresImage = ReadonlyMap<string, Tree>;

/** Options of `MemoryStores`. */
export interface MemoryStoresOptions {
  /**
   * Called before a commit is applied. An error that it throws fails the commit, which then changes
   * nothing. Simulations use it for delays and failures.
   */
  readonly beforeCommit?: (name: string, changes: readonly StoreChange[]) => Promise<void>;
  /** The rows at the beginning. Default: none. */
  readonly image?: StoresImage;
}

/**
 * Stores in memory. They keep their content after `close`, like files. `crash` closes open stores.
 */
export class MemoryStores implements OrderedStores {
  readonly #trees = new Map<string, Tree>();
  readonly #open = new Map<string, MemoryStore>();
  readonly #beforeCommit: (name: string, changes: readonly StoreChange[]) => Promise<void>;

  constructor(options: MemoryStoresOptions = {}) {
    this.#beforeCommit = options.beforeCommit ?? (async () => {});
    for (const [name, tree] of options.image ?? []) this.#trees.set(name, tree.clone());
  }

  async open(name: string): Promise<OrderedStore> {
    checkStoreName(name);
    assert(!this.#open.has(name), `a store is open once: ${name}`);
    const tree: Tree = this.#trees.get(name) ?? new BTree(undefined, compareBytes);
    this.#trees.set(name, tree);
    const store = new MemoryStore(tree, {
      beforeCommit: (changes) => this.#beforeCommit(name, changes),
      onClose: () => this.#open.delete(name),
    });
    this.#open.set(name, store);
    return store;
  }

  async remove(name: string): Promise<void> {
    checkStoreName(name);
    assert(!this.#open.has(name), `an open store is not removed: ${name}`);
    this.#trees.delete(name);
  }

  async list(): Promise<readonly string[]> {
    return [...this.#trees.keys()].sort();
  }

  /** Returns the rows of all stores, without commits in progress. */
  image(): StoresImage {
    return new Map(Array.from(this.#trees, ([name, tree]) => [name, tree.clone()]));
  }

  /**
   * Simulates a crash of the process: open stores fail from here on. A commit that has not resolved
   * is lost completely, or kept completely if `isCommitKept` returns true.
   */
  crash(isCommitKept: () => boolean = () => false): void {
    for (const store of this.#open.values()) store.crash(isCommitKept);
    this.#open.clear();
  }
}

interface MemoryStoreDeps {
  readonly beforeCommit: (changes: readonly StoreChange[]) => Promise<void>;
  readonly onClose: () => void;
}

class MemoryStore implements OrderedStore {
  readonly #tree: Tree;
  readonly #deps: MemoryStoreDeps;
  #state: "open" | "closed" | "crashed" = "open";
  /** Changes of the commit in progress. Null: there is none. */
  #committing: readonly StoreChange[] | null = null;
  #sizeBytes = 0;

  constructor(tree: Tree, deps: MemoryStoreDeps) {
    this.#tree = tree;
    this.#deps = deps;
    for (const [key, value] of tree.entries()) this.#sizeBytes += key.length + value.length;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#checkOpen();
    return this.#tree.get(key);
  }

  read<Value>(key: Uint8Array, decode: (bytes: Uint8Array) => Value): Value | undefined {
    const found = this.get(key);
    if (found === undefined) return undefined;
    // As in the LMDB store, the bytes are overwritten after the call.
    const bytes = found.slice();
    const value = decode(bytes);
    bytes.fill(0xee);
    return value;
  }

  range(options: RangeOptions): Iterable<KeyValue> {
    return rangeInBatches(options, (rest) => {
      this.#checkOpen();
      return readTree(this.#tree, rest);
    });
  }

  async commit(changes: readonly StoreChange[]): Promise<void> {
    this.#checkOpen();
    assert(this.#committing === null, "a store has one commit at a time");
    checkChanges(changes);
    this.#committing = changes;
    try {
      await this.#deps.beforeCommit(changes);
      this.#checkOpen();
      for (const change of changes) this.#apply(change);
    } finally {
      this.#committing = null;
    }
  }

  snapshot(): StoreSnapshot {
    this.#checkOpen();
    return new MemorySnapshot(this.#tree.clone());
  }

  /** Returns the bytes of all keys and values. */
  sizeBytes(): number {
    return this.#sizeBytes;
  }

  async close(): Promise<void> {
    this.#checkOpen();
    assert(this.#committing === null, "a store is closed between commits");
    this.#state = "closed";
    this.#deps.onClose();
  }

  crash(isCommitKept: () => boolean): void {
    this.#state = "crashed";
    const changes = this.#committing ?? [];
    if (changes.length > 0 && isCommitKept()) for (const change of changes) this.#apply(change);
  }

  #apply(change: StoreChange): void {
    const previous = this.#tree.get(change.key);
    if (previous !== undefined) this.#sizeBytes -= change.key.length + previous.length;
    if (change.value === null) {
      this.#tree.delete(change.key);
      return;
    }
    this.#sizeBytes += change.key.length + change.value.length;
    // Copies, so that later modifications of the caller's arrays do not change the store.
    this.#tree.set(new Uint8Array(change.key), new Uint8Array(change.value));
  }

  #checkOpen(): void {
    assert(this.#state !== "closed", "a closed store is not used");
    if (this.#state === "crashed") {
      throw new AshlarError("DISK_FAILED", "Cannot use the store: its process has crashed");
    }
  }
}

class MemorySnapshot implements StoreSnapshot {
  #tree: Tree | null;

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#readable().get(key);
  }

  range(options: RangeOptions): Iterable<KeyValue> {
    return rangeInBatches(options, (rest) => readTree(this.#readable(), rest));
  }

  release(): void {
    this.#tree = null;
  }

  #readable(): Tree {
    assert(this.#tree !== null, "a released snapshot is not read");
    return this.#tree;
  }
}

function* readTree(tree: Tree, { start, end, reverse }: RangeRest): Generator<KeyValue, void> {
  const entries = reverse ? tree.entriesReversed(end, undefined, true) : tree.entries(start);
  for (const [key, value] of entries) {
    const beyond = reverse ? compareBytes(key, start) < 0 : compareBytes(key, end) >= 0;
    if (beyond) return;
    yield { key, value };
  }
}
