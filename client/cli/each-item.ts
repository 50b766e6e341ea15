import type { CommandContext } from "./command.ts";
import { PartialFailure } from "./exit-status.ts";
import { reportError } from "./report-error.ts";

/**
 * Failures of several items, each reported when it happens, so that it stands beside the line of
 * its item. The first is held back while it may be the failure of the only item.
 */
class Failures {
  readonly #context: CommandContext;
  #itemCount = 0;
  #failedCount = 0;
  #held: unknown[] = [];

  constructor(context: CommandContext) {
    this.#context = context;
  }

  /** Another item begins. */
  begin(): void {
    this.#itemCount += 1;
    if (this.#itemCount > 1) this.report();
  }

  add(error: unknown): void {
    this.#failedCount += 1;
    this.#held.push(error);
    if (this.#itemCount > 1) this.report();
  }

  report(): void {
    const { json, verbosity } = this.#context.output.options;
    for (const error of this.#held) reportError(error, { json, verbosity });
    this.#held = [];
  }

  /** @throws the failure of a single item; {PartialFailure} if some of several failed */
  end(): void {
    if (this.#failedCount === 0) return;
    if (this.#itemCount === 1) throw this.#held[0];
    throw new PartialFailure(this.#failedCount);
  }
}

/**
 * Runs `task` for each item and goes on after one that fails, as cp(1) and rm(1) do. A single item's
 * failure is the command's own; of several, each is reported when it happens.
 *
 * @throws the failure of a single item; {PartialFailure} if some of several failed
 */
export async function forEachItem<Item>(
  context: CommandContext,
  items: AsyncIterable<Item> | Iterable<Item>,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  const failures = new Failures(context);
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
    failures.report();
    throw error;
  }
  failures.end();
}

/** Files that a command moves at the same time when nothing is said. */
export function defaultParallel(cpuCount: number): number {
  return Math.min(8, 2 * cpuCount);
}

/**
 * As `forEachItem`, at most `parallel` at a time. An item is taken only when one of them is free.
 *
 * @throws the failure of a single item; {PartialFailure} if some of several failed
 */
export async function forEachItemParallel<Item>(
  context: CommandContext,
  items: AsyncIterable<Item>,
  options: { readonly parallel: number; readonly task: (item: Item) => Promise<void> },
): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures = new Failures(context);
  const fail = (error: unknown): void => {
    // What a stop made of the items under way is no news.
    if (!context.signal.aborted) failures.add(error);
  };
  try {
    for await (const item of items) {
      context.signal.throwIfAborted();
      failures.begin();
      const job: Promise<void> = options
        .task(item)
        .catch(fail)
        .finally(() => running.delete(job));
      running.add(job);
      if (running.size >= options.parallel) await Promise.race(running);
    }
  } catch (error) {
    failures.report();
    throw error;
  } finally {
    await Promise.all(running); // No job outlives the loop that started it.
  }
  context.signal.throwIfAborted();
  failures.end();
}
