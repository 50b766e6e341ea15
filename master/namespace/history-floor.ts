import type { LogIndex } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { type Key, prefixEnd, readU64, TABLE_BYTE, timeKey } from "./keys.ts";
import type { State } from "./state.ts";
import { TIMES } from "./tables.ts";

/**
 * What the history knows of time. The time table says, to the second, at which index the leader's
 * clock stood where; `reclaim` moves the floor to the newest row that is a retention old. The state
 * as of that row was the present one when the retention began, so it is the oldest that is kept.
 */

/** An entry that is so much later than the last row writes another: one second is one row at most. */
const SPACING_MS = 1_000;

const ALL_TIMES = { start: TABLE_BYTE.time as Key, end: prefixEnd(TABLE_BYTE.time) };

/** A row of the time table: the state after `index` was the present one at `timeMs`. */
export interface TimedIndex {
  readonly index: LogIndex;
  readonly timeMs: number;
}

/** Takes the leader's time into the state. Every command that names a time calls it, last. */
export function recordTime(change: Change): void {
  const { clockMs, timedMs } = change.totals;
  if (change.nowMs > clockMs) change.updateTotals({ clockMs: change.nowMs });
  if (timedMs === 0 || change.nowMs >= timedMs + SPACING_MS) addTimeRow(change);
}

/** Adds a row and drops up to two that a newer old one makes useless: the table stays small. */
function addTimeRow(change: Change): void {
  const newestMs = change.nowMs - retentionMs(change);
  const old = rowsFrom(change, 0, 3).filter((row) => row.timeMs <= newestMs);
  for (const { index } of old.slice(0, -1)) change.deleteUnversioned(TIMES, timeKey(index));
  change.putUnversioned(TIMES, timeKey(change.index), change.nowMs);
  change.updateTotals({ timedMs: change.nowMs });
}

const retentionMs = (state: State): number => state.clusterFacts?.historyRetentionMs ?? 0;

/** At most `limit` rows, the first at or after `index`. */
function rowsFrom(state: State, index: number, limit: number): readonly TimedIndex[] {
  const rows = state.rows(TIMES, { ...ALL_TIMES, start: timeKey(index as LogIndex) }, limit);
  return rows.map(({ key, value }) => ({ index: readU64(key, 1) as LogIndex, timeMs: value }));
}

/**
 * The newest row that is not later than `timeMs`. Times rise with the index, so it is found by
 * halving: a retention of days has a row for every busy second.
 */
function newestRow(state: State, timeMs: number): TimedIndex | undefined {
  let [found] = rowsFrom(state, 0, 1);
  if (found === undefined || found.timeMs > timeMs) return undefined;
  // Every row from `end` on is later than `timeMs`.
  let end = Number.MAX_SAFE_INTEGER;
  while (end - found.index > 1) {
    const middle = found.index + Math.floor((end - found.index) / 2);
    const [row] = rowsFrom(state, middle, 1);
    if (row === undefined || row.timeMs > timeMs) end = middle;
    else found = row;
  }
  return found;
}

/**
 * The last index whose state is known to have been there at `timeMs`: nothing that was done later
 * shows in it, and what was done within the last second before may be missing. Undefined for a time
 * before the first row.
 */
export function indexAtTime(
  state: State,
  appliedIndex: LogIndex,
  timeMs: number,
): LogIndex | undefined {
  const row = newestRow(state, timeMs);
  if (row === undefined || timeMs < row.timeMs + SPACING_MS) return row?.index;
  // An entry that came a second or more after the row has a row of its own.
  const [next] = rowsFrom(state, row.index + 1, 1);
  return next === undefined ? appliedIndex : ((next.index - 1) as LogIndex);
}

/** When the state as of `index` was the present one, to the second. */
export function timeOfIndex(state: State, index: LogIndex): number {
  const [first] = rowsFrom(state, 0, 1);
  if (first === undefined || index <= first.index) return first?.timeMs ?? state.totals.clockMs;
  let found = first;
  let end = index + 1;
  while (end - found.index > 1) {
    const middle = found.index + Math.floor((end - found.index) / 2);
    const [row] = rowsFrom(state, middle, 1);
    if (row === undefined || row.index > index) end = middle;
    else found = row;
  }
  return found.timeMs;
}

/** The newest state that is a retention old; the floor stays where that is. */
export function historyFloorAt(state: State, nowMs: number): LogIndex {
  const floor = newestRow(state, nowMs - retentionMs(state))?.index ?? 0;
  return Math.max(state.totals.historyFloor, floor) as LogIndex;
}

/** Forgets up to `limit` rows that the floor has passed. @returns how many. */
export function dropTimeRows(change: Change, limit: number): number {
  const range = { ...ALL_TIMES, end: timeKey((change.totals.historyFloor + 1) as LogIndex) };
  // The last of them says when the floor was.
  const rows = change.rows(TIMES, range, limit + 1).slice(0, -1);
  for (const { key } of rows) change.deleteUnversioned(TIMES, key);
  return rows.length;
}

/**
 * Whether something that was queued at `index` waits for a row that nobody writes: a quiet cluster
 * has no entries. Then a reclaim is worth an entry for its row alone.
 */
export function needsTimeRow(state: State, index: LogIndex, nowMs: number): boolean {
  return rowsFrom(state, index, 1).length === 0 && nowMs >= state.totals.timedMs + SPACING_MS;
}
