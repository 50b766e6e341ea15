import type { CommandContext } from "./command.ts";
import { PartialFailure } from "./exit-status.ts";
import { reportError } from "./report-error.ts";

/**
 * Failures of a command's items. Each is reported when it happens, so that it appears next to the
 * output of its item. The report of the first item waits until a second item begins: the failure of
 * a single item is thrown instead.
 */
class ItemFailures {
  readonly #context: CommandContext;
  #itemCount = 0;
  #failedCount = 0;
  /** Failures that are not reported yet. */
  #unreported: unknown[] = [];
  /** A hint that holds for many items is printed once. */
  readonly #shownHints = new Set<string>();

  constructor(context: CommandContext) {
    this.#context = context;
  }

  /** Call it before each item. */
  begin(): void {
    this.#itemCount += 1;
    if (this.#itemCount > 1) this.report();
  }

  add(error: unknown): void {
    this.#failedCount += 1;
    this.#unreported.push(error);
    if (this.#itemCount > 1) this.report();
  }

  /** Prints the failures that are not reported yet. */
  report(): void {
    const { env, output } = this.#context;
    const { json, verbosity } = output.options;
    output.clearWait();
    const options = { json, verbosity, shownHints: this.#shownHints };
    for (const error of this.#unreported) reportError(env, error, options);
    this.#unreported = [];
  }

  /**
   * Returns the error of a command that was interrupted by `error`. If stdout was closed, which is
   * no failure by itself, the failures until then are the result.
   */
  interrupted(error: unknown): unknown {
    this.report();
    const isClosed = this.#context.output.closed.aborted;
    return isClosed && this.#failedCount > 0 ? new PartialFailure(this.#failedCount) : error;
  }

  /** @throws the failure of a single item; {PartialFailure} if some of several failed */
  end(): void {
    if (this.#failedCount === 0) return;
    if (this.#itemCount === 1) throw this.#unreported[0];
    throw new PartialFailure(this.#failedCount);
  }
}

/**
 * Runs `task` for each item and continues after a failure, as cp(1) and rm(1) do. Each failure is
 * reported when it happens; the failure of a single item is thrown.
 *
 * @throws the failure of a single item; {PartialFailure} if some of several failed
 */
export async function forEachItem<Item>(
  context: CommandContext,
  items: AsyncIterable<Item> | Iterable<Item>,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  const failures = new ItemFailures(context);
  try {
    for await (const item of items) {
      context.signal.throwIfAborted();
      failures.begin();
      try {
        await task(item);
      } catch (error) {
        if (context.signal.aborted) throw error;
        failures.add(error);
      }
    }
  } catch (error) {
    throw failures.interrupted(error);
  }
  failures.end();
}

/** Options of `forEachItemParallel`. */
export interface ParallelOptions<Item> {
  /** The sum of the weights of the items that run at the same time. */
  readonly weightMax: number;
  /** Returns the weight of an item, 1 to `weightMax`. */
  readonly weightOf: (item: Item) => number;
  readonly task: (item: Item) => Promise<void>;
}

/**
 * Runs `task` for each item as `forEachItem` does, several at the same time. The items start in their
 * order, each when its weight fits. The next item is read only when an item of weight 1 could start.
 *
 * @throws the failure of a single item; {PartialFailure} if some of several failed
 */
export async function forEachItemParallel<Item>(
  context: CommandContext,
  items: AsyncIterable<Item>,
  { weightMax, weightOf, task }: ParallelOptions<Item>,
): Promise<void> {
  const running = new RunningItems(weightMax);
  const failures = new ItemFailures(context);
  const fail = (error: unknown): void => {
    // After a stop, pending tasks fail with its reason, which is reported once.
    if (!context.signal.aborted) failures.add(error);
  };
  try {
    for await (const item of items) {
      context.signal.throwIfAborted();
      const weight = weightOf(item);
      await running.room(weight);
      context.signal.throwIfAborted();
      failures.begin();
      running.start(weight, () => task(item).catch(fail));
      await running.room(1);
    }
  } catch (error) {
    throw failures.interrupted(error);
  } finally {
    await running.ended(); // No task outlives the loop that started it.
  }
  if (context.signal.aborted) throw failures.interrupted(context.signal.reason);
  failures.end();
}

/** Items that run at the same time. One caller waits for room, or for the end. */
class RunningItems {
  readonly #weightMax: number;
  #weight = 0;
  #wake: () => void = () => {};

  constructor(weightMax: number) {
    this.#weightMax = weightMax;
  }

  /** Resolves when an item of this weight may start. */
  async room(weight: number): Promise<void> {
    while (this.#weight + weight > this.#weightMax) await this.#change();
  }

  /** Starts a task, which does not reject. */
  start(weight: number, task: () => Promise<void>): void {
    this.#weight += weight;
    const end = (): void => {
      this.#weight -= weight;
      this.#wake();
    };
    task().then(end, end);
  }

  /** Resolves when no item runs. */
  async ended(): Promise<void> {
    while (this.#weight > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Reads the first two items, to know whether there are several. `items` yields all of them. */
export async function severalOf<Item>(
  source: AsyncGenerator<Item>,
): Promise<{ readonly isSeveral: boolean; readonly items: AsyncGenerator<Item> }> {
  const first: Item[] = [];
  for (let count = 0; count < 2; count += 1) {
    const next = await source.next();
    if (next.done !== true) first.push(next.value);
  }
  const items = async function* (): AsyncGenerator<Item> {
    yield* first;
    yield* source;
  };
  return { isSeveral: first.length > 1, items: items() };
}
