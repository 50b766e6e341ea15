import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { OrderedStore } from "../../shared/ports/ordered-store.ts";
import { EmptyRanges } from "./empty-ranges.ts";
import { FrozenCells } from "./frozen-cells.ts";
import { bytesToText, type Key, keyAfter, textToBytes, textToHex } from "./keys.ts";
import { type Cell, deletedCell, Layer, makeCell } from "./layer.ts";
import { ReadCache } from "./read-cache.ts";
import type { Table } from "./tables.ts";

type ValueStore = Pick<OrderedStore, "read" | "range">;

export interface KeyRange {
  readonly start: Key;
  /** End of the range, exclusive. */
  readonly end: Key;
}

export interface Row<Value> {
  readonly key: Key;
  readonly value: Value;
}

/** Reads of the current records by table and key. */
export interface RecordReader {
  get<Value>(table: Table<Value>, key: Key): Value | undefined;
  /** Returns at most `limit` rows, from the first key of the range on. */
  rows<Value>(table: Table<Value>, range: KeyRange, limit: number): Row<Value>[];
  /** Yields rows in key order. The state must not change before the generator is finished. */
  scan<Value>(table: Table<Value>, range: KeyRange): Generator<Row<Value>, void, void>;
}

/**
 * The state after the last entry, in three levels: the active layer of changes, the frozen layers
 * that wait to be written, and the store.
 *
 * Applying an entry changes the active layer only. `freeze` appends the active layer to the frozen
 * layers. The caller commits the changes of the oldest frozen layer and then calls `drop`. After a
 * failed commit the caller retries with the same layer. A read searches the active layer, the
 * frozen layers from the newest to the oldest, the cache and the store, in this order.
 */
export class Overlay implements RecordReader {
  readonly #store: ValueStore;
  readonly #cache: ReadCache;
  readonly #onDamage: (error: AshlarError) => void;
  #active = new Layer();
  /** The layers that wait to be written, oldest first. */
  readonly #frozen: Layer[] = [];
  readonly #emptyRanges = new EmptyRanges();
  /** The cell in the active layer before each change since `begin`. Null outside of an entry. */
  #journal: Journal | null = null;

  constructor(options: {
    readonly store: ValueStore;
    readonly cacheBytesMax: number;
    /** Called with the error if a row of the store cannot be decoded. The read throws it too. */
    readonly onDamage?: (error: AshlarError) => void;
  }) {
    this.#store = options.store;
    this.#onDamage = options.onDamage ?? (() => {});
    this.#cache = new ReadCache({ generationBytesMax: options.cacheBytesMax / 2 });
  }

  /** Approximate memory of all layers. */
  get sizeBytes(): number {
    return this.#frozen.reduce((sum, layer) => sum + layer.sizeBytes, this.#active.sizeBytes);
  }

  /** Number of keys changed since the last `freeze`. */
  get changedCount(): number {
    return this.#active.cellCount;
  }

  /** Returns the value of a key. @throws {AshlarError} STORE_CORRUPT if it cannot be decoded */
  get<Value>(table: Table<Value>, key: Key): Value | undefined {
    const cell = this.#cell(key);
    if (cell !== undefined) return cell.value as Value | undefined;
    const cached = this.#cache.get(key) as Value | undefined;
    if (cached !== undefined) return cached;
    const value = this.#load(table, key);
    if (value !== undefined && table.isCached(value)) {
      this.#cache.set(key, value, cacheBytes(table, key, value));
    }
    return value;
  }

  /** Writes the value of a key, which may already have a value. */
  set<Value>(table: Table<Value>, key: Key, value: Value): void {
    const before = this.#active.get(key);
    this.#put(table, key, { value, before, isFresh: before?.isFresh ?? false });
  }

  /**
   * Sets the value of a key that has no value. If the value is deleted again before a flush, the
   * store is not written. For other inserted values, the flush need not read the old row from the
   * store.
   */
  insert<Value>(table: Table<Value>, key: Key, value: Value): void {
    const before = this.#active.get(key);
    assert(before === undefined || before.table === null, "an inserted key has no value");
    this.#put(table, key, { value, before, isFresh: before === undefined });
  }

