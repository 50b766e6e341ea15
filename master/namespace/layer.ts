import sortedBtree from "sorted-btree";
import type { Key } from "./keys.ts";
import type { Table } from "./tables.ts";

// A CommonJS package: the default export is the `default` property of the imported object.
const BTree = sortedBtree.default;
type Order = InstanceType<typeof BTree<Key, undefined>>;

/** The changed value of one key. It hides the values in older layers and in the store. */
export interface Cell {
  /** The table of the new value. Null if the key was deleted. */
  readonly table: Table<unknown> | null;
  /** The new value. Undefined if the key was deleted. */
  readonly value: unknown;
  /** Whether older layers and the store have no value under the key. Always false for a deleted key. */
  readonly isFresh: boolean;
  /** Approximate memory of the cell, its key and its value. */
  readonly sizeBytes: number;
}

/** Approximate memory of a cell without its key and value: the cell object, map and tree slots. */
const CELL_BYTES = 250;

const compareKeys = (left: Key, right: Key): number => {
  if (left === right) return 0;
  return left < right ? -1 : 1;
};

/**
 * Changes that are not in the store yet: a map for lookups, and a sorted tree of the keys that have a value,
 * for ranges. New keys are added to the tree by the first range read after them, because most layers
 * are written to the store before any range read.
 *
 * A range needs no order of the deleted keys: it looks each key of older layers and of the store up in the map.
 * The tree may also have keys that were deleted later.
 */
export class Layer {
  readonly #cells = new Map<Key, Cell>();
  readonly #order = new BTree<Key, undefined>(undefined, compareKeys);
  /** Keys that may not be in the tree yet. */
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

  /** Sets the cell of a key. @param before the result of `get` for this key */
  set(key: Key, cell: Cell, before: Cell | undefined): void {
    if (cell.table !== null && (before?.table ?? null) === null) this.#unsorted.push(key);
    if (before !== undefined) this.#sizeBytes -= before.sizeBytes;
    this.#cells.set(key, cell);
    this.#sizeBytes += cell.sizeBytes;
  }

  /** Removes the cell of a key, so that the layer no longer hides older values of the key. */
  forget(key: Key): void {
    const before = this.#cells.get(key);
    if (before === undefined) return;
    this.#sizeBytes -= before.sizeBytes;
    this.#cells.delete(key);
    this.#order.delete(key);
  }

  /** Visits the cells in the order in which their keys were added. */
  forEach(visit: (key: Key, cell: Cell) => void): void {
    this.#cells.forEach((cell, key) => {
      visit(key, cell);
    });
  }

  /** Returns the first key with a value at or after `key`. Some of the keys may have been deleted. */
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

/** Makes the cell of a new value and computes its size. */
export function makeCell(
  key: Key,
  { table, value, isFresh }: Omit<Cell, "sizeBytes"> & { readonly table: Table<unknown> },
): Cell {
  const sizeBytes = CELL_BYTES + key.length * 2 + table.sizeBytes(value);
  return { table, value, isFresh, sizeBytes };
}

/** Cells of deleted keys by the length of the key. They are shared: a reclaim step deletes thousands of keys. */
const DELETED_CELLS: Cell[] = [];

/** Returns the cell of a deleted key. */
export function deletedCell(key: Key): Cell {
  const known = DELETED_CELLS[key.length];
  if (known !== undefined) return known;
  const sizeBytes = CELL_BYTES + key.length * 2;
  const cell: Cell = { table: null, value: undefined, isFresh: false, sizeBytes };
  DELETED_CELLS[key.length] = cell;
  return cell;
}
