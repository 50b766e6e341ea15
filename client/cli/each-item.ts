import type { CommandContext } from "./command.ts";
import { PartialFailure } from "./exit-status.ts";
import { reportError } from "./report-error.ts";

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
  let itemCount = 0;
  let reportedCount = 0;
  const reportPending = (): void => {
    for (const error of failures.slice(reportedCount)) reportItem(context, error);
    reportedCount = failures.length;
  };
  const failures: unknown[] = [];
  for await (const item of items) {
    context.signal.throwIfAborted();
    itemCount += 1;
    // The first may have been the only item: then it is thrown below, and reported once.
    if (itemCount > 1) reportPending();
    try {
      await task(item);
    } catch (error) {
      if (context.signal.aborted) throw error;
      failures.push(error);
    }
  }
  if (failures.length === 0) return;
  if (itemCount === 1) throw failures[0];
  reportPending();
  throw new PartialFailure(failures.length);
}

function reportItem(context: CommandContext, error: unknown): void {
  const { json, verbosity } = context.output.options;
  reportError(error, { json, verbosity });
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
  const failures: unknown[] = [];
  let itemCount = 0;
  try {
    for await (const item of items) {
      context.signal.throwIfAborted();
      itemCount += 1;
      const job: Promise<void> = options
        .task(item)
        .catch((error: unknown) => {
          failures.push(error);
        })
        .finally(() => running.delete(job));
      running.add(job);
      if (running.size >= options.parallel) await Promise.race(running);
    }
  } finally {
    await Promise.all(running); // No job outlives the loop that started it.
  }
  context.signal.throwIfAborted();
  if (failures.length === 0) return;
  if (itemCount === 1) throw failures[0];
  for (const error of failures) reportItem(context, error);
  throw new PartialFailure(failures.length);
}
