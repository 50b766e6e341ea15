import type { IncomingHttpHeaders } from "node:http";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { Attributes, FileAttributes, Precondition, Target } from "../index.ts";

const YEAR_0_MS = Date.parse("0000-01-01T00:00:00Z");
const YEAR_10000_MS = Date.parse("+010000-01-01T00:00:00Z");

/** The result of the conditions of a request (RFC 9110, section 13). */
export type ConditionResult = "proceed" | "not-modified" | "failed";

/**
 * Returns the entity tag of a file: the content root in quotes. It is a strong validator, because
 * equal roots mean equal bytes.
 */
export function etagOf(attributes: FileAttributes): string {
  return `"${toHex(attributes.contentRoot)}"`;
}

/**
 * Returns a time as HTTP date (RFC 9110, section 5.6.7). Its year has four digits: returns null for
 * a time that it cannot show.
 */
export function httpDate(timeMs: number): string | null {
  const isShown = timeMs >= YEAR_0_MS && timeMs < YEAR_10000_MS;
  return isShown ? new Date(timeMs).toUTCString() : null;
}

/**
 * Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of
 * RFC 9110, section 13.2.2.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if a change has a malformed list of entity tags. To ignore
 *   the list would replace or remove a version that the client has not seen.
 * @param current attributes of the path; null if it does not exist
 */
export function evaluateConditions(
  method: string,
  headers: IncomingHttpHeaders,
  current: Attributes | null,
): ConditionResult {
  const isRead = method === "GET" || method === "HEAD";
  const ifMatch = headers["if-match"];
  const ifNoneMatch = headers["if-none-match"];
  if (!isRead) checkEntityTags(headers);
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, current, "strong")) return "failed";
  } else if (isNewerThan(current, headers["if-unmodified-since"]) === true) return "failed";
  if (ifNoneMatch !== undefined) {
    if (!matches(ifNoneMatch, current, "weak")) return "proceed";
    return isRead ? "not-modified" : "failed";
  }
  const isNewer = isNewerThan(current, headers["if-modified-since"]);
  return isRead && isNewer === false ? "not-modified" : "proceed";
}

/**
 * Returns the conditions of a change as preconditions of its transaction. The masters check them in
 * the log entry of the change, so a concurrent change after `evaluateConditions` is detected.
 */
export function preconditionsOf(
  headers: IncomingHttpHeaders,
  target: Target,
  current: Attributes | null,
): Precondition[] {
  const hasTags = headers["if-match"] !== undefined || headers["if-none-match"] !== undefined;
  if (!hasTags && parseHttpDate(headers["if-unmodified-since"]) === null) return [];
  if (current === null) return [{ kind: "absent", target }];
  const ifMatch = headers["if-match"];
  if (ifMatch?.trim() === "*") return [{ kind: "exists", target }];
  if (ifMatch !== undefined && current.kind === "file") {
    return [{ kind: "content-root", target, root: current.contentRoot }];
  }
  return [{ kind: "version", target, version: current.version }];
}

/**
 * Returns whether a Range header applies to the current version (If-Range: RFC 9110, section
 * 13.1.5). A date never matches: two versions can have one time, so it is no strong validator.
 */
export function isRangeApplicable(headers: IncomingHttpHeaders, current: FileAttributes): boolean {
  const ifRange = headers["if-range"];
  return ifRange === undefined || ifRange === etagOf(current);
}

const ENTITY_TAG = /(?:W\/)?"[^"]*"/g;

function checkEntityTags(headers: IncomingHttpHeaders): void {
  for (const name of ["if-match", "if-none-match"] as const) {
    const list = headers[name];
    if (list === undefined || list.trim() === "*") continue;
    const isList = list.includes('"') && /^[\s,]*$/.test(list.replace(ENTITY_TAG, ","));
    if (isList) continue;
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot evaluate ${name}: expected * or entity tags in double quotes: current value is ${list.slice(0, 100)}`,
    );
  }
}

function matches(list: string, current: Attributes | null, mode: "strong" | "weak"): boolean {
  if (current === null) return false;
  if (list.trim() === "*") return true;
  if (current.kind !== "file") return false;
  const etag = etagOf(current);
  const tags = list.match(ENTITY_TAG) ?? [];
  return tags.some((tag) => tag === etag || (mode === "weak" && tag === `W/${etag}`));
}

/** Returns null if there is nothing to compare: no valid date, or no such path. */
function isNewerThan(current: Attributes | null, date: string | undefined): boolean | null {
  const dateMs = parseHttpDate(date);
  if (current === null || dateMs === null) return null;
  return Math.floor(current.mtimeMs / 1000) * 1000 > dateMs; // Dates in HTTP have whole seconds.
}

/** IMF-fixdate, and the obsolete forms of RFC 850 and of asctime(3). */
const HTTP_DATE =
  /^(?:\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT|\w{6,9}, \d\d-\w{3}-\d\d [\d:]{8} GMT|\w{3} \w{3} [ \d]\d [\d:]{8} \d{4})$/;

/** Returns the time of an HTTP date (RFC 9110, section 5.6.7); null for other text. */
function parseHttpDate(text: string | undefined): number | null {
  if (text === undefined || !HTTP_DATE.test(text)) return null;
  // Without a zone, Date.parse reads the local time.
  const timeMs = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return Number.isNaN(timeMs) ? null : timeMs;
}
