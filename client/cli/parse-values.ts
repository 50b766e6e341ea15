import { AshlarError } from "../../shared/base/errors.ts";
import * as quantities from "../../shared/display/quantities.ts";

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

/** Returns the error of a value that cannot be used. */
export function invalidValue(name: string, expected: string, text: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${name}: expected ${expected}: current value is "${text}"`,
  );
}
