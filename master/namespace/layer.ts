import sortedBtree from "sorted-btree";
import type { Key } from "./keys.ts";
import type { Table } from "./tables.ts";

// A CommonJS package: its default export is a member of what the import yields.
const BTree = sortedBtree.default;

/** A value that stands over the store's. */
export interface Cell {
  readonly table: Table<unknown>;
  /** DELETED where the key is gone. */
  readonly value: unknown;
}

/** Stands for a key that is gone. */
export const DELETED: unique symbol = Symbol("deleted");

/** Memory of a cell besides its key and its value's own size: the record, the map, the tree. */
const CELL_BYTES = 250;

const compareKeys = (left: Key, right: Key): number => {
  if (left === right) return 0;
  return left < right ? -1 : 1;
};

/** Changes that are not in the store yet: a map for points, a sorted tree of its keys for ranges. */
export class Layer {
  readonly #cells = new Map<Key, Cell>();
  readonly #order = new BTree<Key, undefined>(undefined, compareKeys);
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

  /** @returns what was written under the key before. */
  set(key: Key, cell: Cell): Cell | undefined {
    const before = this.#cells.get(key);
    if (before === undefined) this.#order.set(key, undefined);
    else this.#sizeBytes -= cellBytes(key, before);
    this.#cells.set(key, cell);
    this.#sizeBytes += cellBytes(key, cell);
    return before;
  }

  /** Forgets what was written under the key, as if it never had been. */
  forget(key: Key): void {
    const before = this.#cells.get(key);
    if (before === undefined) return;
    this.#sizeBytes -= cellBytes(key, before);
    this.#cells.delete(key);
    this.#order.delete(key);
  }

  cells(): IterableIterator<[Key, Cell]> {
    return this.#cells.entries();
  }

  /** The first key at or after `key`. */
  keyFrom(key: Key): Key | undefined {
    return this.#cells.has(key) ? key : this.#order.nextHigherKey(key);
  }

  /** The last key before `key`. */
  keyBefore(key: Key): Key | undefined {
    return this.#order.nextLowerKey(key);
  }
}

function cellBytes(key: Key, cell: Cell): number {
  const valueBytes = cell.value === DELETED ? 0 : cell.table.sizeBytes(cell.value);
  return CELL_BYTES + key.length * 2 + valueBytes;
}
