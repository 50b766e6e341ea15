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
  const names = ["if-match", "if-none-match", "if-unmodified-since"];
  if (!names.some((name) => headers[name] !== undefined)) return [];
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
 * 13.1.5).
 */
export function isRangeApplicable(headers: IncomingHttpHeaders, current: FileAttributes): boolean {
  const ifRange = headers["if-range"];
  if (ifRange === undefined || Array.isArray(ifRange)) return ifRange === undefined;
  if (ifRange.startsWith('"')) return ifRange === etagOf(current);
  if (ifRange.startsWith("W/")) return false;
  return wholeSeconds(current.mtimeMs) === Date.parse(ifRange);
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

/** Returns null if there is nothing to compare: no header, no valid date, or no such path. */
function isNewerThan(current: Attributes | null, date: string | undefined): boolean | null {
  const dateMs = Date.parse(date ?? "");
  if (current === null || Number.isNaN(dateMs)) return null;
  return wholeSeconds(current.mtimeMs) > dateMs;
}

/** Returns a time in whole seconds, as dates in HTTP are. */
function wholeSeconds(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}
