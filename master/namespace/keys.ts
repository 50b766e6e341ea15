import { assert } from "../../shared/base/assert.ts";
import type { Branded } from "../../shared/base/brand.ts";
import type {
  ChunkId,
  InodeId,
  LogIndex,
  ServerId,
  SessionId,
  StagingId,
} from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";

/**
 * A key of the state as a string with one character, 0 to 255, for each byte.
 *
 * The engine hashes and compares strings several times faster than our code does with byte arrays.
 * Such strings sort like their bytes, so the order in memory is the order on disk.
 */
export type Key = Branded<string, "Key">;
/** Bytes as a string, one character for each. */
export type ByteText = string;
/** Id of one content: the chunks of one or more versions of files. Never reused. */
export type ContentId = Branded<number, "ContentId">;

/**
 * The first byte of every key, which determines its table. Integers are big-endian, so that keys
 * sort by them. Ids have a fixed length. A name is the last part of its key, or is followed by a
 * NUL. No name contains a NUL.
 *
 *     table            key after its byte                     value
 *     chunk            chunk id (32)                          length, references, replicas
 *     content          content id (8)                         references
 *     directory        inode (8)                              entry count and times
 *     entry            parent inode (8), name                 inode
 *     feed             index (8), sequence (4)                an event of the change feed
 *     history          table (1), key, [NUL], index (8)       the value before that index
 *     inode            inode (8)                              attributes, inline content
 *     meta             one of META_KEY                        facts of the whole state
 *     outcome          session (8), sequence (8)              first outcome of a mutation
 *     position         content id (8), position (4)           chunk of a content
 *     purge            server (16), chunk id (32)             index of the removal
 *     reclaim          index (8), kind (1), subject           how often it was queued, or the time
 *     removedServer    server (16)                            index of the removal
 *     replica          server (16), chunk id (32)             nothing: replicas of each server
 *     server           server (16)                            location
 *     session          session (8)                            times, window of sequences
 *     staged           session (8), staging id (16)           an unfinished upload
 *     stagedTotals     session (8)                            sums of the session's uploads
 *     storageClass     name                                   the class
 *     time             index (8)                              leader's time at that index
 *     tombstone        chunk id (32)                          index of the removal
 *     tombstoneAge     index (8), chunk id (32)               nothing: tombstones, oldest first
 *     underReplicated  chunk id (32)                          nothing: chunks with too few replicas
 */
export const TABLE_BYTE = {
  chunk: "k",
  content: "c",
  directory: "d",
  entry: "e",
  feed: "f",
  history: "h",
  inode: "i",
  meta: "M",
  outcome: "o",
  position: "m",
  purge: "p",
  reclaim: "q",
  removedServer: "z",
  replica: "r",
  server: "v",
  session: "s",
  staged: "g",
  stagedTotals: "b",
  storageClass: "t",
  time: "w",
  tombstone: "x",
  tombstoneAge: "y",
  underReplicated: "u",
} as const;

/** The keys of the meta table. */
export const META_KEY = {
  /** Index, term and hash of the state in the store. Written by `flush` only. */
  applied: "Ma" as Key,
  /** The steps of the clock. Absent before the first step. */
  clockSteps: "Mk" as Key,
  clusterFacts: "Mc" as Key,
  /** Absent below feature level 13. */
  enrolment: "Me" as Key,
  featureLevel: "Mf" as Key,
  /** The formats of the tables: see row-formats.ts. Absent below feature level 14. */
  formats: "Mr" as Key,
  membership: "Mm" as Key,
  /** The restore from which this state began. Absent if it did not begin with one. */
  restored: "Mb" as Key,
  totals: "Mt" as Key,
};

const ID_BYTES = 8;

/** Encodes a non-negative safe integer in 8 bytes, big-endian. */
export function u64(value: number): ByteText {
  assert(Number.isSafeInteger(value) && value >= 0, "an id is a non-negative safe integer");
  const high = Math.floor(value / 2 ** 32);
  const low = value >>> 0;
  return String.fromCharCode(
    high >>> 24,
    (high >>> 16) & 255,
    (high >>> 8) & 255,
    high & 255,
    low >>> 24,
    (low >>> 16) & 255,
    (low >>> 8) & 255,
    low & 255,
  );
}

