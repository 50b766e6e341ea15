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

/** Size of the header of a segment. */
export const SEGMENT_HEADER_BYTES = 128;
const LOG_FORMAT_VERSION = 1;

const MAGIC = new TextEncoder().encode("ASHLRLOG");
const FLAG_RESET = 1;
const CLUSTER_ID_BYTES = 16;

/** Header of a segment: the state that is needed to read the log from this segment on. */
export interface SegmentHeader {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** 1 for the first segment of a member; consecutive, without gaps. */
  readonly sequence: number;
  /** Drawn for this segment; every record contains it. */
  readonly salt: Uint8Array;
  /** Checksum of the last record of the previous segment; zeros in the first segment. */
  readonly previousChecksum: Uint8Array;
  /** Last entry before this segment, at its creation. */
  readonly base: { readonly index: LogIndex; readonly term: Term };
  /** Hard state at the creation of the segment. */
  readonly hardState: HardState;
  /** Whether a snapshot replaced the log: entries of earlier segments are no longer valid. */
  readonly isReset: boolean;
}

/**
 * Encodes a segment header. Integers are little-endian.
 *
 *     offset  size  field
 *          0    16  checksum: first 16 bytes of the BLAKE3 of the rest of the header
 *         16     8  "ASHLRLOG"
 *         24     4  version of the format: 1
 *         28     4  flags; bit 0: reset
 *         32    16  cluster id
 *         48     8  member id
 *         56     8  sequence
 *         64     8  salt
 *         72    16  checksum of the last record of the previous segment
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
  assert(writer.offset === SEGMENT_HEADER_BYTES, "a header has 128 bytes");
  bytes.set(checksumOf(hasher, bytes.subarray(CHECKSUM_BYTES)), 0);
  return bytes;
}

/** Result of reading a header. `newer`: written by a version that this one does not know. */
export type SegmentHeaderResult =
  | { readonly kind: "header"; readonly header: SegmentHeader; readonly checksum: Uint8Array }
  | { readonly kind: "newer"; readonly version: number }
  | { readonly kind: "bad" };

/** Reads and verifies the header at the start of a segment. */
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

/** Returns `<sequence>-<first index>.log`, both with 16 decimal digits: names sort by sequence. */
export function segmentFileName(sequence: number, firstIndex: number): string {
  const digits = (value: number): string => String(value).padStart(16, "0");
  return `${digits(sequence)}-${digits(firstIndex)}.log`;
}

/** Returns the sequence in the name of a segment; null for the name of another file. */
export function sequenceOfFileName(name: string): number | null {
  const match = /^(\d{16})-\d{16}\.log$/.exec(name);
  return match === null ? null : Number(match[1]);
}
