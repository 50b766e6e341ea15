import sortedBtree from "sorted-btree";
import type { Key } from "./keys.ts";
import type { Table } from "./tables.ts";

// A CommonJS package: the default export is the `default` property of the imported object.
const BTree = sortedBtree.default;

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
 * The keys of one table in a layer. New keys are added to the sorted tree by the first range read after
 * them, because most tables are written to the store before any range read. Some of the keys may have been
 * deleted.
 */
class TableOrder {
  readonly #tree = new BTree<Key, undefined>(undefined, compareKeys);
  /** Keys that may not be in the tree yet. */
  #unsorted: Key[] = [];

  get unsortedCount(): number {
    return this.#unsorted.length;
  }

  add(key: Key): void {
    this.#unsorted.push(key);
  }

  delete(key: Key): void {
    this.#tree.delete(key);
  }

  /** Returns the first key after `key`. @param cells the cells of the layer */
  keyAfter(key: Key, cells: ReadonlyMap<Key, Cell>): Key | undefined {
    if (this.#unsorted.length > 0) {
      for (const added of this.#unsorted) if (cells.has(added)) this.#tree.set(added, undefined);
      this.#unsorted = [];
    }
    return this.#tree.nextHigherKey(key);
  }
}

/**
 * Changes that are not in the store yet: a map for lookups, and for each table the sorted keys that have a
 * value, for ranges. A range of one table sorts no keys of the other tables.
 *
 * A range needs no order of the deleted keys: it looks each key of older layers and of the store up in the map.
 */
export class Layer {
  readonly #cells = new Map<Key, Cell>();
  /** The keys by table: by the first byte of the key. */
  readonly #orders: TableOrder[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get cellCount(): number {
    return this.#cells.size;
  }

  /** Number of keys that no range read has sorted yet. Used by tests. */
  get unsortedCount(): number {
    return this.#orders.reduce((sum, order) => sum + order.unsortedCount, 0);
  }

  get(key: Key): Cell | undefined {
    return this.#cells.get(key);
  }

  /** Sets the cell of a key. @param before the result of `get` for this key */
  set(key: Key, cell: Cell, before: Cell | undefined): void {
    if (cell.table !== null && (before?.table ?? null) === null) this.#orderOf(key).add(key);
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
    this.#orderOf(key).delete(key);
  }

  /** Visits the cells in the order in which their keys were added. */
  forEach(visit: (key: Key, cell: Cell) => void): void {
    this.#cells.forEach((cell, key) => {
      visit(key, cell);
    });
  }

  /**
   * Returns the first key with a value at or after `start`, or undefined if the first one is not before
   * `end`. Some of the keys may have been deleted.
   */
  keyFrom({ start, end }: { readonly start: Key; readonly end: Key }): Key | undefined {
    if (start < end && this.#cells.has(start)) return start;
    const lastTable = end.charCodeAt(0);
    for (let table = start.charCodeAt(0); table <= lastTable; table += 1) {
      // No key of a table is before the first byte of the table alone.
      if (table === lastTable && end.length === 1) break;
      const next = this.#orders[table]?.keyAfter(start, this.#cells);
      if (next !== undefined) return next < end ? next : undefined;
    }
    return undefined;
  }

  #orderOf(key: Key): TableOrder {
    const table = key.charCodeAt(0);
    this.#orders[table] ??= new TableOrder();
    return this.#orders[table];
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
