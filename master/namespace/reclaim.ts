import { assert, present } from "../../shared/base/assert.ts";
import type { InodeId, LogIndex, SessionId } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { dropReference } from "./chunks.ts";
import type { Reclaim } from "./command.ts";
import { countInode, detach } from "./entries.ts";
import { isFeedTrimPending, oldestEvent, trimFeed } from "./feed-trim.ts";
import { dropTimeRows, historyFloorAt, needsTimeRow, recordTime } from "./history-floor.ts";
import {
  type ByteText,
  type ContentId,
  contentKey,
  directoryKey,
  entryKey,
  entryPrefix,
  historyKey,
  inodeKey,
  type Key,
  keyAfter,
  positionPrefix,
  prefixEnd,
  readU64,
  stagedPrefix,
  TABLE_BYTE,
  tombstoneKey,
  u64,
} from "./keys.ts";
import { continueRaise } from "./raise-copies.ts";
import {
  kindOf,
  QUEUED,
  RECLAIM_KIND,
  type ReclaimKind,
  reclaimKey,
  removedOf,
} from "./reclaim-queue.ts";
import type { FileContent, InodeRecord, PositionRecord } from "./records.ts";
import { stagedTreesOf } from "./staged-totals.ts";
import { deleteStagedRow } from "./staging.ts";
import type { State } from "./state.ts";
import {
  CONTENTS,
  DIRECTORIES,
  KEY_FIELDS,
  POSITIONS,
  RECLAIMS,
  STAGED,
  TOMBSTONE_AGES,
  TOMBSTONES,
} from "./tables.ts";
import { ENTRIES, HISTORY, INODES } from "./tree-tables.ts";

/** Entry, directory, inode, totals, event, and three rows of the history and the queue. */
const RECORDS_OF_DETACH = 8;

/** Position, chunk, and row of the under-replicated table. */
const RECORDS_OF_RAISE = 3;

/** The state of one reclaim step. */
interface ReclaimStep {
  readonly change: Change;
  /** Records that the step may still change. */
  budget: number;
  /** The keys that the step itself has queued since it began to read the queue. */
  readonly queued: Set<Key>;
}

/** A row of the reclaim queue. */
interface QueueItem {
  readonly key: Key;
  /** Index of the entry that made the subject invisible. */
  readonly index: LogIndex;
  readonly kind: ReclaimKind;
  /** A history key, a content id, an inode id, a session id or a `Raise`, depending on `kind`. */
  readonly subject: ByteText;
  /**
   * Number of times that the entry queued the subject. 0: the references were already subtracted. The kind
   * "removed" has no such number.
   */
  readonly count: number;
}

const QUEUE = { start: TABLE_BYTE.reclaim as Key, end: prefixEnd(TABLE_BYTE.reclaim) };

/**
 * Reclaims data that no readable state shows, oldest first: old versions, replaced contents,
 * removed trees, events of the feed, and tombstones below the intent floor. Changes about
 * `recordsMax` records. The next step continues with the rest.
 *
 * If the history has more than `versionsMax` rows, the oldest states become unreadable before the
 * retention has passed.
 */
export function reclaim(change: Change, { recordsMax, versionsMax }: Reclaim): void {
  const step: ReclaimStep = { change, budget: recordsMax, queued: new Set() };
  const oldest = oldestPendingIndex(change);
  if (oldest !== undefined && needsTimeRow(change, oldest, change.nowMs)) recordTime(change);
  const floor = raiseHistoryFloor(change, recordsMax, versionsMax);
  const end = reclaimEnd(floor);
  step.budget -= dropTimeRows(change, Math.ceil(recordsMax / 4));
  step.budget -= trimFeed(change, floor, Math.ceil(step.budget / 2));
  dropTombstones(step);
  let start: Key = QUEUE.start;
  while (step.budget > 0) {
    let last: Key | undefined;
    for (const item of queuedItems(step, { start, end }, step.budget)) {
      if (step.budget <= 0) return;
      reclaimItem(step, item);
      last = item.key;
    }
    if (last === undefined) return;
    // The items may have queued rows that sort before the last one.
    const queued = [...step.queued].sort()[0];
    start = queued !== undefined && queued < last ? queued : keyAfter(last);
    step.queued.clear();
  }
}

