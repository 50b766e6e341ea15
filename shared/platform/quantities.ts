import { AshlarError } from "../base/errors.ts";

/*
 * Units as people write them. `bytes` on npm takes "10MB" for 10 * 2^20, drops what it does not
 * understand ("10 apples" is 10), and knows no MiB: hence a table of our own.
 */
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
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const QUANTITY = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i;

/** An IPv6 address stands in brackets (RFC 3986, section 3.2.2). */
const ADDRESS = /^(?:\[([0-9a-f:.%]+)\]|([^\s:/[\]]+)):(\d{1,5})$/i;

/**
 * Bytes in "64MiB" and "64M" (both 64 * 2^20, as in ls(1) and dd(1)), "10MB" (10^7), "4096" or "4096B".
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseSizeBytes(text: string): number {
  return parseQuantity(text, SIZE_UNITS, "a size such as 4096, 64M, 64MiB (2^20) or 10MB (10^6)");
}

/**
 * Milliseconds in "500ms", "10s", "5m", "2h", "1d". A number without a unit is refused: some would
 * mean seconds.
 *
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseDurationMs(text: string): number {
  return parseQuantity(text, DURATION_UNITS_MS, "a duration such as 500ms, 10s, 5m, 2h or 1d");
}

export interface Address {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** "host:port" or "[IPv6]:port". @throws {AshlarError} INVALID_ARGUMENT */
export function parseAddress(text: string): Address {
  const match = ADDRESS.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port <= 65_535) return { host, port };
  throw refused("host:port with a port up to 65535", text);
}

/** The text that `parseAddress` reads. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseQuantity(
  text: string,
  units: Readonly<Record<string, number>>,
  wanted: string,
): number {
  const match = QUANTITY.exec(text.trim());
  const unitName = (match?.[2] ?? "").toLowerCase();
  const unit = Object.hasOwn(units, unitName) ? units[unitName] : undefined;
  const value = Math.round(Number(match?.[1]) * (unit ?? Number.NaN));
  if (Number.isSafeInteger(value)) return value;
  throw refused(wanted, text);
}

function refused(wanted: string, text: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use "${text.slice(0, 80)}": expected ${wanted}`,
  );
}
