import { assert } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import { type HardState, INDEX_ZERO, NO_MEMBER, TERM_ZERO } from "../raft/messages.ts";
import { LogEntries } from "./log-entries.ts";
import { CHECKSUM_BYTES, decodeItems, type LogItem, readRecord, SALT_BYTES } from "./log-record.ts";
import {
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentFileName,
  sequenceOfFileName,
} from "./segment-header.ts";

/** Cluster and member that own a log. */
export interface LogOwner {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

/** A segment file of the log. */
export interface Segment {
  readonly path: string;
  readonly sequence: number;
  /** Index of the last entry before this segment, at its creation. */
  readonly baseIndex: LogIndex;
}

/** Content of a log on disk. */
export interface RecoveredLog {
  readonly entries: LogEntries;
  readonly hardState: HardState;
  /** The segments, oldest first. Empty if the log is new. */
  readonly segments: readonly Segment[];
  /** End of the last segment. `null` if there is no segment. */
  readonly tail: LogTail | null;
}

/** End of the last segment, after its last valid record. */
export interface LogTail {
  readonly salt: Uint8Array;
  /** Checksum of the last record, or of the header. */
  readonly checksum: Uint8Array;
  /** Offset of the next record. It is followed by a torn record, by zeros, or by nothing. */
  readonly offset: number;
  /** Length of the file. */
  readonly lengthBytes: number;
  /** The last record, or the header. `RaftLog.open` writes and syncs it again. */
  readonly last: { readonly offset: number; readonly bytes: Uint8Array };
}

const NO_HARD_STATE: HardState = {
  term: TERM_ZERO,
  votedFor: NO_MEMBER,
  commitIndex: INDEX_ZERO,
};

/** Dependencies of the recovery. */
interface RecoveryDeps {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly owner: LogOwner;
  readonly directory: string;
}

/**
 * Reads a log from disk without a modification, with one exception: it removes a last segment
 * without a complete header. A crash interrupted the creation of that segment, so it has no record.
 *
 * A record is written only after the previous one was synced, so only the last record can be torn.
 * A bad record that is followed by a valid one, or that is in an earlier segment, was durable
 * before: it is corrupt. Truncating there would drop votes and entries that this member has
 * acknowledged.
 *
 * @throws {AshlarError} LOG_CORRUPT with path and offset; WRONG_IDENTITY; VERSION_MISMATCH
 */
export async function recoverLog(recovery: RecoveryDeps): Promise<RecoveredLog> {
  const names = await segmentNames(recovery);
  const state: RecoveryState = {
    entries: new LogEntries({ index: INDEX_ZERO, term: TERM_ZERO }),
    hardState: NO_HARD_STATE,
    segments: [],
    tail: null,
  };
  for (const [position, name] of names.entries()) {
    const isLast = position === names.length - 1;
    await readSegment(recovery, state, { name, isLast });
  }
  const { entries, hardState, segments, tail } = state;
  if (hardState.commitIndex > entries.lastIndex) {
    const path = segments.at(-1)?.path ?? recovery.directory;
    throw corrupt(path, 0, "committed entries at the end of the log");
  }
  return { entries, hardState, segments, tail };
}

/** State after the segments that were read so far. */
interface RecoveryState {
  readonly entries: LogEntries;
  hardState: HardState;
  readonly segments: Segment[];
  tail: LogTail | null;
}

/** Reads one segment and applies its header and items to `state`. */
async function readSegment(
  recovery: RecoveryDeps,
  state: RecoveryState,
  { name, isLast }: { readonly name: string; readonly isLast: boolean },
): Promise<void> {
  const path = `${recovery.directory}/${name}`;
  const bytes = await recovery.disk.readFile(path);
  const result = readSegmentHeader(recovery.hasher, bytes);
  if (result.kind === "newer") throw newerVersion(path, result.version);
  if (result.kind === "bad") {
    if (!isLast || bytes.length > SEGMENT_HEADER_BYTES)
      throw corrupt(path, 0, "a valid segment header");
    await removeHeaderless(recovery, path);
    return;
  }
  const { header, checksum } = result;
  checkHeader(path, header, { ...recovery.owner, sequence: sequenceOf(name), tail: state.tail });
  applyHeader(path, header, state);
  state.segments.push({ path, sequence: header.sequence, baseIndex: header.base.index });
  const { items, tail, isTorn } = readRecords(recovery, { path, bytes, header, checksum });
  if (!isLast && isTorn) throw corrupt(path, tail.offset, "a valid record");
  replay(state, items);
  state.tail = tail;
}

/** Returns the names of the segments, oldest first. @throws {AshlarError} LOG_CORRUPT on a gap. */
async function segmentNames(recovery: RecoveryDeps): Promise<string[]> {
  const found = await recovery.disk.list(recovery.directory);
  const names = found
    .map((entry) => entry.name)
    .filter((name) => sequenceOfFileName(name) !== null);
  for (const [position, name] of names.entries()) {
    const expected = sequenceOf(names[0] as string) + position;
    if (sequenceOf(name) === expected) continue;
    throw corrupt(`${recovery.directory}/${name}`, 0, `segment ${expected} before this segment`);
  }
  return names;
}

function sequenceOf(name: string): number {
  const sequence = sequenceOfFileName(name);
  assert(sequence !== null, "the name of a segment contains its sequence");
  return sequence;
}

/** Removes a segment that was being created at the crash. */
async function removeHeaderless(recovery: RecoveryDeps, path: string): Promise<void> {
  recovery.log.warn("Removed a log segment without a complete header, left by a crash", { path });
  await recovery.disk.remove(path);
  await recovery.disk.syncDirectory(recovery.directory);
}

/** Checks owner, sequence and the link to the previous segment. */
function checkHeader(
  path: string,
  header: SegmentHeader,
  expected: LogOwner & { readonly sequence: number; readonly tail: LogTail | null },
): void {
  if (header.clusterId !== expected.clusterId || header.memberId !== expected.memberId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use ${path}: expected the log of member ${expected.memberId} of cluster ${expected.clusterId}: it belongs to member ${header.memberId} of cluster ${header.clusterId}`,
    );
  }
  if (header.sequence !== expected.sequence) {
    throw corrupt(path, 0, `a header with sequence ${expected.sequence}`);
  }
  const { tail } = expected;
  const isChained = tail === null || equalBytes(header.previousChecksum, tail.checksum);
  if (!isChained) throw corrupt(path, 0, "the checksum of the previous segment's last record");
}

/** Applies a segment header. The first segment, and one with the reset flag, replace the state. */
function applyHeader(path: string, header: SegmentHeader, state: RecoveryState): void {
  const { entries, hardState, segments } = state;
  if (segments.length === 0 || header.isReset) {
    entries.reset(header.base);
    state.hardState = header.hardState;
    return;
  }
  const isNext =
    entries.lastIndex === header.base.index &&
    entries.lastTerm === header.base.term &&
    hardState.term === header.hardState.term &&
    hardState.votedFor === header.hardState.votedFor;
  if (!isNext) throw corrupt(path, 0, "a header that continues the previous segment");
  state.hardState = header.hardState;
}

interface SegmentBytes {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly header: SegmentHeader;
  readonly checksum: Uint8Array;
}

/** Reads the records of a segment up to its end, to preallocated zeros, or to a torn record. */
function readRecords(
  recovery: RecoveryDeps,
  segment: SegmentBytes,
): { items: LogItem[]; tail: LogTail; isTorn: boolean } {
  const { bytes, path } = segment;
  const { salt } = segment.header;
  const items: LogItem[] = [];
  let checksum = segment.checksum;
  let offset = SEGMENT_HEADER_BYTES;
  let lastOffset = 0;
  let isTorn = false;
  for (;;) {
    const result = readRecord(recovery.hasher, bytes, { salt, offset });
    if (result.kind === "end") break;
    if (result.kind === "bad") {
      if (isZero(bytes, offset)) break; // Preallocated space that was not used.
      const valid = nextRecord(recovery.hasher, bytes, { salt, offset: offset + 1 });
      if (valid !== null) throw corrupt(path, offset, "a valid record before another valid record");
      recovery.log.warn("Truncated a torn record at the end of the log, left by a crash", {
        path,
        offsetBytes: offset,
        lengthBytes: bytes.length - offset,
      });
      isTorn = true;
      break;
    }
    if (!equalBytes(result.previousChecksum, checksum))
      throw corrupt(path, offset, "the checksum of the previous record");
    for (const item of decodeItems(result.payload, result.itemCount)) items.push(item);
    checksum = result.checksum;
    lastOffset = offset;
    offset = result.nextOffset;
  }
  const last = { offset: lastOffset, bytes: bytes.subarray(lastOffset, offset) };
  return { items, tail: { salt, checksum, offset, lengthBytes: bytes.length, last }, isTorn };
}

/** Returns whether all bytes from `offset` on are zero. */
function isZero(bytes: Uint8Array, offset: number): boolean {
  for (let index = offset; index < bytes.length; index += 1) if (bytes[index] !== 0) return false;
  return true;
}

/** Returns the offset of the first valid record at or after `from.offset`, at any alignment. */
function nextRecord(
  hasher: Hasher,
  segment: Uint8Array,
  from: { readonly salt: Uint8Array; readonly offset: number },
): number | null {
  const { salt } = from;
  const firstByte = salt[0] as number;
  let saltOffset = segment.indexOf(firstByte, from.offset + CHECKSUM_BYTES);
  while (saltOffset !== -1) {
    const offset = saltOffset - CHECKSUM_BYTES;
    if (equalBytes(segment.subarray(saltOffset, saltOffset + SALT_BYTES), salt)) {
      if (readRecord(hasher, segment, { salt, offset }).kind === "record") return offset;
    }
    saltOffset = segment.indexOf(firstByte, saltOffset + 1);
  }
  return null;
}

/** Applies the items of a segment in order. */
function replay(state: RecoveryState, items: readonly LogItem[]): void {
  for (const item of items) {
    if (item.kind === "entry") state.entries.push(item.entry);
    else if (item.kind === "truncate") state.entries.truncate(item.lastIndex, item.lastTerm);
    else state.hardState = item.hardState;
  }
}

function newerVersion(path: string, version: number): AshlarError {
  return new AshlarError(
    "VERSION_MISMATCH",
    `Cannot read ${path}: expected version 1 of the log format: current value is ${version}`,
    { hint: "Start the version of Ashlar that wrote it, or a newer one" },
  );
}

function corrupt(path: string, offsetBytes: number, expected: string): AshlarError {
  return new AshlarError(
    "LOG_CORRUPT",
    `Cannot read ${path} at byte ${offsetBytes}: expected ${expected}`,
    {
      details: { path, offsetBytes },
      hint: "The other members have this member's data. Keep this directory for analysis, remove the member from the cluster and add it again under a new member id with an empty directory. Never restart it with the corrupt file removed: it would lose votes that it has given",
    },
  );
}

/** Returns the path of a segment. Its first entry is the one after `baseIndex`. */
export function segmentPath(directory: string, sequence: number, baseIndex: LogIndex): string {
  return `${directory}/${segmentFileName(sequence, baseIndex + 1)}`;
}
