import { AshlarError } from "../../shared/base/errors.ts";

const SIZE_UNITS: Readonly<Record<string, number>> = {
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
const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  "": 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Bytes in "10M", "10MiB" (both 10 * 2^20) or "10MB" (10^7). A plain number is bytes.
 *
 * @throws {AshlarError} INVALID_ARGUMENT naming `what`
 */
export function parseSizeBytes(text: string, what: string): number {
  return parseUnits(
    text,
    what,
    SIZE_UNITS,
    "a size such as 4096, 10M, 10MiB (2^20) or 10MB (10^6)",
  );
}

/** Milliseconds in "500ms", "30s", "5m", "2h", "1d". A plain number is seconds. */
export function parseDurationMs(text: string, what: string): number {
  return parseUnits(text, what, DURATION_UNITS_MS, "a duration such as 500ms, 30s, 5m, 2h or 1d");
}

/** An integer of at least `minimum`. */
export function parseCount(text: string, what: string, minimum = 0): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count >= minimum) return count;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${what}: expected an integer from ${minimum}: got "${text}"`,
  );
}

/** A place in the change feed: "1234" or "1234:5". */
export function parseCursor(text: string, what: string): { index: number; sequence: number } {
  const match = /^(\d+)(?::(\d+))?$/.exec(text);
  const index = Number(match?.[1]);
  const sequence = Number(match?.[2] ?? 0);
  if (Number.isSafeInteger(index) && Number.isSafeInteger(sequence)) return { index, sequence };
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${what}: expected INDEX or INDEX:SEQUENCE such as 1234:0: got "${text}"`,
  );
}

/** Permission bits in octal, as chmod(1) takes them: "755", "0644". */
export function parseMode(text: string, what: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${what}: expected an octal mode such as 755: got "${text}"`,
  );
}

function parseUnits(
  text: string,
  what: string,
  units: Readonly<Record<string, number>>,
  wanted: string,
): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = match === null ? undefined : units[(match[2] ?? "").toLowerCase()];
  const value = Math.round(Number(match?.[1]) * (unit ?? Number.NaN));
  if (Number.isSafeInteger(value)) return value;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${what}: expected ${wanted}: got "${text}"`,
  );
}
