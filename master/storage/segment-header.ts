import { assert } from "../../shared/base/assert.ts";
import { equalBytes, fromHex, toHex } from "../../shared/base/bytes.ts";
import type { ClusterId, LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { HardState } from "../raft/messages.ts";
import { FieldReader, FieldWriter } from "./byte-fields.ts";
import {
  CHECKSUM_BYTES,
  checksumOf,
  readHardState,
  SALT_BYTES,
  writeHardState,
} from "./log-record.ts";

export const SEGMENT_HEADER_BYTES = 128;
const LOG_FORMAT_VERSION = 1;

const MAGIC = new TextEncoder().encode("ASHLRLOG");
const FLAG_RESET = 1;
const CLUSTER_ID_BYTES = 16;

/** The first 128 bytes of a segment: all that is needed to start reading the log here. */
export interface SegmentHeader {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** 1 for the first segment of a member, then one more for each. No gaps. */
  readonly sequence: number;
  /** Drawn for this segment; every record repeats it. */
  readonly salt: Uint8Array;
  /** Checksum of the last record of the segment before; zeros if there never was one. */
  readonly previousChecksum: Uint8Array;
  /** Last entry before this segment, as it was when the segment was made. */
  readonly base: { readonly index: LogIndex; readonly term: Term };
  /** As it was when the segment was made. */
  readonly hardState: HardState;
  /** A snapshot replaced the log: entries of earlier segments do not count any more. */
  readonly isReset: boolean;
}

/**
 * Integers are little-endian.
 *
 *     offset  size  field
 *          0    16  checksum: BLAKE3 of the rest of the header, its first 16 bytes
 *         16     8  "ASHLRLOG"
 *         24     4  version of the format: 1
 *         28     4  flags; bit 0: reset
 *         32    16  cluster id
 *         48     8  member id
 *         56     8  sequence
 *         64     8  salt
 *         72    16  checksum of the last record of the segment before
 *         88    16  base: index and term of the last entry before
 *        104    24  hard state: term, vote (0: none), commit
 */
export function encodeSegmentHeader(hasher: Hasher, header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const writer = new FieldWriter(bytes, CHECKSUM_BYTES);
  writer.raw(MAGIC);
  writer.u32(LOG_FORMAT_VERSION);
  writer.u32(header.isReset ? FLAG_RESET : 0);
  writer.raw(fromHex(header.clusterId));
  writer.u64(header.memberId);
  writer.u64(header.sequence);
  writer.raw(header.salt);
  writer.raw(header.previousChecksum);
  writer.u64(header.base.index);
  writer.u64(header.base.term);
  writeHardState(writer, header.hardState);
  assert(writer.offset === SEGMENT_HEADER_BYTES, "a header has its fixed size");
  bytes.set(checksumOf(hasher, bytes.subarray(CHECKSUM_BYTES)), 0);
  return bytes;
}

export type SegmentHeaderResult =
  | { readonly kind: "header"; readonly header: SegmentHeader; readonly checksum: Uint8Array }
  | { readonly kind: "newer"; readonly version: number }
  | { readonly kind: "bad" };

export function readSegmentHeader(hasher: Hasher, segment: Uint8Array): SegmentHeaderResult {
  if (segment.length < SEGMENT_HEADER_BYTES) return { kind: "bad" };
  const reader = new FieldReader(segment.subarray(0, SEGMENT_HEADER_BYTES));
  const checksum = reader.raw(CHECKSUM_BYTES);
  if (!equalBytes(reader.raw(MAGIC.length), MAGIC)) return { kind: "bad" };
  const rest = segment.subarray(CHECKSUM_BYTES, SEGMENT_HEADER_BYTES);
  if (!equalBytes(checksumOf(hasher, rest), checksum)) return { kind: "bad" };
  const version = reader.u32();
  if (version !== LOG_FORMAT_VERSION) return { kind: "newer", version };
  const flags = reader.u32();
  const header: SegmentHeader = {
    clusterId: toHex(reader.raw(CLUSTER_ID_BYTES)) as ClusterId,
    memberId: reader.u64() as MemberId,
    sequence: reader.u64(),
    salt: reader.raw(SALT_BYTES),
    previousChecksum: reader.raw(CHECKSUM_BYTES),
    base: { index: reader.u64() as LogIndex, term: reader.u64() as Term },
    hardState: readHardState(reader),
    isReset: (flags & FLAG_RESET) !== 0,
  };
  return { kind: "header", header, checksum };
}

/** `<sequence>-<first index>.log`, both of 16 decimal digits: names sort as segments follow. */
export function segmentFileName(sequence: number, firstIndex: number): string {
  const digits = (value: number): string => String(value).padStart(16, "0");
  return `${digits(sequence)}-${digits(firstIndex)}.log`;
}

/** The sequence in a segment's name; null for the name of something else. */
export function sequenceOfFileName(name: string): number | null {
  const match = /^(\d{16})-\d{16}\.log$/.exec(name);
  return match === null ? null : Number(match[1]);
}
