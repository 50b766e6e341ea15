/** Precision of the times, in milliseconds. */
export const DUE_INTERVAL_MS = 100;

/**
 * Waits by the time when they are due, in lists of DUE_INTERVAL_MS. Due ones are found without a look at the
 * others: there are at most as many lists as intervals until the latest time.
 */
export class DueWaits<Wait extends { readonly dueMs: number }> {
  /** The waits by the end of their interval, counted in intervals. No list is empty. */
  readonly #lists = new Map<number, Set<Wait>>();

  add(wait: Wait): void {
    const interval = intervalOf(wait);
    const list = this.#lists.get(interval);
    if (list === undefined) this.#lists.set(interval, new Set([wait]));
    else list.add(wait);
  }

  /** Removes a wait. Does nothing if it was not added. */
  delete(wait: Wait): void {
    const interval = intervalOf(wait);
    const list = this.#lists.get(interval);
    if (list?.delete(wait) === true && list.size === 0) this.#lists.delete(interval);
  }

  /** Yields the waits whose interval has ended. The caller removes them. */
  *due(nowMs: number): Generator<Wait, void, void> {
    for (const [interval, list] of this.#lists) {
      if (interval * DUE_INTERVAL_MS <= nowMs) yield* list;
    }
  }
}

const intervalOf = ({ dueMs }: { readonly dueMs: number }): number =>
  Math.ceil(dueMs / DUE_INTERVAL_MS);
