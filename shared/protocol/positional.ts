import { AshlarError } from "../base/errors.ts";
import { DIGEST_BYTES, type Digest, type InodeId, type LogIndex } from "../base/ids.ts";

/**
 * Readers of messages that travel as arrays, each field at its place: what is sent most often. They
 * cost a fraction of a map with its names and a schema. A newer peer may add fields at the end.
 */
export type Fields = readonly unknown[];

/** @throws {AshlarError} PROTOCOL_ERROR, as all readers do. */
export function fieldsOf(value: unknown, what: string, countMin: number): Fields {
  if (Array.isArray(value) && value.length >= countMin) return value;
  throw malformed(what, `expected an array of ${countMin} or more`);
}

/** The array at `at`, of `countMin` to `countMax`. */
export function listAt(
  fields: Fields,
  at: number,
  what: string,
  { countMin, countMax }: { readonly countMin: number; readonly countMax: number },
): Fields {
  const value = fields[at];
  if (Array.isArray(value) && value.length >= countMin && value.length <= countMax) return value;
  throw malformed(`${what}[${at}]`, `expected an array of ${countMin} to ${countMax}`);
}

export function integerAt(
  fields: Fields,
  at: number,
  what: string,
  minimum = 0,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  const value = fields[at];
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    if (value >= minimum && value <= maximum) return value;
  }
  throw malformed(`${what}[${at}]`, `expected an integer from ${minimum} to ${maximum}`);
}

export function indexAt(fields: Fields, at: number, what: string): LogIndex {
  return integerAt(fields, at, what) as LogIndex;
}

export function inodeAt(fields: Fields, at: number, what: string): InodeId {
  return integerAt(fields, at, what, 1) as InodeId;
}

/** Milliseconds since the Unix epoch; files from before 1970 have negative ones. */
export function timeAt(fields: Fields, at: number, what: string): number {
  const value = fields[at];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw malformed(`${what}[${at}]`, "expected a time");
}

export function booleanAt(fields: Fields, at: number, what: string): boolean {
  const value = fields[at];
  if (typeof value === "boolean") return value;
  throw malformed(`${what}[${at}]`, "expected true or false");
}

export function textAt(fields: Fields, at: number, what: string, lengthMax: number): string {
  const value = fields[at];
  if (typeof value === "string" && value.length <= lengthMax) return value;
  throw malformed(`${what}[${at}]`, `expected a text of at most ${lengthMax} characters`);
}

export function digestAt(fields: Fields, at: number, what: string): Digest {
  const value = fields[at];
  if (value instanceof Uint8Array && value.length === DIGEST_BYTES) return value as Digest;
  throw malformed(`${what}[${at}]`, `expected ${DIGEST_BYTES} bytes`);
}

export function malformed(what: string, expected: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot read ${what}: ${expected}`);
}
