import { compareRelative, isAtOrBelow, type SyncEntry } from "./sync-tree.ts";

/** The entries of one path in both trees. At least one of them is not null. */
export interface EntryPair {
  readonly relative: Buffer;
  readonly source: SyncEntry | null;
  readonly target: SyncEntry | null;
  /** Leaves out everything below the path, in both trees. Call it before the next pair is read. */
  readonly skip: () => void;
}

/**
 * Yields the pairs of two walks in their common order. Only one entry of each walk is in memory, so
 * trees of any size can be compared.
 */
export async function* mergeTrees(
  source: AsyncGenerator<SyncEntry, void, void>,
  target: AsyncGenerator<SyncEntry, void, void>,
): AsyncGenerator<EntryPair, void, void> {
  let skipped: Buffer | null = null;
  const next = async (walk: AsyncGenerator<SyncEntry, void, void>): Promise<SyncEntry | null> => {
    for (;;) {
      const { done, value } = await walk.next();
      if (done === true) return null;
      if (skipped === null || !isAtOrBelow(value.relative, skipped)) return value;
    }
  };
  try {
    let left = await next(source);
    let right = await next(target);
    for (;;) {
      const order = orderOf(left, right);
      if (order === null) return;
      const pair = { source: order <= 0 ? left : null, target: order >= 0 ? right : null };
      const { relative } = (pair.source ?? pair.target) as SyncEntry;
      yield {
        ...pair,
        relative,
        skip: () => {
          skipped = relative;
        },
      };
      // The entry that waits on the other side can be below a path that was left out.
      const isLeftOut = (entry: SyncEntry | null): boolean =>
        entry !== null && skipped !== null && isAtOrBelow(entry.relative, skipped);
      if (order <= 0 || isLeftOut(left)) left = await next(source);
      if (order >= 0 || isLeftOut(right)) right = await next(target);
    }
  } finally {
    await source.return();
    await target.return();
  }
}

/** Returns which entry comes first; null if both walks have ended. */
function orderOf(left: SyncEntry | null, right: SyncEntry | null): number | null {
  if (left === null) return right === null ? null : 1;
  return right === null ? -1 : compareRelative(left.relative, right.relative);
}
