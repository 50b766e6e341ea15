import { assert, present } from "../../shared/base/assert.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import { REPLACE_HINT } from "../lost-entries.ts";
import { type HardState, INDEX_ZERO, NO_MEMBER, TERM_ZERO } from "../raft/messages.ts";
import { LeftOutSegments } from "./left-out-segments.ts";
import { LogEntries } from "./log-entries.ts";
import { isWrongKind } from "./log-failure.ts";
import type { LogItem } from "./log-record.ts";
import { logCorrupt, type Segment } from "./segment.ts";
import {
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  sequenceOfFileName,
} from "./segment-header.ts";
import { type LogTail, readRecords } from "./segment-records.ts";

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
  /** The segments before the first one that cannot be used because of damage. */
  readonly leftOut: LeftOutSegments;
}

/** The last segments, which are never left out: a record may be torn, and they have the last votes. */
const STRICT_SEGMENT_COUNT = 2;

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
  /** See `NewestSegment.sequence`. */
  readonly newestSequence: number;
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
 * Damage before the last two segments leaves out the segments up to it (`RecoveredLog.leftOut`). A sector that the
 * disk cannot read counts as damage. The caller decides whether the log may begin after them.
 *
 * Of older segments with entries of one term only the headers are read (`hasSeveralTerms`).
 *
 * @throws {AshlarError} LOG_CORRUPT with path and offset; DISK_FAILED; WRONG_IDENTITY; VERSION_MISMATCH
 */
export async function recoverLog(recovery: RecoveryDeps): Promise<RecoveredLog> {
  const leftOut = new LeftOutSegments();
  const found = await findSegments(recovery, leftOut);
  const state: RecoveryState = {
    entries: new LogEntries({ index: INDEX_ZERO, term: TERM_ZERO }),
    hardState: NO_HARD_STATE,
    segments: [],
    tail: null,
    leftOut,
  };
  const cachedPosition = firstCachedPosition(found, recovery.cacheBytes);
  const resetPosition = found.findLastIndex(({ header }) => header.isReset);
  for (const [position, segment] of found.entries()) {
    if (position < resetPosition) state.segments.push(segment.segment);
    else if (position >= cachedPosition || hasSeveralTerms(found, position)) {
      const place = { isLast: position === found.length - 1, isStrict: isStrict(found, position) };
      await readSegment(recovery, state, { ...segment, ...place });
    } else
      skipSegment(state, segment, present(found[position + 1], "a skipped segment has a next"));
    // Entries that are not committed may be replaced, so they stay in memory if they were read.
    const { entries, hardState } = state;
    entries.evict(entries.evictionPoint(hardState.commitIndex, recovery.cacheBytes));
  }
  const { entries, hardState, segments, tail } = state;
  if (leftOut.error !== null && segments.length < STRICT_SEGMENT_COUNT) throw leftOut.error;
  if (hardState.commitIndex > entries.lastIndex) {
    const path = segments.at(-1)?.path ?? recovery.directory;
    throw logCorrupt(path, 0, "committed entries at the end of the log");
  }
  entries.copyData();
  return { entries, hardState, segments, tail, leftOut };
}

/** State after the segments that were read so far. */
interface RecoveryState {
  readonly entries: LogEntries;
  hardState: HardState;
  /** The segments that continue each other, up to the last one that was read. */
  readonly segments: Segment[];
  /** Null if no segment was read or the last one was skipped. */
  tail: LogTail | null;
  readonly leftOut: LeftOutSegments;
}

/** A segment whose header was read. */
interface FoundSegment {
  readonly segment: Segment;
  readonly header: SegmentHeader;
  /** Checksum of the header. */
  readonly checksum: Uint8Array;
}

/** Returns whether damage of this segment is always an error: it has the last votes of this member. */
function isStrict(all: readonly unknown[], position: number): boolean {
  return position >= all.length - STRICT_SEGMENT_COUNT;
}

/** Returns the error of a segment whose bytes are wrong or cannot be read. Null for another error. */
function damageOf(path: string, error: unknown): AshlarError | null {
  if (isAshlarError(error, "LOG_CORRUPT")) return error;
  if (!isAshlarError(error)) return null;
  const { code, message, details } = error;
  // A name that is listed and does not exist is a dangling link.
  if (code === "NOT_FOUND" || isWrongKind(error)) {
    return logCorrupt(path, 0, `a regular file: ${message}`);
  }
  const isUnreadable = code === "DISK_FAILED" && details["errno"] === "EIO";
  if (!isUnreadable) return null;
  return new AshlarError(code, message, { cause: error, details, hint: REPLACE_HINT });
}

