import { assert } from "../base/assert.ts";
import { AshlarError } from "../base/errors.ts";

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
  assert(windowSize > 0, "a window has room");
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

/**
 * A bound on bytes that are under way at one time. Served in the order of the calls, so that a
 * large request is not overtaken for ever.
 */
export class ByteBudget {
  readonly #bytesMax: number;
  readonly #waiting = new Set<Waiting>();
  #usedBytes = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "a budget has room");
    this.#bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /**
   * Resolves when `bytes` fit; give them back with `release`. More than the whole budget fits once
   * nothing else is under way.
   *
   * @throws {AshlarError} CANCELLED if `signal` aborts first; nothing is taken.
   */
  acquire(bytes: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(cancelled(signal));
    if (this.#waiting.size === 0 && this.#fits(bytes)) {
      this.#usedBytes += bytes;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiting);
        reject(cancelled(signal));
        this.#serveWaiting();
      };
      const waiting: Waiting = {
        bytes,
        resolve: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#waiting.add(waiting);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
    assert(this.#usedBytes >= 0, "no more comes back than was acquired");
    this.#serveWaiting();
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#bytesMax;
  }

  #serveWaiting(): void {
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) return;
      this.#waiting.delete(waiting);
      this.#usedBytes += waiting.bytes;
      waiting.resolve();
    }
  }
}

interface Waiting {
  readonly bytes: number;
  readonly resolve: () => void;
}

function cancelled(signal: AbortSignal | undefined): AshlarError {
  return new AshlarError("CANCELLED", "Cannot wait for room: the caller gave up", {
    cause: signal?.reason,
  });
}
