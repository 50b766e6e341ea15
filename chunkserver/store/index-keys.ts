import { assert } from "../../shared/base/assert.ts";
import { concatBytes, toHex } from "../../shared/base/bytes.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { chunkIdBytes } from "../../shared/protocol/intent.ts";
import { type ExtentFileName, parseExtentFileName } from "./chunk-record.ts";

/**
 * Keys of the index: a letter for the table, then the key within the table. Integers are
 * big-endian, so keys sort in numeric order.
 *
 *     I                      server id (ASCII): the owner of this index
 *     S                      scrub position: the last chunk id that was verified (32 bytes)
 *     K                      restore id of the masters that confirmed the chunks, see `confirmAgain`
 *     C id(32)               chunk record
 *     H id(32)               block hashes, 32 bytes each
 *     P file(8) id(32)       empty: the chunk has an extent in this packed file
 *     U due(8) id(32)        empty: ask the master about the chunk from this time on
 *     L id(32)               `encodeLoss`: a lost replica that a commit may still record
 */
export const IDENTITY_KEY = Uint8Array.of(letter("I"));
/** Key of the scrub position. */
export const SCRUB_KEY = Uint8Array.of(letter("S"));
/** Key of the restore id of the masters that confirmed the chunks: see `confirmAgain`. */
export const CONFIRMED_KEY = Uint8Array.of(letter("K"));

const CHUNK = letter("C");
const HASHES = letter("H");
const PACKED = letter("P");
const UNCONFIRMED = letter("U");
const LOST = letter("L");

function letter(text: string): number {
  return text.charCodeAt(0);
}

/** Returns the key of a chunk record (table C). */
export function chunkRecordKey(id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(CHUNK), chunkIdBytes(id)]);
}

/** Returns the key of the block hashes of a chunk (table H). */
export function hashesKey(id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(HASHES), chunkIdBytes(id)]);
}

/** Returns the key of a lost replica (table L). */
export function lostKey(id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(LOST), chunkIdBytes(id)]);
}

/** Returns the key of a chunk in a packed file (table P). */
export function packedKey(file: ExtentFileName, id: ChunkId): Uint8Array {
  return concatBytes([packedPrefix(file), chunkIdBytes(id)]);
}

/** Returns the key of a chunk that is due for confirmation at `dueMs` (table U). */
export function unconfirmedKey(dueMs: number, id: ChunkId): Uint8Array {
  return concatBytes([Uint8Array.of(UNCONFIRMED), bigEndian(dueMs), chunkIdBytes(id)]);
}

/** Returns the chunk id at the end of a key of the tables C, H, P, U and L. */
export function chunkIdOfKey(key: Uint8Array): ChunkId {
  assert(key.length > 32, "the key ends with a chunk id");
  return toHex(key.subarray(key.length - 32)) as ChunkId;
}

/** A range of keys in byte order. */
export interface KeyRange {
  readonly start: Uint8Array;
  /** Exclusive. */
  readonly end: Uint8Array;
}

/** Returns the keys of the chunk records after `after`, or of all records for null. */
export function chunkRecordKeysAfter(after: ChunkId | null): KeyRange {
  return { start: startAfter(CHUNK, after), end: Uint8Array.of(CHUNK + 1) };
}

/** Returns the keys of the lost replicas after `after`, or of all lost replicas for null. */
export function lostKeysAfter(after: ChunkId | null): KeyRange {
  return { start: startAfter(LOST, after), end: Uint8Array.of(LOST + 1) };
}

/** Returns the keys of the chunks in a packed file. */
export function packedKeys(file: ExtentFileName): KeyRange {
  const number = packedNumber(file);
  return { start: packedPrefix(file), end: prefixed(PACKED, number + 1) };
}

/** Returns the keys of the chunks that are due for confirmation at `nowMs`. */
export function unconfirmedKeysUntil(nowMs: number): KeyRange {
  return { start: Uint8Array.of(UNCONFIRMED), end: prefixed(UNCONFIRMED, nowMs + 1) };
}

/** Returns the first possible key after a chunk, of a table whose keys are chunk ids. */
function startAfter(table: number, after: ChunkId | null): Uint8Array {
  if (after === null) return Uint8Array.of(table);
  return concatBytes([Uint8Array.of(table), chunkIdBytes(after), Uint8Array.of(0)]);
}

function packedPrefix(file: ExtentFileName): Uint8Array {
  return prefixed(PACKED, packedNumber(file));
}

function packedNumber(file: ExtentFileName): number {
  const parsed = parseExtentFileName(file);
  assert(parsed?.kind === "packed", "only packed files have keys in table P");
  return parsed.number;
}

function prefixed(table: number, value: number): Uint8Array {
  return concatBytes([Uint8Array.of(table), bigEndian(value)]);
}

function bigEndian(value: number): Uint8Array {
  assert(Number.isSafeInteger(value) && value >= 0, "a key contains a natural number");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), false);
  return bytes;
}
