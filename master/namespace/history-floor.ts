import type { LogIndex } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import type { StepClock } from "./command.ts";
import { type Key, META_KEY, prefixEnd, readU64, TABLE_BYTE, timeKey } from "./keys.ts";
import type { ClockStep } from "./records.ts";
import { refusal } from "./refusal.ts";
import type { State } from "./state.ts";
import { CLOCK_STEPS, TIMES } from "./tables.ts";

/**
 * The mapping between time and log indexes. A row of the time table records the leader's time at an
 * index, at most one row for each second. `reclaim` raises the history floor to the newest row that
 * is at least one retention old. The state as of that row was the current state when the retention
 * period began, so it is the oldest state that must be readable.
 *
 * Steps of the clock (`step-clock`) do not count as passed time: the age of a row is the difference
 * of the times without the steps between them. After a step back, rows before it are shown with the
 * time after the step at the latest. So both times increase with the index.
 */

/** Minimum time between two rows: the time table has at most one row for each second. */
const SPACING_MS = 1_000;

const ALL_TIMES = { start: TABLE_BYTE.time as Key, end: prefixEnd(TABLE_BYTE.time) };

/** Maximum number of steps within the retention. */
const STEPS_MAX = 256;

/** First distance between two rows that a search compares, in indexes. */
const SEARCH_DISTANCE = 1_024;

/** A row of the time table: the state after `index` was the current state at `timeMs`. */
export interface TimedIndex {
  readonly index: LogIndex;
  readonly timeMs: number;
}

/** Stores the leader's time in the state. Called after every command that contains a time. */
export function recordTime(change: Change): void {
  const { clockMs, timedMs } = change.totals;
  if (change.nowMs > clockMs) change.updateTotals({ clockMs: change.nowMs });
  if (timedMs === 0 || change.nowMs >= timedMs + SPACING_MS) addTimeRow(change);
}

/**
 * Steps the time of the state and adds a row. Forgets the steps before all rows: they change no
 * difference of times.
 *
 * @throws {Refusal} TOO_LARGE after too many steps within the retention
 */
export function stepClock(change: Change, { fromMs, toMs }: StepClock): void {
  const { index } = change;
  const { clockMs } = change.totals;
  const [oldest] = rowsFrom(change, 0, 1);
  const steps = change.clockSteps.filter((step) => step.index > (oldest?.index ?? 0));
  if (steps.length >= STEPS_MAX) {
    throw refusal("clock-steps", { max: STEPS_MAX });
  }
  const step = { index, fromMs: Math.max(clockMs, fromMs), toMs };
  change.putUnversioned(CLOCK_STEPS, META_KEY.clockSteps, [...steps, step]);
  change.putUnversioned(TIMES, timeKey(index), toMs);
  change.updateTotals({ clockMs: toMs, timedMs: toMs });
}

/**
 * Adds a row. Drops up to two rows that are older than the retention and have a newer row of this
 * kind after them, so that the table stays small.
 */
function addTimeRow(change: Change): void {
  const { clockSteps } = change;
  const newestMs = passedMs(clockSteps, change.nowMs) - retentionMs(change);
  const old = rowsFrom(change, 0, 3).filter((row) => passedAtRow(clockSteps, row) <= newestMs);
  for (const { index } of old.slice(0, -1)) change.deleteUnversioned(TIMES, timeKey(index));
  change.putUnversioned(TIMES, timeKey(change.index), change.nowMs);
  change.updateTotals({ timedMs: change.nowMs });
}

const retentionMs = (state: State): number => state.clusterFacts?.historyRetentionMs ?? 0;

/** Returns at most `limit` rows of indexes at or after `index`. */
function rowsFrom(state: State, index: number, limit: number): readonly TimedIndex[] {
  const rows = state.rows(TIMES, { ...ALL_TIMES, start: timeKey(index as LogIndex) }, limit);
  return rows.map(({ key, value }) => ({ index: readU64(key, 1) as LogIndex, timeMs: value }));
}

/** Returns `timeMs` without all steps: a time that passes at the rate of the clock. */
function passedMs(steps: readonly ClockStep[], timeMs: number): number {
  return steps.reduce((passed, { fromMs, toMs }) => passed - (toMs - fromMs), timeMs);
}

/** Returns the time of a row without the steps before it. It increases with the index. */
function passedAtRow(steps: readonly ClockStep[], { index, timeMs }: TimedIndex): number {
  if (steps.length === 0) return timeMs;
  return passedMs(
    steps.filter((step) => step.index <= index),
    timeMs,
  );
}

