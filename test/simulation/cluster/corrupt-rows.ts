import type {
  KeyValue,
  OrderedReader,
  RangeOptions,
  StoreChange,
} from "../../../shared/ports/ordered-store.ts";
import type { SimulationRandom } from "./simulation-random.ts";

/** Probability that a corrupt row is missing instead of changed, as after damage to its page. */
const MISSING_PROBABILITY = 0.1;

/**
 * Corrupt rows of one store (bit rot). Every read returns the corrupt value of a row until the row
 * is written again.
 */
export class CorruptRows {
  /** Corrupt value by row. Null: the row is missing. */
  readonly #rows: Map<string, Uint8Array | null>;
  readonly #onRead: () => void;
  /** Whether a corrupt row was read, from the store or from a snapshot of it. */
  wasRead = false;

  constructor(rows: Iterable<[string, Uint8Array | null]> = [], onRead: () => void = () => {}) {
    this.#rows = new Map(rows);
    this.#onRead = onRead;
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /**
   * Flips one bit of a row of `store`, or makes the row missing. Every table has the same
   * probability.
   *
   * @returns a description of the change; null if the store has no rows
   */
  corruptRandomRow(store: OrderedReader, random: SimulationRandom): string | null {
    const tables = new Map<number, KeyValue[]>();
    for (const row of store.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) })) {
      const [table = 0] = row.key;
      const rows = tables.get(table) ?? [];
      rows.push(row);
      tables.set(table, rows);
    }
    if (tables.size === 0) return null;
    const { key, value } = random.pick(random.pick([...tables.values()]));
    const name = nameOf(key);
    if (value.length === 0 || random.chance(MISSING_PROBABILITY)) {
      this.#rows.set(name, null);
      return `row ${Buffer.from(key).toString("hex")} is missing`;
    }
    const corrupt = value.slice();
    const bit = random.integer(value.length * 8);
    corrupt[bit >> 3] = (corrupt[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    this.#rows.set(name, corrupt);
    return `bit ${bit} of row ${Buffer.from(key).toString("hex")} is flipped`;
  }

  /** Marks the written rows as correct. Called after each commit. */
  onCommitted(changes: readonly StoreChange[]): void {
    for (const { key } of changes) this.#rows.delete(nameOf(key));
  }

  /** Returns the result of a read of the row. `value` is the value that was written. */
  valueAsRead(key: Uint8Array, value: Uint8Array | undefined): Uint8Array | undefined {
    const row = this.#rows.get(nameOf(key));
    if (row === undefined) return value;
    this.wasRead = true;
    this.#onRead();
    return row ?? undefined;
  }

  /** Yields the rows of `store` as reads return them. Missing rows are skipped. */
  *range(store: OrderedReader, options: RangeOptions): Generator<KeyValue, void, void> {
    for (const { key, value } of store.range(options)) {
      const valueAsRead = this.valueAsRead(key, value);
      if (valueAsRead !== undefined) yield { key, value: valueAsRead };
    }
  }

  /**
   * Returns a copy of the current corrupt rows. A read of the copy sets `wasRead` of this object.
   */
  snapshot(): CorruptRows {
    return new CorruptRows(this.#rows, () => {
      this.wasRead = true;
    });
  }
}

/** Returns the key as a string, one character per byte. */
function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}
