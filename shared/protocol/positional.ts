import { AshlarError } from "../base/errors.ts";
import { DIGEST_BYTES, type Digest, type InodeId, type LogIndex } from "../base/ids.ts";
import { ID_MAX } from "./schemas.ts";

/**
 * The fields of a message that is encoded as an array. The most frequent messages are encoded in
 * this way: decoding an array takes a fraction of the time of decoding a map with a schema. A newer
 * peer may add fields at the end.
 */
export type Fields = readonly unknown[];

/**
 * Returns the fields of a message.
 *
 * @throws {AshlarError} PROTOCOL_ERROR. All functions below throw the same error.
 */
export function fieldsOf(value: unknown, what: string, countMin: number): Fields {
  if (Array.isArray(value) && value.length >= countMin) return value;
  throw malformed(what, `expected an array of ${countMin} or more`);
}

/** Returns the array at position `at`, with `countMin` to `countMax` elements. */
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

/** Returns the integer at position `at`. */
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

/** Returns the log index at position `at`. */
export function indexAt(fields: Fields, at: number, what: string): LogIndex {
  return integerAt(fields, at, what, 0, ID_MAX) as LogIndex;
}

/** Returns the inode id at position `at`. */
export function inodeAt(fields: Fields, at: number, what: string): InodeId {
  return integerAt(fields, at, what, 1, ID_MAX) as InodeId;
}

/** Returns milliseconds since the Unix epoch. Times before 1970 are negative. */
export function timeAt(fields: Fields, at: number, what: string): number {
  const value = fields[at];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw malformed(`${what}[${at}]`, "expected a time");
}

/** Returns the boolean at position `at`. */
export function booleanAt(fields: Fields, at: number, what: string): boolean {
  const value = fields[at];
  if (typeof value === "boolean") return value;
  throw malformed(`${what}[${at}]`, "expected true or false");
}

/** Returns the text at position `at`, of at most `lengthMax` UTF-16 code units. */
export function textAt(fields: Fields, at: number, what: string, lengthMax: number): string {
  const value = fields[at];
  if (typeof value === "string" && value.length <= lengthMax) return value;
  throw malformed(`${what}[${at}]`, `expected a text of at most ${lengthMax} characters`);
}

/** Returns the digest at position `at`. */
export function digestAt(fields: Fields, at: number, what: string): Digest {
  const value = fields[at];
  if (value instanceof Uint8Array && value.length === DIGEST_BYTES) return value as Digest;
  throw malformed(`${what}[${at}]`, `expected ${DIGEST_BYTES} bytes`);
}

/** Returns the error for a malformed message. */
export function malformed(what: string, expected: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot read ${what}: ${expected}`);
}
