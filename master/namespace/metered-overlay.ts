import type { CostMeter } from "./cost.ts";
import type { Key } from "./keys.ts";
import { type KeyRange, type Overlay, type RecordReader, type Row, takeRows } from "./overlay.ts";
import type { Table } from "./tables.ts";

/** The overlay as one entry reads and writes it: each row counts. See `Overlay`. */
export class MeteredOverlay implements RecordReader {
  readonly #overlay: Overlay;
  readonly #meter: CostMeter;

  constructor(overlay: Overlay, meter: CostMeter) {
    this.#overlay = overlay;
    this.#meter = meter;
  }

  get<Value>(table: Table<Value>, key: Key): Value | undefined {
    this.#meter.countRead(table);
    return this.#overlay.get(table, key);
  }

  *scan<Value>(table: Table<Value>, range: KeyRange): Generator<Row<Value>, void, void> {
    for (const row of this.#overlay.scan(table, range)) {
      this.#meter.countRangeRow();
      yield row;
    }
  }

  rows<Value>(table: Table<Value>, range: KeyRange, limit: number): Row<Value>[] {
    return takeRows(this.scan(table, range), limit);
  }

  set<Value>(table: Table<Value>, key: Key, value: Value): void {
    this.#meter.countWrite();
    this.#overlay.set(table, key, value);
  }

  insert<Value>(table: Table<Value>, key: Key, value: Value): void {
    this.#meter.countWrite();
    this.#overlay.insert(table, key, value);
  }

  delete(key: Key): void {
    this.#meter.countWrite();
    this.#overlay.delete(key);
  }
}