  /** Deletes the value of a key, if there is one. */
  delete(key: Key): void {
    const before = this.#active.get(key);
    if (before?.isFresh === true) {
      this.#active.forget(key);
    } else {
      this.#active.set(key, deletedCell(key), before);
    }
    this.#journal?.add(key, before);
  }

  /**
   * Yields rows in key order. Reads them lazily: the state must not change before the generator is
   * finished. A caller that changes the rows while it iterates must use `rows`.
   */
  *scan<Value>(table: Table<Value>, range: KeyRange): Generator<Row<Value>, void, void> {
    const from = { start: this.#emptyRanges.skip(range.start), end: range.end };
    if (from.start >= range.end) return;
    const layers = [this.#active, ...this.#frozen].map((layer) => new LayerCursor(layer, from));
    const stored = new StoreCursor(this.#store, from);
    const merged = new MergedCursor([...layers, stored]);
    let hasRow = false;
    let hasDeleted = false;
    try {
      for (; merged.key !== undefined; merged.advance()) {
        const { key } = merged;
        const cell = this.#cell(key);
        if (cell?.table === null) {
          hasDeleted = true;
          continue;
        }
        if (hasDeleted && !hasRow) this.#emptyRanges.add(range.start, key);
        hasRow = true;
        const value = cell === undefined ? this.#decode(table, stored.value, key) : cell.value;
        yield { key, value: value as Value };
      }
      if (hasDeleted && !hasRow) this.#emptyRanges.add(range.start, range.end);
    } finally {
      stored.close();
    }
  }

  /** Returns at most `limit` rows, in key order. */
  rows<Value>(table: Table<Value>, range: KeyRange, limit: number): Row<Value>[] {
    return takeRows(this.scan(table, range), limit);
  }

  /** Starts an entry: until `end`, `rollback` can undo the changes since this call. */
  begin(): void {
    assert(this.#journal === null, "only one entry is applied at a time");
    this.#journal = new Journal();
  }

  /** Ends an entry. Its changes can no longer be undone. */
  end(): void {
    assert(this.#journal !== null, "an entry is being applied");
    this.#journal = null;
  }

  /** Undoes every change since `begin`, in reverse order. The entry may make more changes. */
  rollback(): void {
    assert(this.#journal !== null, "an entry is being applied");
    this.#journal.undo((key, before) => {
      if (before === undefined) this.#active.forget(key);
      else this.#active.set(key, before, this.#active.get(key));
      this.#emptyRanges.cut(key);
    });
    this.#journal = new Journal();
  }

  /** Appends the active layer to the frozen layers, to be written in one commit. */
  freeze(): void {
    assert(this.#journal === null, "no entry is being applied");
    this.#frozen.push(this.#active);
    this.#active = new Layer();
  }

  /** Returns the changes of the oldest frozen layer. Later writes do not change them. */
  frozenCells(): FrozenCells {
    const [oldest] = this.#frozen;
    assert(oldest !== undefined, "a frozen layer exists");
    return new FrozenCells(oldest);
  }

  /** Drops the oldest frozen layer, after its changes were committed to the store. */
  drop(): void {
    const oldest = this.#frozen.shift();
    assert(oldest !== undefined, "a frozen layer exists");
    oldest.forEach((key, { table, value, isFresh }) => {
      // New values are not cached before their first read: the garbage collector would copy them.
      if (isFresh) return;
      if (table?.isCached(value) === true) {
        this.#cache.set(key, value, cacheBytes(table, key, value));
        return;
      }
      // The cache can hold the value before, also if a value of this kind is never cached.
      this.#cache.delete(key);
    });
  }

  #cell(key: Key): Cell | undefined {
    const cell = this.#active.get(key);
    if (cell !== undefined) return cell;
    for (let index = this.#frozen.length - 1; index >= 0; index -= 1) {
      const frozen = this.#frozen[index]?.get(key);
      if (frozen !== undefined) return frozen;
    }
    return undefined;
  }

  #put<Value>(
    table: Table<Value>,
    key: Key,
    { before, ...fields }: Pick<Cell, "value" | "isFresh"> & { readonly before: Cell | undefined },
  ): void {
    this.#emptyRanges.cut(key);
    const cell = makeCell(key, { table: table as Table<unknown>, ...fields });
    this.#active.set(key, cell, before);
    this.#journal?.add(key, before);
  }

  #load<Value>(table: Table<Value>, key: Key): Value | undefined {
    return this.#store.read(textToBytes(key), (bytes) => this.#decode(table, bytes, key));
  }

  #decode<Value>(table: Table<Value>, bytes: Uint8Array, key: Key): Value {
    try {
      return table.decode(bytes, key);
    } catch (cause) {
      const error = damaged(key, cause);
      this.#onDamage(error);
      throw error;
    }
  }
}

/** Returns at most `limit` of the rows. Reads no further row. */
export function takeRows<Value>(rows: Iterable<Row<Value>>, limit: number): Row<Value>[] {
  const taken: Row<Value>[] = [];
  if (limit === 0) return taken;
  for (const row of rows) {
    taken.push(row);
    if (taken.length === limit) break;
  }
  return taken;
}

function damaged(key: Key, cause: unknown): AshlarError {
  return new AshlarError(
    "STORE_CORRUPT",
    `Cannot read the state: expected a row that can be decoded: current key is ${textToHex(key)}`,
    { cause, hint: "docs/operations.md, A master has diverged" },
  );
}

/** The cells before the changes of one entry, in two arrays: an object for each change costs more. */
class Journal {
  readonly #keys: Key[] = [];
  readonly #cells: (Cell | undefined)[] = [];

