import sortedBtree from "sorted-btree";
import type { Key } from "./keys.ts";
import type { Table } from "./tables.ts";

// A CommonJS package: its default export is a member of what the import yields.
const BTree = sortedBtree.default;
type Order = InstanceType<typeof BTree<Key, undefined>>;

/** A value that stands over the store's. */
export interface Cell {
  readonly table: Table<unknown>;
  /** DELETED where the key is gone. */
  readonly value: unknown;
  /** Nothing stands under the key in older layers and in the store. Never with DELETED. */
  readonly isFresh: boolean;
  /** Memory that it takes, about. */
  readonly sizeBytes: number;
}

/** Stands for a key that is gone. */
export const DELETED: unique symbol = Symbol("deleted");

/** Memory of a cell besides its key and its value's own size: the record, the map, the tree. */
const CELL_BYTES = 250;

const compareKeys = (left: Key, right: Key): number => {
  if (left === right) return 0;
  return left < right ? -1 : 1;
};

/**
 * Changes that are not in the store yet: a map for points, a sorted tree of its keys for ranges. New
 * keys go into the tree when somebody asks for a range: most layers are written before anybody does.
 */
export class Layer {
  readonly #cells = new Map<Key, Cell>();
  readonly #order = new BTree<Key, undefined>(undefined, compareKeys);
  /** Keys that may be missing in the tree. */
  #unsorted: Key[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get cellCount(): number {
    return this.#cells.size;
  }

  get(key: Key): Cell | undefined {
    return this.#cells.get(key);
  }

  /** @param before what `get` says of the key. */
  set(key: Key, cell: Cell, before: Cell | undefined): void {
    if (before === undefined) this.#unsorted.push(key);
    else this.#sizeBytes -= before.sizeBytes;
    this.#cells.set(key, cell);
    this.#sizeBytes += cell.sizeBytes;
  }

  /** Forgets what was written under the key, as if it never had been. */
  forget(key: Key): void {
    const before = this.#cells.get(key);
    if (before === undefined) return;
    this.#sizeBytes -= before.sizeBytes;
    this.#cells.delete(key);
    this.#order.delete(key);
  }

  /** In the order in which the keys came. */
  forEach(visit: (key: Key, cell: Cell) => void): void {
    this.#cells.forEach((cell, key) => {
      visit(key, cell);
    });
  }

  /** The first key at or after `key`. */
  keyFrom(key: Key): Key | undefined {
    return this.#cells.has(key) ? key : this.#sorted().nextHigherKey(key);
  }

  #sorted(): Order {
    if (this.#unsorted.length > 0) {
      for (const key of this.#unsorted) if (this.#cells.has(key)) this.#order.set(key, undefined);
      this.#unsorted = [];
    }
    return this.#order;
  }
}

export function makeCell(
  key: Key,
  what: { readonly table: Table<unknown>; readonly value: unknown; readonly isFresh: boolean },
): Cell {
  const { table, value, isFresh } = what;
  const valueBytes = value === DELETED ? 0 : table.sizeBytes(value);
  return { table, value, isFresh, sizeBytes: CELL_BYTES + key.length * 2 + valueBytes };
}
