import type {
  KeyValue,
  OrderedReader,
  OrderedStore,
  OrderedStores,
  RangeOptions,
  StoreChange,
  StoreSnapshot,
} from "../../../shared/ports/ordered-store.ts";

/** Rows of a store that were read, written and deleted. */
export interface RowCounts {
  /** Reads by key, also of missing rows. */
  readonly reads: number;
  readonly rangeRows: number;
  readonly writes: number;
  readonly deletes: number;
}

/** Stores that count their rows. */
export class CountedStores implements OrderedStores {
  readonly #stores: OrderedStores;
  readonly #counts = { reads: 0, rangeRows: 0, writes: 0, deletes: 0 };

  constructor(stores: OrderedStores) {
    this.#stores = stores;
  }

  /** The counts of all stores so far. */
  get counts(): RowCounts {
    return { ...this.#counts };
  }

  async open(name: string): Promise<OrderedStore> {
    const store = await this.#stores.open(name);
    const counts = this.#counts;
    const range = (reader: OrderedReader, options: RangeOptions): Iterable<KeyValue> =>
      counted(reader.range(options), () => {
        counts.rangeRows += 1;
      });
    return {
      get: (key) => {
        counts.reads += 1;
        return store.get(key);
      },
      read: (key, decode) => {
        counts.reads += 1;
        return store.read(key, decode);
      },
      range: (options) => range(store, options),
      commit: (changes: readonly StoreChange[]) => {
        const deletes = changes.filter(({ value }) => value === null).length;
        counts.deletes += deletes;
        counts.writes += changes.length - deletes;
        return store.commit(changes);
      },
      snapshot: (): StoreSnapshot => store.snapshot(),
      sizeBytes: () => store.sizeBytes(),
      close: () => store.close(),
    };
  }

  remove(name: string): Promise<void> {
    return this.#stores.remove(name);
  }

  list(): Promise<readonly string[]> {
    return this.#stores.list();
  }
}

function* counted(rows: Iterable<KeyValue>, count: () => void): Generator<KeyValue, void, void> {
  for (const row of rows) {
    count();
    yield row;
  }
}
