import { AshlarError } from "../../shared/base/errors.ts";
import * as quantities from "../../shared/display/quantities.ts";
import { parseIsoTimeMs } from "./iso-time.ts";

/*
 * Parsers of values on the command line. `name` is the flag or the argument that has the value; the
 * error message begins with it. Each throws an AshlarError with the code INVALID_ARGUMENT.
 */

/** Parses a duration in ms: "500ms", "30s", "5m", "2h", "1d". A plain number is in seconds. */
export function parseDurationMs(text: string, name: string): number {
  return quantities.parseDurationMs(text, { name, bareUnit: "s" });
}

/** Parses an integer of at least `minimum`. */
export function parseCount(text: string, name: string, minimum = 0): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count >= minimum) return count;
  throw invalidValue(name, `an integer of at least ${minimum}`, text);
}

/** Parses the number of masters of a new cluster: of an even number, one more adds no safety. */
export function parseMasterCount(text: string, name: string): number {
  if (/^[135]$/.test(text)) return Number(text);
  throw invalidValue(name, "1, 3 or 5", text);
}

const PORT_MAX = 65_535;

/** Parses the number of a TCP port; 0 means any free port. */
export function parsePort(text: string, name: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= PORT_MAX) return Number(text);
  throw invalidValue(name, `a port from 0 to ${PORT_MAX}`, text);
}

/** Parses a position in the change feed: "1234" or "1234:5". The default sequence is 0. */
export function parseCursor(text: string, name: string): { index: number; sequence: number } {
  const match = /^(\d+)(?::(\d+))?$/.exec(text);
  const index = Number(match?.[1]);
  const sequence = Number(match?.[2] ?? 0);
  if (Number.isSafeInteger(index) && Number.isSafeInteger(sequence)) return { index, sequence };
  throw invalidValue(name, "INDEX or INDEX:SEQUENCE such as 1234:0", text);
}

/** Parses permission bits in octal, as chmod(1) takes them: "755", "0644". */
export function parseMode(text: string, name: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw invalidValue(name, "an octal mode such as 755", text);
}

/**
 * Parses a time: "2026-11-21", "2026-11-21T09:00:00Z", a time ago ("2h"), or seconds since the Unix
 * epoch ("@1763715600.5").
 *
 * @returns ms since the Unix epoch
 */
export function parseTimeMs(
  text: string,
  { name, nowMs }: { readonly name: string; readonly nowMs: number },
): number {
  const [, seconds] = /^@(-?\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (seconds !== undefined) return Number(seconds) * 1000;
  const timeMs = parseIsoTimeMs(text);
  if (timeMs !== null) return timeMs;
  if (isTimeAgo(text)) return nowMs - parseDurationMs(text, name);
  throw invalidValue(name, "a time such as 2026-11-21T09:00:00Z, @SECONDS or 2h (ago)", text);
}

/** Returns whether a text is a duration with a unit, and no date. */
export function isTimeAgo(text: string): boolean {
  return /^\d.*[a-z]$/i.test(text) && !/^\d{4}-/.test(text);
}

/** Returns the error of options that cannot be used together. */
export function invalidOptions(expected: string, found: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use the options: expected ${expected}: current value has ${found}`,
  );
}

/** Returns the error of a value that cannot be used. */
export function invalidValue(name: string, expected: string, text: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${name}: expected ${expected}: current value is "${text}"`,
  );
}
