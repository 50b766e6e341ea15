import type { AshlarError } from "../base/errors.ts";
import type { LogIndex } from "../base/ids.ts";
import type { Attributes } from "./attributes.ts";
import { decodeAttributes, encodeAttributes } from "./attributes.ts";
import { decodeResult, encodeResult } from "./error-codec.ts";
import type { CallMethod } from "./method.ts";
import type { ReadMode, Target } from "./namespace-api.ts";
import { fieldsOf, indexAt, integerAt, listAt } from "./positional.ts";
import { BY_CLIENTS } from "./roles.ts";
import { encodeTarget, targetAt } from "./target-codec.ts";

/** Largest number of targets in one call. */
const STAT_TARGETS_MAX = 256;
/** A client sends at most 32 targets in one call. The longest path has 64 KiB. */
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

/** Request of `namespace.stat`. */
export interface StatRequest {
  readonly read: ReadMode;
  /**
   * Index of the state to read. Default: the current state. INDEX_EXPIRED if it is no longer kept.
   */
  readonly index?: LogIndex;
  /** 1 to STAT_TARGETS_MAX. */
  readonly targets: readonly Target[];
}

/** Response of `namespace.stat`. */
export interface StatResponse {
  /** Index of the state that all results show. */
  readonly index: LogIndex;
  /** The attributes or the error of each target, in order. */
  readonly results: readonly (Attributes | AshlarError)[];
}

/**
 * Returns the attributes of several targets as of one index, with one read confirmation for all.
 */
export const stat: CallMethod<StatRequest, StatResponse> = {
  kind: "call",
  name: "namespace.stat",
  callers: BY_CLIENTS,
  requestBytesMax: REQUEST_BYTES_MAX,
  encodeRequest,
  parseRequest,
  encodeResponse,
  parseResponse,
};

const REQUEST = "namespace.stat request";
const RESPONSE = "namespace.stat response";
const LINEARIZABLE = 0;
const SESSION = 1;
const STALE = 2;
const MODES = { linearizable: LINEARIZABLE, session: SESSION, stale: STALE } as const;

function encodeRequest({ read, index, targets }: StatRequest): unknown {
  const seenIndex = read.kind === "session" ? read.index : 0;
  return [MODES[read.kind], seenIndex, index ?? null, targets.map(encodeTarget)];
}

function parseRequest(value: unknown): StatRequest {
  const fields = fieldsOf(value, REQUEST, 4);
  const list = listAt(fields, 3, REQUEST, { countMin: 1, countMax: STAT_TARGETS_MAX });
  const targets: Target[] = [];
  for (let at = 0; at < list.length; at += 1) targets.push(targetAt(list, at, REQUEST));
  const read = readModeOf(fields);
  if (fields[2] === null) return { read, targets };
  return { read, index: indexAt(fields, 2, REQUEST), targets };
}

function readModeOf(fields: readonly unknown[]): ReadMode {
  switch (integerAt(fields, 0, REQUEST, LINEARIZABLE, STALE)) {
    case LINEARIZABLE:
      return { kind: "linearizable" };
    case SESSION:
      return { kind: "session", index: indexAt(fields, 1, REQUEST) };
    default:
      return { kind: "stale" };
  }
}

function encodeResponse({ index, results }: StatResponse): unknown {
  return [index, results.map((result) => encodeResult(result, encodeAttributes))];
}

function parseResponse(value: unknown): StatResponse {
  const fields = fieldsOf(value, RESPONSE, 2);
  const list = listAt(fields, 1, RESPONSE, { countMin: 1, countMax: STAT_TARGETS_MAX });
  const results = list.map((each) => decodeResult(each, RESPONSE, decodeAttributes));
  return { index: indexAt(fields, 0, RESPONSE), results };
}
