import type { LogIndex } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { type Key, prefixEnd, readU64, TABLE_BYTE, timeKey } from "./keys.ts";
import type { State } from "./state.ts";
import { TIMES } from "./tables.ts";

/**
 * How old states become unreadable. The time table says, coarsely, at which index the leader's
 * clock stood where; `reclaim` moves the floor to the newest row that is a retention old. The state
 * as of that row was the present one when the retention began, so it is the oldest that is kept.
 */

/** Rows in one retention: how coarsely the floor moves. */
const ROWS_PER_RETENTION = 256;
const SPACING_MS_MIN = 1_000;
/** Rows that one look or one step reads. */
const ROWS_MAX = 2 * ROWS_PER_RETENTION;

const ALL_TIMES = { start: TABLE_BYTE.time as Key, end: prefixEnd(TABLE_BYTE.time) };

/** Takes the leader's time into the state. Every command that names a time calls it, last. */
export function recordTime(change: Change): void {
  const { clockMs, timedMs } = change.totals;
  if (change.nowMs > clockMs) change.updateTotals({ clockMs: change.nowMs });
  if (timedMs === 0 || change.nowMs >= timedMs + spacingMs(change)) addTimeRow(change);
}

/** Adds a row and drops up to two that a newer old one makes useless: the table stays small. */
function addTimeRow(change: Change): void {
  const rows = oldRows(change, change.nowMs).slice(0, 3);
  for (const { key } of rows.slice(0, -1)) change.overlay.delete(TIMES, key);
  change.overlay.set(TIMES, timeKey(change.index), change.nowMs);
  change.updateTotals({ timedMs: change.nowMs });
}

function spacingMs(state: State): number {
  return Math.max(SPACING_MS_MIN, retentionMs(state) / ROWS_PER_RETENTION);
}

const retentionMs = (state: State): number => state.clusterFacts?.historyRetentionMs ?? 0;

/** Rows, oldest first, that are a retention old. The last of them is where the floor may stand. */
function oldRows(state: State, nowMs: number): readonly { key: Key; index: LogIndex }[] {
  const rows = state.overlay.rows(TIMES, ALL_TIMES, ROWS_MAX);
  const newestMs = nowMs - retentionMs(state);
  return rows
    .filter((row) => row.value <= newestMs)
    .map(({ key }) => ({ key, index: readU64(key, 1) as LogIndex }));
}

/** Where `raiseHistoryFloor` would move the floor. */
export function floorAt(state: State, nowMs: number): LogIndex {
  const floor = oldRows(state, nowMs).at(-1)?.index ?? 0;
  return Math.max(state.totals.historyFloor, floor) as LogIndex;
}

/** Moves the floor on and forgets the rows before it. @returns the floor. */
export function raiseHistoryFloor(change: Change): LogIndex {
  const rows = oldRows(change, change.nowMs);
  for (const { key } of rows.slice(0, -1)) change.overlay.delete(TIMES, key);
  const historyFloor = floorAt(change, change.nowMs);
  if (historyFloor > change.totals.historyFloor) change.updateTotals({ historyFloor });
  return historyFloor;
}

/**
 * Whether something that was queued at `index` waits for a row that nobody writes: a quiet cluster
 * has no entries. Then a reclaim is worth an entry for its row alone.
 */
export function lacksRow(state: State, index: LogIndex, nowMs: number): boolean {
  const start = timeKey(index);
  const [row] = state.overlay.rows(TIMES, { start, end: ALL_TIMES.end }, 1);
  return row === undefined && nowMs >= state.totals.timedMs + spacingMs(state);
}
