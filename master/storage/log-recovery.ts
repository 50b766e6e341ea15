import { assert, present } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import { type HardState, INDEX_ZERO, NO_MEMBER, TERM_ZERO } from "../raft/messages.ts";
import { LogEntries } from "./log-entries.ts";
import { CHECKSUM_BYTES, decodeItems, type LogItem, readRecord, SALT_BYTES } from "./log-record.ts";
import { addMark, logCorrupt, type Segment } from "./segment.ts";
import {
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  sequenceOfFileName,
} from "./segment-header.ts";

/** Cluster and member that own a log. */
export interface LogOwner {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
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
  /** See `RaftLogOptions`. */
  readonly cacheBytes: number;
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
 * Of older segments with entries of one term only the headers are read (`hasSeveralTerms`).
 *
 * @throws {AshlarError} LOG_CORRUPT with path and offset; WRONG_IDENTITY; VERSION_MISMATCH
 */
export async function recoverLog(recovery: RecoveryDeps): Promise<RecoveredLog> {
  const found: FoundSegment[] = [];
  const names = await segmentNames(recovery);
  for (const name of names) {
    const isLast = name === names.at(-1);
    const isFirst = name === names[0];
    const segment = await findSegment(recovery, { name, isFirst, isLast });
    if (segment !== null) found.push(segment);
  }
  const state: RecoveryState = {
    entries: new LogEntries({ index: INDEX_ZERO, term: TERM_ZERO }),
    hardState: NO_HARD_STATE,
    segments: [],
    tail: null,
  };
  const cachedPosition = firstCachedPosition(found, recovery.cacheBytes);
  const resetPosition = found.findLastIndex(({ header }) => header.isReset);
  for (const [position, segment] of found.entries()) {
    if (position < resetPosition) state.segments.push(segment.segment);
    else if (position >= cachedPosition || hasSeveralTerms(found, position)) {
      await readSegment(recovery, state, { ...segment, isLast: position === found.length - 1 });
    } else
      skipSegment(state, segment, present(found[position + 1], "a skipped segment has a next"));
    // Entries that are not committed may be replaced, so they stay in memory if they were read.
    const { entries, hardState } = state;
    entries.evict(entries.evictionPoint(hardState.commitIndex, recovery.cacheBytes));
  }
  const { entries, hardState, segments, tail } = state;
  if (hardState.commitIndex > entries.lastIndex) {
    const path = segments.at(-1)?.path ?? recovery.directory;
    throw logCorrupt(path, 0, "committed entries at the end of the log");
  }
  entries.copyData();
  return { entries, hardState, segments, tail };
}

/** State after the segments that were read so far. */
interface RecoveryState {
  readonly entries: LogEntries;
  hardState: HardState;
  readonly segments: Segment[];
  /** Null if no segment was read or the last one was skipped. */
  tail: LogTail | null;
}

/** A segment whose header was read. */
interface FoundSegment {
  readonly segment: Segment;
  readonly header: SegmentHeader;
  /** Checksum of the header. */
  readonly checksum: Uint8Array;
}

/** Reads the header of a segment. @returns null if the segment had none and was removed */
async function findSegment(
  recovery: RecoveryDeps,
  place: { readonly name: string; readonly isFirst: boolean; readonly isLast: boolean },
): Promise<FoundSegment | null> {
  const { name, isFirst, isLast } = place;
  const path = `${recovery.directory}/${name}`;
  const { bytes, lengthBytes } = await readStart(recovery.disk, path);
  const result = readSegmentHeader(recovery.hasher, bytes);
  if (result.kind === "newer") throw newerVersion(path, result.version);
  if (result.kind === "bad") {
    // A segment without another one before it was complete when the others were removed.
    const isOnly = isFirst && sequenceOf(name) > 1;
    if (!isLast || isOnly || lengthBytes > SEGMENT_HEADER_BYTES) {
      throw logCorrupt(path, 0, "a valid segment header");
    }
    await removeHeaderless(recovery, path);
    return null;
  }
  const { header, checksum } = result;
  checkOwner(path, header, recovery.owner);
  if (header.sequence !== sequenceOf(name)) {
    throw logCorrupt(path, 0, `a header with sequence ${sequenceOf(name)}`);
  }
  const { sequence, base, salt } = header;
  const segment = { path, sequence, base, salt, lengthBytes, marks: [] };
  return { segment, header, checksum };
}

/** Reads as many bytes as a header has, or the whole file if it is shorter. */
async function readStart(
  disk: Disk,
  path: string,
): Promise<{ readonly bytes: Uint8Array; readonly lengthBytes: number }> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
    const readBytes = await file.read(bytes, 0);
    const { lengthBytes } = await file.size();
    return { bytes: bytes.subarray(0, readBytes), lengthBytes };
  } finally {
    await file.close();
  }
}

