import type { LogIndex } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { FEED, FEED_END, feedIndexOf, feedKey, storedBytes } from "./feed-table.ts";
import type { State } from "./state.ts";

/**
 * How the feed loses its oldest events: those that led to the oldest readable state, because their
 * paths are read from the history, and whatever is over the feed's bound in bytes. `reclaim` does
 * it, through the log, in bounded steps; an entry's events are given up all together.
 */

/** What the feed may take on disk, where the cluster was not made with another bound. */
const FEED_BYTES_MAX = 1024 * 1024 * 1024;

const bytesMax = (state: State): number => state.clusterFacts?.feedBytesMax ?? FEED_BYTES_MAX;

/** From the leftovers of the entry that was given up last. */
const startOf = (state: State): ReturnType<typeof feedKey> =>
  feedKey({ index: Math.max(0, state.totals.feedFloor - 1) as LogIndex, sequence: 0 });

/** Where the oldest event stands that is still stored; undefined if there is none. */
export function oldestEvent(state: State): LogIndex | undefined {
  const [row] = state.rows(FEED, { start: startOf(state), end: FEED_END }, 1);
  return row === undefined ? undefined : feedIndexOf(row.key);
}

/** Whether a `trimFeed` under this history floor would find work. */
export function isFeedTrimPending(state: State, historyFloor: LogIndex): boolean {
  const oldest = oldestEvent(state);
  if (oldest === undefined) return false;
  const { feedFloor, feedBytes } = state.totals;
  return oldest <= historyFloor || oldest < feedFloor || feedBytes > bytesMax(state);
}

/** Drops at most `rowsMax` events that are out of bounds. @returns how many it dropped. */
export function trimFeed(change: Change, historyFloor: LogIndex, rowsMax: number): number {
  const bytesAllowed = bytesMax(change);
  let { feedFloor, feedBytes } = change.totals;
  let count = 0;
  const range = { start: startOf(change), end: FEED_END };
  for (const { key, value } of change.rows(FEED, range, rowsMax)) {
    const index = feedIndexOf(key);
    const isKept = index >= feedFloor && index > historyFloor && feedBytes <= bytesAllowed;
    if (isKept) break;
    change.deleteUnversioned(FEED, key);
    feedBytes -= storedBytes(value);
    feedFloor = Math.max(feedFloor, index + 1) as LogIndex;
    count += 1;
  }
  if (count > 0) change.updateTotals({ feedFloor, feedBytes });
  return count;
}