/** Reads the headers of the segments. @returns those after the last damaged header, oldest first */
async function findSegments(
  recovery: RecoveryDeps,
  leftOut: LeftOutSegments,
): Promise<FoundSegment[]> {
  const { directory } = recovery;
  const entries = await recovery.disk.list(directory);
  const names = entries.map(({ name }) => name).filter((name) => sequenceOfFileName(name) !== null);
  checkNewest(recovery, names.at(-1));
  const found: FoundSegment[] = [];
  const leaveOut = (error: AshlarError, damaged: readonly string[]): void => {
    leftOut.add(error, { damaged, intact: found.splice(0).map(({ segment }) => segment.path) });
  };
  let expected: number | null = null;
  for (const [position, name] of names.entries()) {
    const path = `${directory}/${name}`;
    if (expected !== null && sequenceOf(name) !== expected) {
      leaveOut(logCorrupt(path, 0, `segment ${expected} before this segment`), []);
    }
    expected = sequenceOf(name) + 1;
    try {
      const place = { name, isFirst: position === 0, isLast: position === names.length - 1 };
      const segment = await findSegment(recovery, place);
      if (segment !== null) found.push(segment);
    } catch (error) {
      const damage = damageOf(path, error);
      if (damage === null || isStrict(names, position)) throw damage ?? error;
      leaveOut(damage, [path]);
    }
  }
  return found;
}

/** @throws {AshlarError} LOG_CORRUPT if the last segments of the log are missing */
function checkNewest(
  { directory, newestSequence }: RecoveryDeps,
  lastName: string | undefined,
): void {
  if (lastName !== undefined && sequenceOf(lastName) >= newestSequence) return;
  if (newestSequence === 0) return;
  const path = lastName === undefined ? directory : `${directory}/${lastName}`;
  throw logCorrupt(path, 0, `segment ${newestSequence} at the end of the log`);
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
    const wasComplete = sequenceOf(name) <= recovery.newestSequence;
    if (!isLast || isOnly || wasComplete || lengthBytes > SEGMENT_HEADER_BYTES) {
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
  while (position > 0 && (isStrict(found, position - 1) || laterBytes < cacheBytes)) {
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
  beginSegment(state, found);
  state.entries.skipTo(next.header.base);
  state.hardState = next.header.hardState;
  state.tail = null;
}

/** Reads one segment and applies its header and items to `state`. */
async function readSegment(
  recovery: RecoveryDeps,
  state: RecoveryState,
  found: FoundSegment & { readonly isLast: boolean; readonly isStrict: boolean },
): Promise<void> {
  const { segment, checksum } = found;
  beginSegment(state, found);
  try {
    const bytes = await recovery.disk.readFile(segment.path);
    const { items, tail } = readRecords(recovery.hasher, { segment, bytes, checksum });
    if (tail.isTorn) reportTorn(recovery, segment.path, tail, found.isLast);
    replay(state, items);
    state.tail = tail;
    segment.lengthBytes = tail.offset;
  } catch (error) {
    const damage = damageOf(segment.path, error);
    if (damage === null || found.isStrict) throw damage ?? error;
    leaveOut(state, damage);
  }
}

/** Warns that a record is torn. @throws {AshlarError} LOG_CORRUPT if it is not in the last segment */
function reportTorn(recovery: RecoveryDeps, path: string, tail: LogTail, isLast: boolean): void {
  const { offset: offsetBytes } = tail;
  if (!isLast) throw logCorrupt(path, offsetBytes, "a valid record");
  const lengthBytes = tail.lengthBytes - offsetBytes;
  recovery.log.warn("Truncated a torn record at the end of the log, left by a crash", {
    path,
    offsetBytes,
    lengthBytes,
  });
}

/** Leaves out all segments so far, the last of which is damaged. The next one is then the first. */
function leaveOut(state: RecoveryState, error: AshlarError): void {
  const paths = state.segments.splice(0).map(({ path }) => path);
  state.leftOut.add(error, { damaged: paths.slice(-1), intact: paths.slice(0, -1) });
  state.tail = null;
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

/**
 * Applies a segment header. The first segment, and one with the reset flag, replace the state. Any other
 * continues the previous one: if it does not, the end of that one is missing.
 */
function beginSegment(state: RecoveryState, { segment, header }: FoundSegment): void {
  const previous = state.segments.at(-1);
  const missing = previous === undefined ? null : missingBefore(state, header);
  if (previous !== undefined && missing !== null) {
    leaveOut(state, logCorrupt(previous.path, previous.lengthBytes, missing));
  }
  if (state.segments.length === 0 || header.isReset) state.entries.reset(header.base);
  state.segments.push(segment);
  state.hardState = header.hardState;
}

/** Returns what the previous segment lacks for one with this header. Null if it lacks nothing. */
function missingBefore(state: RecoveryState, header: SegmentHeader): string | null {
  const { entries, hardState, tail } = state;
  if (tail !== null && !equalBytes(header.previousChecksum, tail.checksum)) {
    return "the last record, whose checksum is in the next segment";
  }
  const isNext =
    entries.lastIndex === header.base.index &&
    entries.lastTerm === header.base.term &&
    hardState.term === header.hardState.term &&
    hardState.votedFor === header.hardState.votedFor;
  return isNext || header.isReset ? null : "the records before the next segment";
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
