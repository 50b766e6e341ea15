import { AshlarError } from "../base/errors.ts";

/*
 * Sizes and durations as text. The package `bytes` on npm is not used: it reads "10MB" as
 * 10 MiB, ignores unknown text ("10 apples" is 10), and does not accept "MiB".
 */
const SIZE_UNITS_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  kib: 2 ** 10,
  kb: 1e3,
  m: 2 ** 20,
  mib: 2 ** 20,
  mb: 1e6,
  g: 2 ** 30,
  gib: 2 ** 30,
  gb: 1e9,
  t: 2 ** 40,
  tib: 2 ** 40,
  tb: 1e12,
};

const DURATION_UNITS_MS = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A decimal number and an optional unit, in any case: "1.5 GiB", "30s", "4096". */
const QUANTITY = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i;

/** An error message quotes at most this many characters of an invalid value. */
const QUOTED_LENGTH_MAX = 80;

/**
 * Returns the bytes in "64MiB" and "64M" (both 64 * 2^20, as in ls(1) and dd(1)), "10MB" (10^7),
 * "4096" and "4096B". A number without a unit is in bytes.
 *
 * @param name the flag or config key that has the value: the error message begins with it
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseSizeBytes(text: string, name: string): number {
  const bytes = parseQuantity(text, SIZE_UNITS_BYTES);
  if (bytes !== null) return bytes;
  throw invalidValue(name, "a size such as 4096, 64M, 64MiB (2^20) or 10MB (10^6)", text);
}

/** Options of `parseDurationMs`. */
export interface DurationOptions {
  /** The flag or config key that has the value: the error message begins with it. */
  readonly name: string;
  /**
   * Unit of a number without a unit. It is "ms" for config keys, whose names end with `Ms`, and
   * "s" for command-line flags.
   */
  readonly bareUnit: "ms" | "s";
}

/**
 * Returns the milliseconds in "500ms", "10s", "5m", "2h", "1d", or in a number of `bareUnit`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseDurationMs(text: string, options: DurationOptions): number {
  const { name, bareUnit } = options;
  const units = { ...DURATION_UNITS_MS, "": DURATION_UNITS_MS[bareUnit] };
  const durationMs = parseQuantity(text, units);
  if (durationMs !== null) return durationMs;
  throw invalidValue(name, "a duration such as 500ms, 30s, 5m, 2h or 1d", text);
}

/**
 * Returns the rounded number in the base unit of `units`, or null if `text` is not a quantity.
 */
function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = QUANTITY.exec(text.trim());
  const unitName = (match?.[2] ?? "").toLowerCase();
  const unit = Object.hasOwn(units, unitName) ? units[unitName] : undefined;
  const value = Math.round(Number(match?.[1]) * (unit ?? Number.NaN));
  return Number.isSafeInteger(value) ? value : null;
}

function invalidValue(name: string, expected: string, text: string): AshlarError {
  const quoted = JSON.stringify(text.slice(0, QUOTED_LENGTH_MAX));
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${name}: expected ${expected}: current value is ${quoted}`,
  );
}

/** Returns a duration in the largest unit that it is a whole number of: the inverse of the parser. */
export function formatDuration(durationMs: number): string {
  const units = Object.entries(DURATION_UNITS_MS).reverse();
  const [unit, unitMs] = units.find(([, ms]) => durationMs > 0 && durationMs % ms === 0) ?? [
    "ms",
    1,
  ];
  return `${durationMs / unitMs}${unit}`;
}
