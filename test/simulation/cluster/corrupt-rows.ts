import type {
  KeyValue,
  OrderedReader,
  RangeOptions,
  StoreChange,
} from "../../../shared/ports/ordered-store.ts";
import type { Dice } from "./simulation-random.ts";

/** A row that is gone instead of changed: the page above it rots, too. */
const GONE_SHARE = 0.1;

/** What has turned over at rest in one store: every read sees it, until the row is written again. */
export class RottenRows {
  /** Null: gone. */
  readonly #rows: Map<string, Uint8Array | null>;
  readonly #onRead: () => void;
  /** Something that is rotten was read. */
  wasRead = false;

  constructor(rows: Iterable<[string, Uint8Array | null]> = [], onRead: () => void = () => {}) {
    this.#rows = new Map(rows);
    this.#onRead = onRead;
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /** A bit of one row of `store`, any table as likely as another. @returns what, or null without rows */
  rot(store: OrderedReader, dice: Dice): string | null {
    const tables = new Map<number, KeyValue[]>();
    for (const row of store.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) })) {
      const [table = 0] = row.key;
      const rows = tables.get(table) ?? [];
      rows.push(row);
      tables.set(table, rows);
    }
    if (tables.size === 0) return null;
    const { key, value } = dice.pick(dice.pick([...tables.values()]));
    const name = nameOf(key);
    if (value.length === 0 || dice.isBelow(GONE_SHARE)) {
      this.#rows.set(name, null);
      return `row ${Buffer.from(key).toString("hex")} is gone`;
    }
    const rotten = value.slice();
    const bit = dice.integer(value.length * 8);
    rotten[bit >> 3] = (rotten[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    this.#rows.set(name, rotten);
    return `bit ${bit} of row ${Buffer.from(key).toString("hex")} turns over`;
  }

  written(changes: readonly StoreChange[]): void {
    for (const { key } of changes) this.#rows.delete(nameOf(key));
  }

  /** What is read of the row whose value was `value`. */
  seen(key: Uint8Array, value: Uint8Array | undefined): Uint8Array | undefined {
    const row = this.#rows.get(nameOf(key));
    if (row === undefined) return value;
    this.wasRead = true;
    this.#onRead();
    return row ?? undefined;
  }

  *range(store: OrderedReader, options: RangeOptions): Generator<KeyValue, void, void> {
    for (const { key, value } of store.range(options)) {
      const seen = this.seen(key, value);
      if (seen !== undefined) yield { key, value: seen };
    }
  }

  /** As it is now. What is read there counts as read here. */
  frozen(): RottenRows {
    return new RottenRows(this.#rows, () => {
      this.wasRead = true;
    });
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}
