import { assert } from "../../shared/base/assert.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { type Change, RECLAIM_KIND, type ReclaimKind, reclaimKey } from "./change.ts";
import { dropReference } from "./chunks.ts";
import type { Reclaim } from "./command.ts";
import { countInode } from "./entries.ts";
import { isFeedTrimPending, oldestEvent, trimFeed } from "./feed-trim.ts";
import { dropTimeRows, historyFloorAt, needsTimeRow, recordTime } from "./history-floor.ts";
import {
  type ByteText,
  type ContentId,
  contentKey,
  directoryKey,
  entryPrefix,
  inodeKey,
  type Key,
  keyAfter,
  positionPrefix,
  prefixEnd,
  readU64,
  TABLE_BYTE,
  tombstoneKey,
  u64,
} from "./keys.ts";
import type { FileContent, InodeRecord, PositionRecord } from "./records.ts";
import type { State } from "./state.ts";
import {
  CONTENTS,
  DIRECTORIES,
  KEY_FIELDS,
  POSITIONS,
  RECLAIMS,
  TOMBSTONE_AGES,
  TOMBSTONES,
} from "./tables.ts";
import { ENTRIES, HISTORY, INODES } from "./tree-tables.ts";

/** One step: what it may still change, and the first of what it has queued itself. */
interface ReclaimStep {
  readonly change: Change;
  budget: number;
  queued: Key | null;
}

/** A row of the queue. */
interface QueueItem {
  readonly key: Key;
  /** When it went out of sight. */
  readonly index: LogIndex;
  readonly kind: ReclaimKind;
  readonly what: ByteText;
  /** How often it was queued under this index; 0 once its references are taken away. */
  readonly count: number;
}

const QUEUE = { start: TABLE_BYTE.reclaim as Key, end: prefixEnd(TABLE_BYTE.reclaim) };

/**
 * Gives back what no readable state shows any more, oldest first: old versions, replaced contents,
 * removed trees, events of the feed, and tombstones that the intent floor has passed. Changes
 * about `recordsMax` records; what is left is the next step's.
 *
 * Where the history has more than `versionsMax` rows the oldest become unreadable before their time.
 */
export function reclaim(change: Change, { recordsMax, versionsMax }: Reclaim): void {
  const step: ReclaimStep = { change, budget: recordsMax, queued: null };
  const oldest = oldestPendingIndex(change);
  if (oldest !== undefined && needsTimeRow(change, oldest, change.nowMs)) recordTime(change);
  const floor = raiseHistoryFloor(change, recordsMax, versionsMax);
  const end = reclaimEnd(floor);
  step.budget -= dropTimeRows(change, Math.ceil(recordsMax / 4));
  step.budget -= trimFeed(change, floor, Math.ceil(step.budget / 2));
  dropTombstones(step);
  let start: Key = QUEUE.start;
  while (step.budget > 0) {
    const items = change.rows(RECLAIMS, { start, end }, step.budget).map(toItem);
    for (const item of items) {
      if (step.budget > 0) reclaimItem(step, item);
    }
    const last = items.at(-1)?.key;
    if (last === undefined) return;
    // What was queued on the way may sort before what was read.
    start = step.queued !== null && step.queued < last ? step.queued : keyAfter(last);
    step.queued = null;
  }
}

/** Moves the floor on: to where the retention begins, and as far as the bound on versions asks. */
function raiseHistoryFloor(
  change: Change,
  recordsMax: number,
  versionsMax: number = Number.MAX_VALUE,
): LogIndex {
  const { historyFloor, historyVersions } = change.totals;
  const surplus = Math.min(Math.max(0, historyVersions - versionsMax), recordsMax);
  const last = change.rows(RECLAIMS, QUEUE, surplus).at(-1);
  const crowded = last === undefined ? 0 : queuedIndex(last.key);
  const floor = Math.max(historyFloorAt(change, change.nowMs), crowded) as LogIndex;
  if (floor > historyFloor) change.updateTotals({ historyFloor: floor });
  return floor;
}

/** Whether a reclaim proposed at `nowMs` with this bound would find work. */
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

/** The first index at which something happened that waits for the retention to pass. */
function oldestPendingIndex(state: State): LogIndex | undefined {
  const [queued] = state.rows(RECLAIMS, QUEUE, 1);
  const event = oldestEvent(state);
  if (queued === undefined) return event;
  const index = queuedIndex(queued.key);
  return event === undefined ? index : (Math.min(index, event) as LogIndex);
}

/** Past all that was queued at or before the floor: states from the floor on do not show it. */
const reclaimEnd = (floor: LogIndex): Key => (TABLE_BYTE.reclaim + u64(floor + 1)) as Key;
const tombstoneEnd = (floor: LogIndex): Key => (TABLE_BYTE.tombstoneAge + u64(floor)) as Key;
const queuedIndex = (key: Key): LogIndex => readU64(key, 1) as LogIndex;