/** Rows of the queue that are read together. Most steps need a part of the rows that they may change. */
const QUEUE_ROWS = 64;

/** Yields at most `limit` items that were in the queue before the first of them is reclaimed. */
function* queuedItems(
  { change, queued }: ReclaimStep,
  range: { readonly start: Key; readonly end: Key },
  limit: number,
): Generator<QueueItem, void, void> {
  let { start } = range;
  const rowsMax = Math.min(QUEUE_ROWS, limit);
  for (let count = 0; count < limit; ) {
    const rows = change.rows(QUEUED, { start, end: range.end }, rowsMax);
    for (const row of rows) {
      if (count === limit) return;
      if (queued.has(row.key)) continue;
      count += 1;
      yield toItem(row);
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    start = keyAfter(last.key);
  }
}

/** Raises the history floor to the start of the retention, or higher to obey `versionsMax`. */
function raiseHistoryFloor(
  change: Change,
  recordsMax: number,
  versionsMax: number = Number.MAX_VALUE,
): LogIndex {
  const { historyFloor, historyVersions } = change.totals;
  const surplus = Math.min(Math.max(0, historyVersions - versionsMax), recordsMax);
  const last = change.rows(QUEUED, QUEUE, surplus).at(-1);
  const crowded = last === undefined ? 0 : queuedIndex(last.key);
  const floor = Math.max(historyFloorAt(change, change.nowMs), crowded) as LogIndex;
  if (floor > historyFloor) change.updateTotals({ historyFloor: floor });
  return floor;
}

/** Returns whether `reclaim` with this time and bound would change something. */
export function isReclaimPending(
  state: State,
  nowMs: number,
  versionsMax: number = Number.MAX_VALUE,
): boolean {
  const { intentFloor, historyVersions } = state.totals;
  const ages = { start: TABLE_BYTE.tombstoneAge as Key, end: tombstoneEnd(intentFloor) };
  if (state.rows(TOMBSTONE_AGES, ages, 1).length > 0) return true;
  const oldest = oldestPendingIndex(state);
  if (oldest === undefined) return false;
  if (historyVersions > versionsMax) return true;
  const floor = historyFloorAt(state, nowMs);
  if (oldest <= floor || needsTimeRow(state, oldest, nowMs)) return true;
  return isFeedTrimPending(state, floor);
}

/** Returns the lowest index of the reclaim queue and the feed. Undefined if both are empty. */
function oldestPendingIndex(state: State): LogIndex | undefined {
  const [queued] = state.rows(QUEUED, QUEUE, 1);
  const event = oldestEvent(state);
  if (queued === undefined) return event;
  const index = queuedIndex(queued.key);
  return event === undefined ? index : (Math.min(index, event) as LogIndex);
}

/**
 * Returns the end of the queue rows that were queued at or before the floor. States from the floor
 * on do not show their subjects.
 */
const reclaimEnd = (floor: LogIndex): Key => (TABLE_BYTE.reclaim + u64(floor + 1)) as Key;
const tombstoneEnd = (floor: LogIndex): Key => (TABLE_BYTE.tombstoneAge + u64(floor)) as Key;
const queuedIndex = (key: Key): LogIndex => readU64(key, 1) as LogIndex;

function toItem({ key, value: count }: { readonly key: Key; readonly value: number }): QueueItem {
  return { key, index: queuedIndex(key), kind: kindOf(key), subject: key.slice(10), count };
}

function reclaimItem(step: ReclaimStep, item: QueueItem): void {
  switch (item.kind) {
    case RECLAIM_KIND.history:
      reclaimVersion(step, item);
      return;
    case RECLAIM_KIND.content:
      reclaimContent(step, item);
      return;
    case RECLAIM_KIND.staged:
      reclaimStaged(step, item);
      return;
    case RECLAIM_KIND.copies:
      continueRaiseOf(step, item);
      return;
    case RECLAIM_KIND.inode:
      reclaimInode(step, item);
      return;
    default:
      assert(item.kind === RECLAIM_KIND.removed, "the queue has six kinds of rows");
      reclaimRemoved(step, item);
  }
}

/** Removes an item whose subject is fully reclaimed. */
function finish(step: ReclaimStep, item: QueueItem): void {
  step.change.deleteUnversioned(RECLAIMS, item.key);
  step.change.countReclaimRows(-1);
  step.budget -= 1;
}

/** Queues a part of an item's subject, under the item's index: both became invisible together. */
function queuePart(
  step: ReclaimStep,
  item: QueueItem,
  part: { readonly kind: ReclaimKind; readonly subject: ByteText },
): void {
  const { change } = step;
  const key = reclaimKey(item.index, part.kind, part.subject);
  const before = change.get(RECLAIMS, key);
  change.putUnversioned(RECLAIMS, key, (before ?? 0) + 1);
  if (before === undefined) step.change.countReclaimRows(1);
  step.budget -= 1;
  step.queued.add(key);
}

/** Deletes a superseded version from the history. The version of a position holds a reference. */
function reclaimVersion(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const history = item.subject as Key;
  if (history[1] === TABLE_BYTE.position) {
    const old = change.get(HISTORY, history) as PositionRecord | undefined;
    assert(old !== undefined, "the history has every queued version");
    dropPositionReference(step, old);
  }
  change.deleteUnreadable(HISTORY, history);
  step.budget -= 1;
  finish(step, item);
}

/**
 * Drops the chunk reference of a position. The last reference also removes the chunk's other rows.
 */
function dropPositionReference(step: ReclaimStep, { chunkId }: PositionRecord): void {
  step.budget -= 1;
  dropReference(step.change, chunkId);
  if (step.change.chunk(chunkId) === undefined) step.budget -= 4;
}

/**
 * Subtracts the references of an item from its content. At 0 references, deletes the positions as
 * far as the budget allows, and the content after its last position.
 */
function reclaimContent(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const id = readU64(item.subject, 0) as ContentId;
  const referenceCount = step.change.content(id).referenceCount - item.count;
  assert(referenceCount >= 0, "a content has a reference for each time that it was queued");
  if (item.count > 0) {
    change.putUnversioned(CONTENTS, contentKey(id), { referenceCount });
    change.putUnversioned(RECLAIMS, item.key, 0);
    step.budget -= 2;
  }
  if (referenceCount > 0) {
    finish(step, item);
    return;
  }
  const start = positionPrefix(id);
  const rows = change.rows(POSITIONS, { start, end: prefixEnd(start) }, Math.max(step.budget, 1));
  for (const { key, value } of rows) {
    if (step.budget <= 0) return;
    dropPositionReference(step, value);
    change.deleteUnreadable(POSITIONS, key);
    step.budget -= 1;
  }
  if (step.budget <= 0) return;
  change.deleteUnversioned(CONTENTS, contentKey(id));
  finish(step, item);
}

/** Raises the wanted copies of the chunks of a long file, as far as the budget allows. */
function continueRaiseOf(step: ReclaimStep, item: QueueItem): void {
  const limit = Math.max(Math.floor(step.budget / RECORDS_OF_RAISE), 1);
  const { count, rest } = continueRaise(step.change, item.subject, limit);
  step.budget -= count * RECORDS_OF_RAISE;
  finish(step, item);
  if (rest !== null) queuePart(step, item, { kind: RECLAIM_KIND.copies, subject: rest });
}

/**
 * Deletes the unfinished uploads and trees of a closed session, as far as the budget allows. Their
 * contents and tops become items of their own.
 */
function reclaimStaged(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const sessionId = readU64(item.subject, 0) as SessionId;
  const start = stagedPrefix(sessionId);
  const limit = Math.max(step.budget, 1);
  for (const { key, value } of change.rows(STAGED, { start, end: prefixEnd(start) }, limit)) {
    if (step.budget <= 0) return;
    deleteStagedRow(change, sessionId, { key, record: value });
    step.budget -= 3;
    queuePart(step, item, { kind: RECLAIM_KIND.content, subject: u64(value.contentId) });
  }
  for (const { value } of change.rows(ENTRIES, stagedTreesOf(sessionId), limit)) {
    if (step.budget <= 0) return;
    detach(change, present(change.inode(value.inode), "every entry has an inode"));
    step.budget -= RECORDS_OF_DETACH;
  }
  if (step.budget <= 0) return;
  finish(step, item);
}

/**
 * Deletes an inode that was removed from the tree, and everything below it. The history has its record and its
 * directory entry.
 */
function reclaimRemoved(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const { id, parent, name, hasParts } = removedOf(item.subject);
  const record = historyKey(inodeKey(id), item.index);
  if (hasParts) {
    const inode = change.get(HISTORY, record) as InodeRecord | undefined;
    assert(inode !== undefined, "the history has the record of every removed inode");
    if (inode.kind === "directory" && !emptyDirectory(step, item, id)) return;
    releaseInode(step, item, inode);
  }
  change.deleteUnreadable(HISTORY, historyKey(entryKey(parent, name), item.index));
  change.deleteUnreadable(HISTORY, record);
  step.budget -= 2;
  finish(step, item);
}

/**
 * Deletes an inode of the kind "inode" (see `RECLAIM_KIND`), and everything below it. Rows of the kind
 * "history" name its old versions.
 */
function reclaimInode(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const id = readU64(item.subject, 0) as InodeId;
  const inode = change.inode(id);
  assert(inode !== undefined, "the state has the record of every queued inode");
  if (inode.kind === "directory" && !emptyDirectory(step, item, id)) return;
  removeInode(step, item, inode);
  finish(step, item);
}

/**
 * Deletes the entries of a removed directory, with the files. Queues subdirectories as items of
 * their own.
 *
 * @returns whether the directory is empty
 */
function emptyDirectory(step: ReclaimStep, item: QueueItem, id: InodeId): boolean {
  const { change } = step;
  const start = entryPrefix(id);
  const limit = Math.max(step.budget, 1);
  for (const { key, value } of change.rows(ENTRIES, { start, end: prefixEnd(start) }, limit)) {
    if (step.budget <= 0) return false;
    change.deleteUnreadable(ENTRIES, key);
    step.budget -= 1;
    const child = change.inode(value.inode);
    assert(child !== undefined, "every entry has an inode");
    countInode(change, child, -1);
    if (child.kind === "file") removeInode(step, item, child);
    else queuePart(step, item, { kind: RECLAIM_KIND.inode, subject: u64(child.id) });
  }
  return step.budget > 0;
}

/** Deletes the records of a file or of an empty directory. */
function removeInode(step: ReclaimStep, item: QueueItem, inode: InodeRecord): void {
  const { change } = step;
  change.deleteUnreadable(INODES, inodeKey(inode.id));
  step.budget -= 1;
  releaseInode(step, item, inode);
}

/** Deletes what belongs to a deleted inode: the content of a file, the directory record of a directory. */
function releaseInode(step: ReclaimStep, item: QueueItem, inode: InodeRecord): void {
  if (inode.kind === "file") queueContent(step, item, inode.content);
  else step.change.deleteUnversioned(DIRECTORIES, directoryKey(inode.id));
}

/** Queues the content of a deleted inode. The inode's reference now belongs to the queue row. */
function queueContent(step: ReclaimStep, item: QueueItem, content: FileContent): void {
  if (content.kind === "inline") return;
  queuePart(step, item, { kind: RECLAIM_KIND.content, subject: u64(content.contentId) });
}

/** Deletes tombstones below the intent floor: the floor already refuses their intents. */
function dropTombstones(step: ReclaimStep): void {
  const { change } = step;
  const start = TABLE_BYTE.tombstoneAge as Key;
  const range = { start, end: tombstoneEnd(change.totals.intentFloor) };
  for (const { key } of change.rows(TOMBSTONE_AGES, range, Math.ceil(step.budget / 2))) {
    change.deleteUnversioned(TOMBSTONE_AGES, key);
    change.deleteUnversioned(TOMBSTONES, tombstoneKey(KEY_FIELDS.chunkOfTombstoneAge(key)));
    step.budget -= 2;
  }
}
