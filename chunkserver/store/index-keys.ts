import { assert } from "../../shared/base/assert.ts";
import { concatBytes, toHex } from "../../shared/base/bytes.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { type ExtentFileName, parseExtentFileName } from "./chunk-record.ts";

/**
 * Keys of the index: a letter for the table, then the key in it. Integers are big-endian, so that
 * keys sort like numbers.
 *
 *     I                      server id (ASCII): whose index this is
 *     S                      where the scrub is: the last chunk id it proved (32 bytes)
 *     C id(32)               chunk record
 *     H id(32)               block hashes, 32 bytes each
 *     P file(8) id(32)       empty: the chunk has an extent in this packed file
 *     U due(8) id(32)        empty: ask the master about the chunk from this time on
 *     L id(32)               reason (UTF-8): the copy was lost and the master does not know it yet
 */
export const IDENTITY_KEY = Uint8Array.of(letter("I"));
export const SCRUB_KEY = Uint8Array.of(letter("S"));

const CHUNK = letter("C");
const HASHES = letter("H");
const PACKED = letter("P");
const UNCONFIRMED = letter("U");
const LOST = letter("L");

function letter(text: string): number {
  return text.charCodeAt(0);
}

export function chunkKey(id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(CHUNK), chunkIdBytes(id)]);
}

export function hashesKey(id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(HASHES), chunkIdBytes(id)]);
}

export function lostKey(id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(LOST), chunkIdBytes(id)]);
}

export function packedKey(file: ExtentFileName, id: ChunkId): Uint8Array {
  return concatBytes([packedPrefix(file), chunkIdBytes(id)]);
}

export function unconfirmedKey(dueMs: number, id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(UNCONFIRMED), bigEndian(dueMs), chunkIdBytes(id)]);
}

/** The chunk id that a key of the tables C, H, P, U and L ends with. */
export function chunkIdOfKey(key: Uint8Array): ChunkId {
  assert(key.length > 32, "the key ends with a chunk id");
  return toHex(key.subarray(key.length - 32)) as ChunkId;
}

export interface KeyRange {
  readonly start: Uint8Array;
  /** Exclusive. */
  readonly end: Uint8Array;
}

/** Keys of chunk records after `after`, or all of them. */
export function chunkKeysAfter(after: ChunkId | null): KeyRange {
  const start =
    after === null ? Uint8Array.of(CHUNK) : concatBytes([chunkKey(after), Uint8Array.of(0)]);
  return { start, end: Uint8Array.of(CHUNK + 1) };
}

export function lostKeys(): KeyRange {
  return { start: Uint8Array.of(LOST), end: Uint8Array.of(LOST + 1) };
}

export function packedKeys(file: ExtentFileName): KeyRange {
  const number = packedNumber(file);
  return { start: packedPrefix(file), end: prefixed(PACKED, number + 1) };
}

/** Keys of chunks that the master is to be asked about at `nowMs`. */
export function unconfirmedKeysUntil(nowMs: number): KeyRange {
  return { start: Uint8Array.of(UNCONFIRMED), end: prefixed(UNCONFIRMED, nowMs + 1) };
}

function packedPrefix(file: ExtentFileName): Uint8Array {
  return prefixed(PACKED, packedNumber(file));
}

function packedNumber(file: ExtentFileName): number {
  const parsed = parseExtentFileName(file);
  assert(parsed?.kind === "packed", "only packed files have a table of their chunks");
  return parsed.number;
}

function prefixed(table: number, value: number): Uint8Array {
  return concatBytes([Uint8Array.of(table), bigEndian(value)]);
}

function bigEndian(value: number): Uint8Array {
  assert(Number.isSafeInteger(value) && value >= 0, "a key holds a natural number");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), false);
  return bytes;
}