  add(key: Key, before: Cell | undefined): void {
    this.#keys.push(key);
    this.#cells.push(before);
  }

  /** Calls `restore` for each change, the last one first. */
  undo(restore: (key: Key, before: Cell | undefined) => void): void {
    for (let index = this.#keys.length - 1; index >= 0; index -= 1) {
      restore(this.#keys[index] as Key, this.#cells[index]);
    }
  }
}

function cacheBytes<Value>(table: Table<Value>, key: Key, value: Value): number {
  return 200 + key.length * 2 + table.sizeBytes(value);
}

/** A position in the sorted keys of a layer or of the store. */
interface Cursor {
  /** The current key. Undefined at the end of the range. */
  readonly key: Key | undefined;
  /** Moves to the next key if the current key is `key`. */
  advancePast(key: Key): void;
}

/** The keys of several cursors, each once. */
class MergedCursor {
  readonly #cursors: readonly Cursor[];
  key: Key | undefined;

  constructor(cursors: readonly Cursor[]) {
    this.#cursors = cursors;
    this.#findKey();
  }

  /** Moves to the next key. */
  advance(): void {
    if (this.key === undefined) return;
    for (const cursor of this.#cursors) cursor.advancePast(this.key);
    this.#findKey();
  }

  #findKey(): void {
    let first: Key | undefined;
    for (const { key } of this.#cursors) {
      if (key !== undefined && (first === undefined || key < first)) first = key;
    }
    this.key = first;
  }
}

class LayerCursor implements Cursor {
  readonly #layer: Layer;
  readonly #end: Key;
  key: Key | undefined;

  constructor(layer: Layer, range: KeyRange) {
    this.#layer = layer;
    this.#end = range.end;
    this.key = layer.keyFrom(range);
  }

  advancePast(key: Key): void {
    if (this.key !== key) return;
    this.key = this.#layer.keyFrom({ start: keyAfter(key), end: this.#end });
  }
}

class StoreCursor implements Cursor {
  readonly #entries: Iterator<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
  key: Key | undefined;
  value: Uint8Array = new Uint8Array();

  constructor(store: Pick<OrderedStore, "range">, range: KeyRange) {
    const bytes = { start: textToBytes(range.start), end: textToBytes(range.end) };
    this.#entries = store.range(bytes)[Symbol.iterator]();
    this.#step();
  }

  advancePast(key: Key): void {
    if (this.key === key) this.#step();
  }

  /** Closes an iterator that has not reached its end: it may hold a cursor of the store. */
  close(): void {
    if (this.key !== undefined) this.#entries.return?.();
  }

  #step(): void {
    const next = this.#entries.next();
    this.key = next.done === true ? undefined : (bytesToText(next.value.key) as Key);
    if (next.done !== true) this.value = next.value.value;
  }
}
