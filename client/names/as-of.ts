import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { asOf } from "../../shared/protocol/history-api.ts";
import type { MasterSession } from "../masters/master-session.ts";
import type { AsOf, CallOptions } from "../options.ts";

/** A state that can be read: its index, and those of the oldest one. */
export interface AsOfState {
  readonly index: number;
  /** When it was the present one: what was asked for, or what the masters know of the index. */
  readonly timeMs: number;
  readonly oldestIndex: number;
  readonly oldestTimeMs: number;
}

/**
 * The state that `at` names.
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

/** The index to read as of; undefined: now. An index that was given is not asked about. */
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
  if ("timeMs" in at) return { kind: "time", timeMs: at.timeMs };
  return { kind: "ago", durationMs: at.agoMs };
}

function checkIndex(index: number): LogIndex {
  if (Number.isSafeInteger(index) && index >= 0) return index as LogIndex;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot read as of index ${index}: expected a whole number from 0`,
  );
}
