import { assert } from "../base/assert.ts";

/**
 * Runs `task` on every item, at most `windowSize` at a time, and yields the results in the order
 * of the items. Back-pressure: an item is taken from `source` only when the window has room and
 * the consumer is waiting, so a slow consumer slows the source.
 */
export async function* mapInWindow<Item, Result>(
  source: AsyncIterable<Item> | Iterable<Item>,
  windowSize: number,
  task: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, void> {
  assert(windowSize > 0, "a window has room for a task");
  const inFlight: Array<Promise<Result>> = [];
  try {
    for await (const item of source) {
      const pending = task(item);
      pending.catch(() => {}); // The error is reported by the `await` below, in order.
      inFlight.push(pending);
      if (inFlight.length === windowSize) yield await (inFlight.shift() as Promise<Result>);
    }
    while (inFlight.length > 0) yield await (inFlight.shift() as Promise<Result>);
  } finally {
    await Promise.allSettled(inFlight); // No task outlives the loop that started it.
  }
}