/**
 * Returns the position from which all segments are read: that of the last two, where a record may be
 * torn, and of those before them whose entries the cache has room for.
 */
function firstCachedPosition(found: readonly FoundSegment[], cacheBytes: number): number {
  let position = found.length;
  let laterBytes = 0;
  while (position > 0 && (position > found.length - 2 || laterBytes < cacheBytes)) {
    position -= 1;
    laterBytes += present(found[position], "a segment at its position").segment.lengthBytes;
  }
  return position;
}

/**
 * Returns whether a segment before the last one may have entries of several terms.
 *
 * If the last entry before a segment and the last one before the next segment have one term, and the
 * second has no smaller index, all entries between them have this term: they have one origin by the
 * log matching property (Raft §5.3), so nothing before the second one was replaced.
 */
function hasSeveralTerms(found: readonly FoundSegment[], position: number): boolean {
  const { base } = present(found[position], "a segment at its position").header;
  const next = present(found[position + 1], "a next segment").header;
  return next.base.term !== base.term || next.base.index < base.index;
}

/** Continues `state` after a segment whose entries all have one term, without reading them. */
function skipSegment(state: RecoveryState, found: FoundSegment, next: FoundSegment): void {
  const { path } = found.segment;
  checkChain(path, found.header, state.tail);
  applyHeader(path, found.header, state);
  state.segments.push(found.segment);
  state.entries.skipTo(next.header.base);
  state.hardState = next.header.hardState;
  state.tail = null;
}

/** Reads one segment and applies its header and items to `state`. */
async function readSegment(
  recovery: RecoveryDeps,
  state: RecoveryState,
  { segment, header, checksum, isLast }: FoundSegment & { readonly isLast: boolean },
): Promise<void> {
  const { path } = segment;
  const bytes = await recovery.disk.readFile(path);
  checkChain(path, header, state.tail);
  applyHeader(path, header, state);
  state.segments.push(segment);
  const { items, tail, isTorn } = readRecords(recovery, { segment, bytes, checksum });
  if (!isLast && isTorn) throw logCorrupt(path, tail.offset, "a valid record");
  replay(state, items);
  state.tail = tail;
  segment.lengthBytes = tail.offset;
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
    throw logCorrupt(`${recovery.directory}/${name}`, 0, `segment ${expected} before this segment`);
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

function checkOwner(path: string, header: SegmentHeader, expected: LogOwner): void {
  if (header.clusterId === expected.clusterId && header.memberId === expected.memberId) return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot use ${path}: expected the log of member ${expected.memberId} of cluster ${expected.clusterId}: it belongs to member ${header.memberId} of cluster ${header.clusterId}`,
  );
}

/** Checks the link to the previous segment, if that one was read. */
function checkChain(path: string, header: SegmentHeader, tail: LogTail | null): void {
  const isChained = tail === null || equalBytes(header.previousChecksum, tail.checksum);
  if (!isChained) throw logCorrupt(path, 0, "the checksum of the previous segment's last record");
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
  if (!isNext) throw logCorrupt(path, 0, "a header that continues the previous segment");
  state.hardState = header.hardState;
}

interface SegmentBytes {
  readonly segment: Segment;
  readonly bytes: Uint8Array;
  /** Checksum of the header. */
  readonly checksum: Uint8Array;
}

/** Reads the records of a segment up to its end, to preallocated zeros, or to a torn record. */
function readRecords(
  recovery: RecoveryDeps,
  { segment, bytes, checksum: headerChecksum }: SegmentBytes,
): { items: LogItem[]; tail: LogTail; isTorn: boolean } {
  const { path, salt } = segment;
  const items: LogItem[] = [];
  let checksum = headerChecksum;
  let offset = SEGMENT_HEADER_BYTES;
  let lastOffset = 0;
  let isTorn = false;
  for (;;) {
    const result = readRecord(recovery.hasher, bytes, { salt, offset });
    if (result.kind === "end") break;
    if (result.kind === "bad") {
      if (isZero(bytes, offset)) break; // Preallocated space that was not used.
      const valid = nextRecord(recovery.hasher, bytes, { salt, offset: offset + 1 });
      if (valid !== null)
        throw logCorrupt(path, offset, "a valid record before another valid record");
      recovery.log.warn("Truncated a torn record at the end of the log, left by a crash", {
        path,
        offsetBytes: offset,
        lengthBytes: bytes.length - offset,
      });
      isTorn = true;
      break;
    }
    if (!equalBytes(result.previousChecksum, checksum))
      throw logCorrupt(path, offset, "the checksum of the previous record");
    const found = decodeItems(result.payload, result.itemCount);
    addMark(segment, offset, found);
    for (const item of found) items.push(item);
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
