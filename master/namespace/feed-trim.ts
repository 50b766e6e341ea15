import type { LogIndex } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { FEED, FEED_END, FEED_SIZES, feedIndexOf, feedKey, storedBytes } from "./feed-table.ts";
import type { State } from "./state.ts";

/**
 * Trimming of the change feed. Two kinds of events are dropped: events at or before the history
 * floor, because their paths are read from the history, and the oldest events while the feed is
 * larger than its limit. The `reclaim` command trims the feed in bounded steps. After one event of
 * an entry was dropped, the feed floor excludes all events of this entry.
 */

/** Default bound of the feed on disk, for a cluster that was made without another bound. */
const FEED_BYTES_MAX = 1024 * 1024 * 1024;

const bytesMax = (state: State): number => state.clusterFacts?.feedBytesMax ?? FEED_BYTES_MAX;

/**
 * Returns the lowest key that may exist. The entry that was trimmed last can still have events,
 * which the feed floor excludes.
 */
const startOf = (state: State): ReturnType<typeof feedKey> =>
  feedKey({ index: Math.max(0, state.totals.feedFloor - 1) as LogIndex, sequence: 0 });

/** Returns the index of the oldest stored event. Undefined if the feed is empty. */
export function oldestEvent(state: State): LogIndex | undefined {
  const [row] = state.rows(FEED_SIZES, { start: startOf(state), end: FEED_END }, 1);
  return row === undefined ? undefined : feedIndexOf(row.key);
}

/** Returns whether `trimFeed` with this history floor would drop an event. */
export function isFeedTrimPending(state: State, historyFloor: LogIndex): boolean {
  const oldest = oldestEvent(state);
  if (oldest === undefined) return false;
  const { feedFloor, feedBytes } = state.totals;
  return oldest <= historyFloor || oldest < feedFloor || feedBytes > bytesMax(state);
}

/** Drops at most `rowsMax` events that need not be kept. @returns the number of dropped events */
export function trimFeed(change: Change, historyFloor: LogIndex, rowsMax: number): number {
  const bytesAllowed = bytesMax(change);
  let { feedFloor, feedBytes } = change.totals;
  let count = 0;
  const range = { start: startOf(change), end: FEED_END };
  for (const { key, value } of change.rows(FEED_SIZES, range, rowsMax)) {
    const index = feedIndexOf(key);
    const isKept = index >= feedFloor && index > historyFloor && feedBytes <= bytesAllowed;
    if (isKept) break;
    change.deleteUnversioned(FEED, key);
    feedBytes -= "storedBytes" in value ? value.storedBytes : storedBytes(value);
    feedFloor = Math.max(feedFloor, index + 1) as LogIndex;
    count += 1;
  }
  if (count > 0) change.updateTotals({ feedFloor, feedBytes });
  return count;
}