/** Returns the time of a row as it is shown: at most that after each later step. */
function shownAtRow(steps: readonly ClockStep[], { index, timeMs }: TimedIndex): number {
  const later = steps.filter((step) => step.index > index);
  return later.reduce((shown, { toMs }) => Math.min(shown, toMs), timeMs);
}

/**
 * Returns the newest row whose time is not later than `timeMs`. Times increase with the index, so
 * the search is binary: a retention of days has a row for every second with an entry.
 *
 * @param timeOf returns the time of a row, shown or passed
 */
function newestRow(
  state: State,
  timeMs: number,
  timeOf: (row: TimedIndex) => number,
): TimedIndex | undefined {
  let [found] = rowsFrom(state, 0, 1);
  if (found === undefined || timeOf(found) > timeMs) return undefined;
  // The floor is near the first row, because `reclaim` drops the rows before it.
  let distance = SEARCH_DISTANCE;
  let end = found.index + distance;
  for (let [row] = rowsFrom(state, end, 1); row !== undefined && timeOf(row) <= timeMs; ) {
    found = row;
    distance *= 2;
    end = found.index + distance;
    [row] = rowsFrom(state, end, 1);
  }
  // Every row from `end` on is later than `timeMs`.
  while (end - found.index > 1) {
    const middle = found.index + Math.floor((end - found.index) / 2);
    const [row] = rowsFrom(state, middle, 1);
    if (row === undefined || timeOf(row) > timeMs) end = middle;
    else found = row;
  }
  return found;
}

/**
 * Returns the last index that was certainly applied at or before `timeMs`. The state as of this
 * index shows no change that was made after `timeMs`; changes of the last second before `timeMs`
 * may be missing. Undefined for a time before the first row.
 */
export function indexAtTime(
  state: State,
  appliedIndex: LogIndex,
  timeMs: number,
): LogIndex | undefined {
  const { clockSteps } = state;
  const row = newestRow(state, timeMs, (each) => shownAtRow(clockSteps, each));
  if (row === undefined || timeMs < row.timeMs + SPACING_MS) return row?.index;
  // The next row is the first entry that is SPACING_MS or more after this row.
  const [next] = rowsFrom(state, row.index + 1, 1);
  return next === undefined ? appliedIndex : ((next.index - 1) as LogIndex);
}

/** Returns the time at which the state as of `index` was the current state, to the second. */
export function timeOfIndex(state: State, index: LogIndex): number {
  const [first] = rowsFrom(state, 0, 1);
  if (first === undefined) return state.totals.clockMs;
  if (index <= first.index) return shownAtRow(state.clockSteps, first);
  let found = first;
  let end = index + 1;
  while (end - found.index > 1) {
    const middle = found.index + Math.floor((end - found.index) / 2);
    const [row] = rowsFrom(state, middle, 1);
    if (row === undefined || row.index > index) end = middle;
    else found = row;
  }
  return shownAtRow(state.clockSteps, found);
}

/**
 * Returns the history floor at `nowMs`: the newest index that is at least one retention old. The
 * floor never decreases.
 */
export function historyFloorAt(state: State, nowMs: number): LogIndex {
  const { clockSteps } = state;
  const newestMs = passedMs(clockSteps, nowMs) - retentionMs(state);
  const floor = newestRow(state, newestMs, (row) => passedAtRow(clockSteps, row))?.index ?? 0;
  return Math.max(state.totals.historyFloor, floor) as LogIndex;
}

/** Drops at most `limit` rows below the history floor. @returns the number of dropped rows */
export function dropTimeRows(change: Change, limit: number): number {
  const range = { ...ALL_TIMES, end: timeKey((change.totals.historyFloor + 1) as LogIndex) };
  // The last row is kept: it gives the time of the history floor.
  const rows = change.rows(TIMES, range, limit + 1).slice(0, -1);
  for (const { key } of rows) change.deleteUnversioned(TIMES, key);
  return rows.length;
}

/**
 * Returns whether a subject that was queued at `index` needs a time row that does not exist yet.
 * An idle cluster appends no entries and so no time rows. A `reclaim` entry then adds the time row.
 */
export function needsTimeRow(state: State, index: LogIndex, nowMs: number): boolean {
  return rowsFrom(state, index, 1).length === 0 && nowMs >= state.totals.timedMs + SPACING_MS;
}
