import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { KeyValue, OrderedStore, RangeOptions } from "../../../shared/ports/ordered-store.ts";
import { TestStateMachine } from "./harness.ts";

/** A state machine over a store that counts the rows that are read from it. */
export async function countedMachine() {
  const store = await new MemoryStores().open("state");
  const counts = { rows: 0, ranges: 0 };
  function* counted(options: RangeOptions): Generator<KeyValue> {
    counts.ranges += 1;
    for (const row of store.range(options)) {
      counts.rows += 1;
      yield row;
    }
  }
  const counting: OrderedStore = {
    get: (key) => {
      counts.rows += 1;
      return store.get(key);
    },
    read: (key, decode) => {
      counts.rows += 1;
      return store.read(key, decode);
    },
    range: counted,
    commit: (changes) => store.commit(changes),
    snapshot: () => store.snapshot(),
    sizeBytes: () => store.sizeBytes(),
    close: () => store.close(),
  };
  const machine = await TestStateMachine.make({ store: counting });
  /** Returns the result of `read` and the number of rows and ranges that it has read. */
  const count = <Result>(
    read: () => Result,
  ): { readonly result: Result; readonly rows: number } => {
    counts.rows = 0;
    counts.ranges = 0;
    const result = read();
    return { result, rows: counts.rows + counts.ranges };
  };
  return { machine, count };
}
