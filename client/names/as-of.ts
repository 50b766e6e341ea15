import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { TIME_MS_MAX } from "../../shared/base/times.ts";
import { asOf } from "../../shared/protocol/history-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { AsOf, CallOptions } from "../options.ts";

/** A past state that can be read, and the oldest such state. */
export interface AsOfState {
  /** Log index of the state. */
  readonly index: number;
  /**
   * Time of the state, in milliseconds since the Unix epoch by the clock of the masters: the
   * requested time, or the time that the masters recorded for the index.
   */
  readonly timeMs: number;
  /** Log index of the oldest state in the history. */
  readonly oldestIndex: number;
  /** Time of the oldest state in the history, in milliseconds since the Unix epoch. */
  readonly oldestTimeMs: number;
}

/**
 * Resolves with the state that `at` selects.
 *
 * @throws {AshlarError} INDEX_EXPIRED (details.oldestIndex, details.oldestTimeMs), INVALID_ARGUMENT
 */
export async function stateAsOf(
  masters: MasterSession,
  at: AsOf,
  call: CallOptions,
): Promise<AsOfState> {
  const { index, timeMs, oldestIndex, oldestTimeMs } = await masters.read(
    asOf,
    { at: selectorOf(at) },
    call,
  );
  return { index, timeMs, oldestIndex, oldestTimeMs };
}

/**
 * Resolves with the log index that `at` selects, or undefined for the current state. A given index
 * is returned without a call to the masters.
 */
export async function indexAsOf(
  masters: MasterSession,
  { at, ...call }: CallOptions & { readonly at?: AsOf },
): Promise<LogIndex | undefined> {
  if (at === undefined) return undefined;
  if (typeof at === "number") return checkIndex(at);
  return (await stateAsOf(masters, at, call)).index as LogIndex;
}

type AsOfSelector = ReturnType<(typeof asOf)["parseRequest"]>["at"];

function selectorOf(at: AsOf): AsOfSelector {
  if (typeof at === "number") return { kind: "index", index: checkIndex(at) };
  if ("timeMs" in at) return { kind: "time", timeMs: checkTime(at.timeMs) };
  return { kind: "ago", durationMs: checkDuration(at.agoMs) };
}

function checkIndex(index: number): LogIndex {
  if (Number.isSafeInteger(index) && index >= 0) return index as LogIndex;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read as of a log index: expected a non-negative integer: current value is ${index}`,
  );
}

function checkTime(timeMs: number): number {
  if (typeof timeMs === "number" && Math.abs(timeMs) <= TIME_MS_MAX) return timeMs;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read as of a time: expected milliseconds from ${-TIME_MS_MAX} to ${TIME_MS_MAX}: current value is ${timeMs}`,
  );
}

/** Returns the duration in whole milliseconds, rounded up: the state is not younger. */
function checkDuration(agoMs: number): number {
  if (typeof agoMs === "number" && agoMs >= 0 && agoMs <= TIME_MS_MAX) return Math.ceil(agoMs);
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read as of a duration ago: expected milliseconds from 0 to ${TIME_MS_MAX}: current value is ${agoMs}`,
  );
}
