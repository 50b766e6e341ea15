import { assert, present } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Entry, EntryKind, HardState } from "../raft/messages.ts";
import { FieldReader, FieldWriter } from "./byte-fields.ts";

/** A checksum is the first 16 bytes of a BLAKE3 hash. Checksums chain the records of the log. */
export const CHECKSUM_BYTES = 16;
/** Size of the random salt of a segment. */
export const SALT_BYTES = 8;
const RECORD_HEADER_BYTES = CHECKSUM_BYTES + SALT_BYTES + 8 + CHECKSUM_BYTES;

const TAG_ENTRY = 1;
const TAG_HARD_STATE = 2;
const TAG_TRUNCATE = 3;
/** The number of a kind is its position: new kinds are appended. */
const ENTRY_KINDS: readonly EntryKind[] = ["normal", "conf-change", "conf-change-v2"];
const ENTRY_HEADER_BYTES = 1 + 1 + 4 + 8 + 8;
const HARD_STATE_BYTES = 1 + 8 + 8 + 8;
const TRUNCATE_BYTES = 1 + 8 + 8;

/** One change of the log. A record holds the items of one write, in order. */
export type LogItem =
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "hard-state"; readonly hardState: HardState }
  /** Drops the entries after `lastIndex`, whose term is `lastTerm`: a leader overwrites them. */
  | { readonly kind: "truncate"; readonly lastIndex: LogIndex; readonly lastTerm: Term };

/** Returns the size of an entry in a record. */
export function sizeOfEntry(entry: Entry): number {
  return ENTRY_HEADER_BYTES + entry.data.length;
}

function sizeOfItem(item: LogItem): number {
  if (item.kind === "entry") return sizeOfEntry(item.entry);
  return item.kind === "hard-state" ? HARD_STATE_BYTES : TRUNCATE_BYTES;
}

/** Returns the size of a record with these items, header included. */
export function sizeOfRecord(items: readonly LogItem[]): number {
  let sizeBytes = RECORD_HEADER_BYTES;
  for (const item of items) sizeBytes += sizeOfItem(item);
  return sizeBytes;
}

/** The values that link a record to its segment and to the previous record. */
export interface RecordContext {
  /** Salt of the segment. */
  readonly salt: Uint8Array;
  /** Checksum of the previous record, or of the segment header for the first record. */
  readonly previousChecksum: Uint8Array;
}

/**
 * Encodes one record into `target`. Integers are little-endian.
 *
 *     offset  size  field
 *          0    16  checksum: first 16 bytes of the BLAKE3 of all following bytes of the record
 *         16     8  salt of the segment
 *         24     4  n, the length of the payload in bytes
 *         28     4  count of items
 *         32    16  checksum of the previous record (of the segment header, for the first)
 *         48     n  payload: the items, in order
 *
 * The salt is random and secret. Therefore neither a command of a client nor the old content of a
 * disk block can look like a record of the segment.
 *
 * @returns the checksum of the record.
 */
export function encodeRecord(
  hasher: Hasher,
  target: Uint8Array,
  record: RecordContext & { readonly items: readonly LogItem[] },
): Uint8Array {
  const { items, salt, previousChecksum } = record;
  assert(salt.length === SALT_BYTES, "a salt has 8 bytes");
  assert(previousChecksum.length === CHECKSUM_BYTES, "a checksum has 16 bytes");
  const sizeBytes = sizeOfRecord(items);
  assert(target.length === sizeBytes, "the buffer has the size of the record");
  const writer = new FieldWriter(target, CHECKSUM_BYTES);
  writer.raw(salt);
  writer.u32(sizeBytes - RECORD_HEADER_BYTES);
  writer.u32(items.length);
  writer.raw(previousChecksum);
  for (const item of items) writeItem(writer, item);
  assert(writer.offset === sizeBytes, "a record has the computed size");
  const checksum = checksumOf(hasher, target.subarray(CHECKSUM_BYTES));
  target.set(checksum, 0);
  return checksum;
}

