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

export interface LogOwner {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
}

/** A segment as the log keeps it in mind. */
export interface Segment {
  readonly path: string;
  readonly sequence: number;
  /** Last entry before this segment, when it was made. */
  readonly baseIndex: LogIndex;
}

/** What the files of a log tell. */
export interface RecoveredLog {
  readonly entries: LogEntries;
  readonly hardState: HardState;
  /** Oldest first. Empty: the log is new. */
  readonly segments: readonly Segment[];
  /** Where the last segment goes on. `null` if there is none. */
  readonly tail: LogTail | null;
}

export interface LogTail {
  readonly salt: Uint8Array;
  /** Checksum of the last record, or of the header. */
  readonly checksum: Uint8Array;
  /** The next record goes here; what follows is a torn record, or zeros. */
  readonly offset: number;
  readonly lengthBytes: number;
  /** The last record (or the header) and where it stands: `openLog` writes it once more. */
  readonly last: { readonly offset: number; readonly bytes: Uint8Array };
}

const NO_HARD_STATE: HardState = {
  term: TERM_ZERO,
  votedFor: NO_MEMBER,
  commitIndex: INDEX_ZERO,
};

interface RecoveryDeps {
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly owner: LogOwner;
  readonly directory: string;
}

/**
 * Reads a log from disk and changes nothing but this: a last segment that a crash left without its
 * header is removed; it never held a record.
 *
 * A record is written only after the one before was synced, so at most the last one can be torn. A
 * bad record with a valid one after it, or in an earlier segment, was durable once: that is damage,
 * and cutting it off would make this member forget what it has promised.
 *
 * @throws {AshlarError} LOG_CORRUPT naming file and offset; WRONG_IDENTITY; VERSION_MISMATCH
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
    throw corrupt(segments.at(-1)?.path ?? recovery.directory, 0, "its end: committed entries");
  }
  return { entries, hardState, segments, tail };
}

/** What the segments so far have told. */
interface RecoveryState {
  readonly entries: LogEntries;
  hardState: HardState;
  readonly segments: Segment[];
  tail: LogTail | null;
}

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
    if (!isLast || bytes.length > SEGMENT_HEADER_BYTES) throw corrupt(path, 0, "its header");
    await removeHeaderless(recovery, path);
    return;
  }
  const { header, checksum } = result;
  checkHeader(path, header, { ...recovery.owner, sequence: sequenceOf(name), tail: state.tail });
  applyHeader(path, header, state);
  state.segments.push({ path, sequence: header.sequence, baseIndex: header.base.index });
  const { items, tail, isTorn } = readRecords(recovery, { path, bytes, header, checksum });
  if (!isLast && isTorn) throw corrupt(path, tail.offset, "a record");
  replay(state, items);
  state.tail = tail;
}

async function segmentNames(recovery: RecoveryDeps): Promise<string[]> {
  const found = await recovery.disk.list(recovery.directory);
  const names = found
    .map((entry) => entry.name)
    .filter((name) => sequenceOfFileName(name) !== null);
  for (const [position, name] of names.entries()) {
    const expected = sequenceOf(names[0] as string) + position;
    if (sequenceOf(name) === expected) continue;
    throw corrupt(
      `${recovery.directory}/${name}`,
      0,
      `the segment before it, number ${expected}: the file is missing and`,
    );
  }
  return names;
}

function sequenceOf(name: string): number {
  const sequence = sequenceOfFileName(name);
  assert(sequence !== null, "a segment's name holds its sequence");
  return sequence;
}

async function removeHeaderless(recovery: RecoveryDeps, path: string): Promise<void> {
  recovery.log.warn("Removed a log segment that a crash left without its header", { path });
  await recovery.disk.remove(path);
  await recovery.disk.syncDirectory(recovery.directory);
}

function checkHeader(
  path: string,
  header: SegmentHeader,
  expected: LogOwner & { readonly sequence: number; readonly tail: LogTail | null },
): void {
  if (header.clusterId !== expected.clusterId || header.memberId !== expected.memberId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use ${path}: expected the log of member ${expected.memberId} of cluster ${expected.clusterId}: it is of member ${header.memberId} of cluster ${header.clusterId}`,
    );
  }
  if (header.sequence !== expected.sequence) throw corrupt(path, 0, "its name");
  const isJoined =
    expected.tail === null || equalBytes(header.previousChecksum, expected.tail.checksum);
  if (!isJoined) throw corrupt(path, 0, "the end of the segment before it");
}

/** Takes over what the header says. The first segment, and one after a reset, begin anew. */
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
  if (!isNext) throw corrupt(path, 0, "its header");
  state.hardState = header.hardState;
}

interface SegmentBytes {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly header: SegmentHeader;
  readonly checksum: Uint8Array;
}

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
      if (isZero(bytes, offset)) break; // Written ahead, for records that never came.
      const valid = nextRecord(recovery.hasher, bytes, { salt, offset: offset + 1 });
      if (valid !== null) throw corrupt(path, offset, "a record (a valid one follows it)");
      recovery.log.warn("Cut a record off the log that a crash left unfinished", {
        path,
        offsetBytes: offset,
        lengthBytes: bytes.length - offset,
      });
      isTorn = true;
      break;
    }
    if (!equalBytes(result.previousChecksum, checksum))
      throw corrupt(path, offset, "the record before");
    for (const item of decodeItems(result.payload, result.itemCount)) items.push(item);
    checksum = result.checksum;
    lastOffset = offset;
    offset = result.nextOffset;
  }
  const last = { offset: lastOffset, bytes: bytes.subarray(lastOffset, offset) };
  return { items, tail: { salt, checksum, offset, lengthBytes: bytes.length, last }, isTorn };
}

/** Whether nothing but zeros stands from `offset` on. */
function isZero(bytes: Uint8Array, offset: number): boolean {
  for (let place = offset; place < bytes.length; place += 1) if (bytes[place] !== 0) return false;
  return true;
}

/** The offset of the next valid record at or after `place.offset`, at any alignment, or null. */
function nextRecord(
  hasher: Hasher,
  segment: Uint8Array,
  place: { readonly salt: Uint8Array; readonly offset: number },
): number | null {
  const { salt } = place;
  const firstByte = salt[0] as number;
  let saltOffset = segment.indexOf(firstByte, place.offset + CHECKSUM_BYTES);
  while (saltOffset !== -1) {
    const offset = saltOffset - CHECKSUM_BYTES;
    if (equalBytes(segment.subarray(saltOffset, saltOffset + SALT_BYTES), salt)) {
      if (readRecord(hasher, segment, { salt, offset }).kind === "record") return offset;
    }
    saltOffset = segment.indexOf(firstByte, saltOffset + 1);
  }
  return null;
}

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
    `Cannot read ${path}: expected version 1 of the log format: it has version ${version}`,
    { hint: "Start the version of Ashlar that wrote it, or a newer one" },
  );
}

function corrupt(path: string, offsetBytes: number, what: string): AshlarError {
  return new AshlarError(
    "LOG_CORRUPT",
    `Cannot read the log: ${what} is damaged: ${path} at byte ${offsetBytes}`,
    {
      details: { path, offsetBytes },
      hint: "The other members hold this member's data. Keep this directory for analysis, remove the member from the cluster and add it again under a new member id with an empty directory. Never restart it with the damaged file removed: it would forget votes it has given",
    },
  );
}

/** The path of the segment with this sequence, whose first entry is the one after `baseIndex`. */
export function segmentPath(directory: string, sequence: number, baseIndex: LogIndex): string {
  return `${directory}/${segmentFileName(sequence, baseIndex + 1)}`;
}