/** Encodes an integer below 2^32 in 4 bytes, big-endian. */
export function u32(value: number): ByteText {
  assert(value >= 0 && value < 2 ** 32, "a position fits into 32 bits");
  return String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

/** Decodes the integer that `u64` encoded at `offset`. */
export function readU64(text: ByteText, offset: number): number {
  assert(text.length >= offset + ID_BYTES, "the key contains the whole integer");
  return readU32(text, offset) * 2 ** 32 + readU32(text, offset + 4);
}

/** Decodes the integer that `u32` encoded at `offset`. */
export function readU32(text: ByteText, offset: number): number {
  let value = 0;
  for (let index = offset; index < offset + 4; index += 1) {
    value = value * 256 + text.charCodeAt(index);
  }
  return value;
}

// Keys ---------------------------------------------------------------------------------------

export const inodeKey = (id: InodeId): Key => (TABLE_BYTE.inode + u64(id)) as Key;
export const directoryKey = (id: InodeId): Key => (TABLE_BYTE.directory + u64(id)) as Key;
export const entryPrefix = (parent: InodeId): Key => (TABLE_BYTE.entry + u64(parent)) as Key;
export const entryKey = (parent: InodeId, name: ByteText): Key =>
  (entryPrefix(parent) + name) as Key;
export const contentKey = (id: ContentId): Key => (TABLE_BYTE.content + u64(id)) as Key;
export const positionPrefix = (id: ContentId): Key => (TABLE_BYTE.position + u64(id)) as Key;
export const positionKey = (id: ContentId, position: number): Key =>
  (positionPrefix(id) + u32(position)) as Key;
export const chunkKey = (id: ChunkId): Key => (TABLE_BYTE.chunk + hexToText(id)) as Key;
export const underReplicatedKey = (id: ChunkId): Key =>
  (TABLE_BYTE.underReplicated + hexToText(id)) as Key;
export const serverKey = (id: ServerId): Key => (TABLE_BYTE.server + hexToText(id)) as Key;
export const removedServerKey = (id: ServerId): Key =>
  (TABLE_BYTE.removedServer + hexToText(id)) as Key;
export const replicaPrefix = (id: ServerId): Key => (TABLE_BYTE.replica + hexToText(id)) as Key;
export const replicaKey = (serverId: ServerId, chunkId: ChunkId): Key =>
  (replicaPrefix(serverId) + hexToText(chunkId)) as Key;
export const purgePrefix = (id: ServerId): Key => (TABLE_BYTE.purge + hexToText(id)) as Key;
export const purgeKey = (serverId: ServerId, chunkId: ChunkId): Key =>
  (purgePrefix(serverId) + hexToText(chunkId)) as Key;
export const tombstoneKey = (id: ChunkId): Key => (TABLE_BYTE.tombstone + hexToText(id)) as Key;
export const tombstoneAgeKey = (index: LogIndex, id: ChunkId): Key =>
  (TABLE_BYTE.tombstoneAge + u64(index) + hexToText(id)) as Key;
export const sessionKey = (id: SessionId): Key => (TABLE_BYTE.session + u64(id)) as Key;
export const outcomePrefix = (id: SessionId): Key => (TABLE_BYTE.outcome + u64(id)) as Key;
export const outcomeKey = (id: SessionId, sequence: number): Key =>
  (outcomePrefix(id) + u64(sequence)) as Key;
export const stagedPrefix = (id: SessionId): Key => (TABLE_BYTE.staged + u64(id)) as Key;
export const stagedKey = (id: SessionId, staging: StagingId): Key =>
  (stagedPrefix(id) + hexToText(staging)) as Key;
export const stagedTotalsKey = (id: SessionId): Key => (TABLE_BYTE.stagedTotals + u64(id)) as Key;
export const storageClassKey = (name: string): Key =>
  (TABLE_BYTE.storageClass + utf8OfText(name)) as Key;
export const timeKey = (index: LogIndex): Key => (TABLE_BYTE.time + u64(index)) as Key;

/** Returns the prefix of the history keys of one record. Its versions sort oldest first. */
export const historyPrefix = (key: Key): Key =>
  (TABLE_BYTE.history + key + (key[0] === TABLE_BYTE.entry ? "\0" : "")) as Key;
/** Returns the key of the version of `key` that the entry of `supersededIndex` replaced. */
export const historyKey = (key: Key, supersededIndex: LogIndex): Key =>
  (historyPrefix(key) + u64(supersededIndex)) as Key;

/** Returns the key of the record whose superseded version has this history key. */
export function keyOfHistory(history: Key): Key {
  const terminator = history[1] === TABLE_BYTE.entry ? 1 : 0;
  return history.slice(1, history.length - ID_BYTES - terminator) as Key;
}

/** Returns the index of the entry that superseded the version with this history key. */
export const supersededIndexOf = (history: Key): LogIndex =>
  readU64(history, history.length - ID_BYTES) as LogIndex;

/** Returns the first key after all keys that start with `prefix`. */
export function prefixEnd(prefix: ByteText): Key {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 255) length -= 1;
  assert(length > 0, "a prefix starts with the byte of its table");
  const last = prefix.charCodeAt(length - 1);
  return (prefix.slice(0, length - 1) + String.fromCharCode(last + 1)) as Key;
}

