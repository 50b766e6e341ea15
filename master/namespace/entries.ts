import { assert, present } from "../../shared/base/assert.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { createdEvent, removedEvent, renamedEvent } from "./feed-records.ts";
import { type ByteText, u64 } from "./keys.ts";
import { RECLAIM_KIND } from "./reclaim-queue.ts";
import type { EntryRecord, InodeCommon, InodeRecord } from "./records.ts";
import { releaseStagedTree, STAGED_ROOT } from "./staged-totals.ts";

/** The fields of a new inode that the operation determines. */
export interface NewInode {
  readonly parent: InodeId;
  readonly name: ByteText;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly storageClass: string;
}

/** Allocates an inode id and returns the fields that files and directories have in common. */
export function newInode(change: Change, fields: NewInode): InodeCommon {
  const id = change.totals.nextInode;
  change.updateTotals({ nextInode: (id + 1) as InodeId });
  const { parent, name, mode, uid, gid, storageClass } = fields;
  const times = { atimeMs: change.nowMs, ctimeMs: change.nowMs };
  return { id, parent, name, mode, uid, gid, storageClass, ...times, version: change.index };
}

/**
 * Adds a new inode to the tree, under its `parent` and `name`. The caller knows the name to be
 * free.
 */
export function attachNew(change: Change, inode: InodeRecord): void {
  assert(inode.parent !== null, "a new inode has a parent directory");
  change.putNewInode(inode);
  addEntry(change, inode.parent, inode);
  countInode(change, inode, 1);
  change.addEvent(createdEvent(change, inode));
}

/** Removes an inode from the tree, with everything below it, and queues it for `reclaim`. */
export function detach(change: Change, inode: InodeRecord): void {
  assert(inode.parent !== null, "the root is never removed");
  const isTree = inode.kind === "directory" && change.directory(inode.id).entryCount > 0;
  change.addEvent(removedEvent(change, inode, isTree));
  const { parent, name } = inode;
  const entry = existingEntry(change, parent, name);
  if (!change.deleteInode(inode, entry)) {
    change.deleteEntry(parent, name);
    change.putInode({ ...inode, parent: null, ctimeMs: change.nowMs, version: change.index });
    change.queueReclaim(RECLAIM_KIND.inode, u64(inode.id));
  }
  afterRemoval(change, parent, name);
  countInode(change, inode, -1);
}

/** Moves an inode to a free name. */
export function moveEntry(
  change: Change,
  inode: InodeRecord,
  to: { readonly parent: InodeId; readonly name: ByteText },
): void {
  assert(inode.parent !== null, "the root is never moved");
  const { parent, name } = inode;
  removeEntry(change, parent, name);
  const moved = { ...inode, ...to, ctimeMs: change.nowMs, version: change.index };
  change.putInode(moved);
  addEntry(change, to.parent, moved);
  change.addEvent(renamedEvent(change, moved, { parent, name }));
}

/** Adds a directory entry. The caller knows the name to be free. */
function addEntry(change: Change, parent: InodeId, inode: InodeRecord): void {
  change.putEntry(parent, inode.name, inode);
  touchDirectory(change, parent, 1);
}

function removeEntry(change: Change, parent: InodeId, name: ByteText): void {
  existingEntry(change, parent, name);
  change.deleteEntry(parent, name);
  afterRemoval(change, parent, name);
}

function existingEntry(change: Change, parent: InodeId, name: ByteText): EntryRecord {
  return present(change.entry(parent, name), "the directory has an entry of this name");
}

/** Updates what depends on the number of entries of a directory, from which `name` was removed. */
function afterRemoval(change: Change, parent: InodeId, name: ByteText): void {
  touchDirectory(change, parent, -1);
  if (parent === STAGED_ROOT) releaseStagedTree(change, name);
}

function touchDirectory(change: Change, id: InodeId, difference: number): void {
  const { entryCount } = change.directory(id);
  assert(entryCount + difference >= 0, "the entry count of a directory is not negative");
  change.putDirectory(id, {
    entryCount: entryCount + difference,
    mtimeMs: change.nowMs,
    ctimeMs: change.nowMs,
    version: change.index,
  });
}

/** Counts an inode that was added to the tree (1) or removed from it (-1). */
export function countInode(change: Change, inode: InodeRecord, difference: 1 | -1): void {
  const { fileCount, directoryCount, logicalBytes } = change.totals;
  if (inode.kind === "directory") {
    change.updateTotals({ directoryCount: directoryCount + difference });
    return;
  }
  change.updateTotals({
    fileCount: fileCount + difference,
    logicalBytes: logicalBytes + difference * inode.sizeBytes,
  });
}
