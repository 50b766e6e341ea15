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
