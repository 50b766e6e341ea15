import type { Key } from "./keys.ts";
import type { KeyRange, RecordReader, Row } from "./overlay.ts";
import { refusal } from "./refusal.ts";
import type { Table } from "./tables.ts";

/**
 * Most rows that one read may need to find its target: about 10 ms. A path has two rows for each name, and
 * the position of an inode in the tree one for each directory above it.
 */
export const LOOKUP_ROWS_MAX = 10_000;

/** Counts the rows of a read. */
export class ReadBudget {
  readonly #rowsMax: number;
  #rows = 0;

  constructor(rowsMax: number = LOOKUP_ROWS_MAX) {
    this.#rowsMax = rowsMax;
  }

  /** The rows so far. */
  get rows(): number {
    return this.#rows;
  }

  /** @throws {Refusal} TOO_LARGE */
  count(): void {
    this.#rows += 1;
    if (this.#rows <= this.#rowsMax) return;
    const max = this.#rowsMax;
    throw refusal("read-rows", { max }, { limit: "read-rows", max });
  }
}

/** Reads records and counts their rows. */
export class CountedRecords implements RecordReader {
  readonly #records: RecordReader;
  readonly #budget: ReadBudget;

  constructor(records: RecordReader, budget: ReadBudget) {
    this.#records = records;
    this.#budget = budget;
  }

  get<Value>(table: Table<Value>, key: Key): Value | undefined {
    this.#budget.count();
    return this.#records.get(table, key);
  }

  rows<Value>(table: Table<Value>, range: KeyRange, limit: number): Row<Value>[] {
    const rows = this.#records.rows(table, range, limit);
    for (let row = 0; row < rows.length; row += 1) this.#budget.count();
    return rows;
  }

  *scan<Value>(table: Table<Value>, range: KeyRange): Generator<Row<Value>, void, void> {
    for (const row of this.#records.scan(table, range)) {
      this.#budget.count();
      yield row;
    }
  }
}