function writeItem(writer: FieldWriter, item: LogItem): void {
  if (item.kind === "entry") {
    const { entry } = item;
    writer.u8(TAG_ENTRY);
    writer.u8(ENTRY_KINDS.indexOf(entry.kind));
    writer.u32(entry.data.length);
    writer.u64(entry.index);
    writer.u64(entry.term);
    writer.raw(entry.data);
  } else if (item.kind === "hard-state") {
    writer.u8(TAG_HARD_STATE);
    writeHardState(writer, item.hardState);
  } else {
    writer.u8(TAG_TRUNCATE);
    writer.u64(item.lastIndex);
    writer.u64(item.lastTerm);
  }
}

/** Encodes term, vote (0: none) and commit index, 8 bytes each. */
export function writeHardState(writer: FieldWriter, hardState: HardState): void {
  writer.u64(hardState.term);
  writer.u64(hardState.votedFor);
  writer.u64(hardState.commitIndex);
}

/** Decodes a hard state. */
export function readHardState(reader: FieldReader): HardState {
  const term = reader.u64() as Term;
  const votedFor = reader.u64() as MemberId;
  return { term, votedFor, commitIndex: reader.u64() as LogIndex };
}

/** Returns the checksum of `bytes`. */
export function checksumOf(hasher: Hasher, bytes: Uint8Array): Uint8Array {
  return hasher.hash(bytes).subarray(0, CHECKSUM_BYTES);
}

/**
 * Content at an offset of a segment. The caller decides whether a bad record is torn or corrupt.
 */
export type RecordResult =
  | {
      readonly kind: "record";
      readonly payload: Uint8Array;
      readonly itemCount: number;
      readonly checksum: Uint8Array;
      readonly previousChecksum: Uint8Array;
      readonly nextOffset: number;
    }
  | { readonly kind: "bad" }
  | { readonly kind: "end" };

/**
 * Returns the size of the record at `offset` as its header states it, which is not verified. Null if
 * the bytes end within the header.
 */
export function recordBytesAt(bytes: Uint8Array, offset: number): number | null {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return null;
  const reader = new FieldReader(bytes, offset + CHECKSUM_BYTES + SALT_BYTES);
  return RECORD_HEADER_BYTES + reader.u32();
}

/** Reads the record at `position.offset` and verifies salt, length and checksum. */
export function readRecord(
  hasher: Hasher,
  segment: Uint8Array,
  position: { readonly salt: Uint8Array; readonly offset: number },
): RecordResult {
  const { salt, offset } = position;
  if (offset === segment.length) return { kind: "end" };
  if (offset + RECORD_HEADER_BYTES > segment.length) return { kind: "bad" };
  const reader = new FieldReader(segment, offset);
  const checksum = reader.raw(CHECKSUM_BYTES);
  if (!equalBytes(reader.raw(SALT_BYTES), salt)) return { kind: "bad" };
  const payloadBytes = reader.u32();
  const itemCount = reader.u32();
  const previousChecksum = reader.raw(CHECKSUM_BYTES);
  if (reader.offset + payloadBytes > segment.length) return { kind: "bad" };
  const payload = reader.raw(payloadBytes);
  const nextOffset = reader.offset;
  const found = checksumOf(hasher, segment.subarray(offset + CHECKSUM_BYTES, nextOffset));
  if (!equalBytes(found, checksum)) return { kind: "bad" };
  return { kind: "record", payload, itemCount, checksum, previousChecksum, nextOffset };
}

/** Decodes the items of a verified payload. Their data are views of `payload`, not copies. */
export function decodeItems(payload: Uint8Array, itemCount: number): LogItem[] {
  const reader = new FieldReader(payload);
  const items: LogItem[] = [];
  while (!reader.isAtEnd) items.push(readItem(reader));
  assert(items.length === itemCount, "a record holds the number of items in its header");
  return items;
}

function readItem(reader: FieldReader): LogItem {
  const tag = reader.u8();
  if (tag === TAG_ENTRY) {
    const kind = present(ENTRY_KINDS[reader.u8()], "the kind of an entry is known in this version");
    const dataBytes = reader.u32();
    const index = reader.u64() as LogIndex;
    const term = reader.u64() as Term;
    return { kind: "entry", entry: { kind, index, term, data: reader.raw(dataBytes) } };
  }
  if (tag === TAG_HARD_STATE) return { kind: "hard-state", hardState: readHardState(reader) };
  assert(tag === TAG_TRUNCATE, "the tag of an item is known in this version");
  const lastIndex = reader.u64() as LogIndex;
  return { kind: "truncate", lastIndex, lastTerm: reader.u64() as Term };
}
