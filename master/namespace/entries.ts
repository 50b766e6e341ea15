import { assert } from "../../shared/base/assert.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { RECLAIM_KIND } from "./change.ts";
import { createdEvent, removedEvent, renamedEvent } from "./feed-records.ts";
import { type ByteText, u64 } from "./keys.ts";
import type { InodeCommon, InodeRecord } from "./records.ts";

/** What a new inode has from the operation that makes it. */
export interface NewInode {
  readonly parent: InodeId;
  readonly name: ByteText;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly storageClass: string;
}

/** The fields that every new inode has, under an id of its own. */
export function newInode(change: Change, made: NewInode): InodeCommon {
  const id = change.totals.nextInode;
  change.updateTotals({ nextInode: (id + 1) as InodeId });
  const { parent, name, mode, uid, gid, storageClass } = made;
  const times = { atimeMs: change.nowMs, ctimeMs: change.nowMs };
  return { id, parent, name, mode, uid, gid, storageClass, ...times, version: change.index };
}

/** Puts a new inode into the tree, where its record says. The name is free. */
export function attachNew(change: Change, inode: InodeRecord): void {
  assert(inode.parent !== null, "a new inode has a directory");
  change.putNewInode(inode);
  addEntry(change, inode.parent, inode);
  countInode(change, inode, 1);
  change.addEvent(createdEvent(change, inode));
}

/** Takes an inode out of the tree: with all below it, it waits to be reclaimed. */
export function detach(change: Change, inode: InodeRecord): void {
  assert(inode.parent !== null, "the root stays");
  const isTree = inode.kind === "directory" && change.directory(inode.id).entryCount > 0;
  change.addEvent(removedEvent(change, inode, isTree));
  removeEntry(change, inode.parent, inode.name);
  change.putInode({ ...inode, parent: null, ctimeMs: change.nowMs, version: change.index });
  change.queueReclaim(RECLAIM_KIND.inode, u64(inode.id));
  countInode(change, inode, -1);
}

/** Moves an inode to a free name. */
export function moveEntry(
  change: Change,
  inode: InodeRecord,
  to: { readonly parent: InodeId; readonly name: ByteText },
): void {
  assert(inode.parent !== null, "the root stays");
  const { parent, name } = inode;
  removeEntry(change, parent, name);
  const moved = { ...inode, ...to, ctimeMs: change.nowMs, version: change.index };
  change.putInode(moved);
  addEntry(change, to.parent, moved);
  change.addEvent(renamedEvent(change, moved, { parent, name }));
}

/** The caller has resolved the name and found it free, or made it so. */
function addEntry(change: Change, parent: InodeId, inode: InodeRecord): void {
  change.putEntry(parent, inode.name, inode);
  touchDirectory(change, parent, 1);
}

function removeEntry(change: Change, parent: InodeId, name: ByteText): void {
  assert(change.entry(parent, name) !== undefined, "the name is taken");
  change.deleteEntry(parent, name);
  touchDirectory(change, parent, -1);
}

function touchDirectory(change: Change, id: InodeId, difference: number): void {
  const { entryCount } = change.directory(id);
  assert(entryCount + difference >= 0, "a directory has no fewer entries than none");
  change.putDirectory(id, {
    entryCount: entryCount + difference,
    mtimeMs: change.nowMs,
    ctimeMs: change.nowMs,
    version: change.index,
  });
}

/** Counts an inode that came (1) or went (-1). */
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