/** Returns the first key after `key`. */
export const keyAfter = (key: ByteText): Key => `${key}\0` as Key;

const ASCII = /^[\0-\x7f]*$/;

/** Encodes `text` in UTF-8. Returns ASCII text, which most names are, unchanged. */
export function utf8OfText(text: string): ByteText {
  return ASCII.test(text) ? text : bytesToText(new TextEncoder().encode(text));
}

/** Decodes the text that `utf8OfText` encoded. */
export function textOfUtf8(bytes: ByteText): string {
  return ASCII.test(bytes) ? bytes : new TextDecoder().decode(textToBytes(bytes));
}

// Bytes, text and hex ------------------------------------------------------------------------

/** Maximum number of arguments of one `fromCharCode` call: more could overflow the stack. */
const PART_BYTES = 4096;

/** Returns the bytes as a string with one character for each byte. */
export function bytesToText(bytes: Uint8Array): ByteText {
  if (bytes.length <= PART_BYTES) return Reflect.apply(String.fromCharCode, null, bytes) as string;
  let text = "";
  for (let offset = 0; offset < bytes.length; offset += PART_BYTES) {
    text += bytesToText(bytes.subarray(offset, offset + PART_BYTES));
  }
  return text;
}

/** Returns the bytes that `bytesToText` converted. */
export function textToBytes(text: ByteText): Uint8Array {
  const bytes = new Uint8Array(text.length);
  putText(bytes, 0, text);
  return bytes;
}

/** Writes the bytes of `text` into `target` from `offset` on. */
export function putText(target: Uint8Array, offset: number, text: ByteText): void {
  for (let index = 0; index < text.length; index += 1) {
    target[offset + index] = text.charCodeAt(index);
  }
}

/** Returns the name in an entry key. */
export const nameOfEntryKey = (key: Key): ByteText => key.slice(1 + ID_BYTES);
export const nameBytes = (name: ByteText): EntryName => textToBytes(name) as EntryName;

/** Returns the bytes of a lower-case hex string, as text. */
export function hexToText(hex: string): ByteText {
  let text = "";
  for (let index = 0; index < hex.length; index += 2) {
    const high = hexDigit(hex.charCodeAt(index));
    const low = hexDigit(hex.charCodeAt(index + 1));
    text += String.fromCharCode(high * 16 + low);
  }
  return text;
}

/** Returns the value of a lower-case hex digit. The caller guarantees that `code` is one. */
const hexDigit = (code: number): number => (code < 0x3a ? code - 0x30 : code - 0x57);

/** Returns the bytes of `text` as a lower-case hex string. */
export function textToHex(text: ByteText): string {
  let hex = "";
  for (let index = 0; index < text.length; index += 1) {
    const byte = text.charCodeAt(index);
    hex += HEX_DIGITS[byte >> 4];
    hex += HEX_DIGITS[byte & 15];
  }
  return hex;
}

const HEX_DIGITS = "0123456789abcdef";