function toItem({ key, value: count }: { readonly key: Key; readonly value: number }): QueueItem {
  const kind = key[9] as ReclaimKind;
  return { key, index: queuedIndex(key), kind, what: key.slice(10), count };
}

function reclaimItem(step: ReclaimStep, item: QueueItem): void {
  switch (item.kind) {
    case RECLAIM_KIND.history:
      reclaimVersion(step, item);
      return;
    case RECLAIM_KIND.content:
      reclaimContent(step, item);
      return;
    default:
      assert(item.kind === RECLAIM_KIND.inode, "the queue holds three kinds");
      reclaimInode(step, item);
  }
}

function finish(step: ReclaimStep, item: QueueItem): void {
  step.change.deleteUnversioned(RECLAIMS, item.key);
  step.change.countReclaimRows(-1);
  step.budget -= 1;
}

/** Queues a part of what an item stands for; it went out of sight with the item. */
function queuePart(
  step: ReclaimStep,
  item: QueueItem,
  part: { readonly kind: ReclaimKind; readonly what: ByteText },
): void {
  const { change } = step;
  const key = reclaimKey(item.index, part.kind, part.what);
  const before = change.get(RECLAIMS, key);
  change.putUnversioned(RECLAIMS, key, (before ?? 0) + 1);
  if (before === undefined) step.change.countReclaimRows(1);
  step.budget -= 1;
  if (step.queued === null || key < step.queued) step.queued = key;
}

/** An old version. One of a position held a reference. */
function reclaimVersion(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const history = item.what as Key;
  if (history[1] === TABLE_BYTE.position) {
    const old = change.get(HISTORY, history) as PositionRecord | undefined;
    assert(old !== undefined, "a queued version is in the history");
    dropPositionReference(step, old);
  }
  change.deleteUnreadable(HISTORY, history);
  step.budget -= 1;
  finish(step, item);
}

/** The chunk itself, its mirrors and purges where it was the last reference. */
function dropPositionReference(step: ReclaimStep, { chunkId }: PositionRecord): void {
  step.budget -= 1;
  dropReference(step.change, chunkId);
  if (step.change.chunk(chunkId) === undefined) step.budget -= 4;
}

/** A content that an inode held. With the last reference its positions go, as far as the step allows. */
function reclaimContent(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const id = readU64(item.what, 0) as ContentId;
  const referenceCount = step.change.content(id).referenceCount - item.count;
  assert(referenceCount >= 0, "a content has a reference for each time it was queued");
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

/** An inode that was taken out of the tree, with what is below it. */
function reclaimInode(step: ReclaimStep, item: QueueItem): void {
  const { change } = step;
  const id = readU64(item.what, 0) as InodeId;
  const inode = change.inode(id);
  assert(inode !== undefined, "a queued inode has its record");
  if (inode.kind === "directory" && !emptyDirectory(step, item, id)) return;
  removeInode(step, item, inode);
  finish(step, item);
}

/** @returns true once the directory is empty. */
function emptyDirectory(step: ReclaimStep, item: QueueItem, id: InodeId): boolean {
  const { change } = step;
  const start = entryPrefix(id);
  const limit = Math.max(step.budget, 1);
  for (const { key, value } of change.rows(ENTRIES, { start, end: prefixEnd(start) }, limit)) {
    if (step.budget <= 0) return false;
    change.deleteUnreadable(ENTRIES, key);
    step.budget -= 1;
    const child = change.inode(value.inode);
    assert(child !== undefined, "an entry has its inode");
    countInode(change, child, -1);
    if (child.kind === "file") removeInode(step, item, child);
    else queuePart(step, item, { kind: RECLAIM_KIND.inode, what: u64(child.id) });
  }
  return step.budget > 0;
}

/** Removes the records of a file or of an empty directory. */
function removeInode(step: ReclaimStep, item: QueueItem, inode: InodeRecord): void {
  const { change } = step;
  change.deleteUnreadable(INODES, inodeKey(inode.id));
  step.budget -= 1;
  if (inode.kind === "file") queueContent(step, item, inode.content);
  else change.deleteUnversioned(DIRECTORIES, directoryKey(inode.id));
}

/** The inode's reference to its content becomes that of a row of the queue. */
function queueContent(step: ReclaimStep, item: QueueItem, content: FileContent): void {
  if (content.kind === "inline") return;
  queuePart(step, item, { kind: RECLAIM_KIND.content, what: u64(content.contentId) });
}

/** Tombstones that say no more than the floor does. */
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
