import { equalBytes } from "../../shared/base/bytes.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import type { ByteText } from "./keys.ts";
import type { DirectoryInode, FileInode, InodeRecord } from "./records.ts";

/** The fields of every event. */
interface FeedCommon {
  /** The cluster's time in ms since 1970. Increases over all entries, except at a step of the clock. */
  readonly timeMs: number;
  readonly inode: InodeId;
  readonly inodeKind: InodeRecord["kind"];
  /** Null for the root. */
  readonly parent: InodeId | null;
  readonly name: ByteText;
}

/**
 * The effect of one operation, as the feed stores it. A watcher can follow the tree from these
 * records without another call. Paths are not stored, because a path costs time in proportion to
 * its depth: `readFeed` computes them for the watchers.
 */
export type FeedRecord =
  | (FeedCommon & {
      readonly kind: "created";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly mtimeMs: number;
      readonly storageClass: string;
      readonly sizeBytes: number;
      /** Null for a directory, and for an empty file of the default chunk size. */
      readonly contentRoot: Uint8Array | null;
    })
  | (FeedCommon & {
      readonly kind: "content";
      readonly mtimeMs: number;
      readonly sizeBytes: number;
      /** Null as in `created`. */
      readonly contentRoot: Uint8Array | null;
    })
  | (FeedCommon & { readonly kind: "removed"; readonly isTree: boolean })
  | (FeedCommon & {
      readonly kind: "renamed";
      readonly from: { readonly parent: InodeId; readonly name: ByteText };
    })
  | (FeedCommon & {
      readonly kind: "attributes";
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly mtimeMs: number;
      readonly atimeMs: number;
    })
  | (FeedCommon & { readonly kind: "storage-class"; readonly storageClass: string });

/** The values of a log entry that its events contain. */
interface EntryContext {
  /** The time of the entry, in ms since 1970. */
  readonly nowMs: number;
  /** The content root of an empty file of the default chunk size. */
  readonly emptyRoot: Uint8Array;
}

/** Returns the event of an inode that was added to the tree. */
export function createdEvent(context: EntryContext, inode: InodeRecord): FeedRecord {
  const isFile = inode.kind === "file";
  // One object literal, for speed: nearly every entry makes such an event.
  return {
    kind: "created",
    timeMs: context.nowMs,
    inode: inode.id,
    inodeKind: inode.kind,
    parent: inode.parent,
    name: inode.name,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtimeMs: isFile ? inode.mtimeMs : context.nowMs,
    storageClass: inode.storageClass,
    sizeBytes: isFile ? inode.sizeBytes : 0,
    contentRoot: isFile ? rootUnlessEmpty(context, inode) : null,
  };
}

/** Returns the event of a file whose bytes have changed. */
export function contentEvent(context: EntryContext, file: FileInode): FeedRecord {
  const { mtimeMs, sizeBytes } = file;
  const contentRoot = rootUnlessEmpty(context, file);
  return { ...commonOf(context, file), kind: "content", mtimeMs, sizeBytes, contentRoot };
}

/**
 * Returns the event of an inode that is about to be removed.
 *
 * @param isTree whether the inode is a directory that still has entries
 */
export function removedEvent(
  context: EntryContext,
  inode: InodeRecord,
  isTree: boolean,
): FeedRecord {
  return { ...commonOf(context, inode), kind: "removed", isTree };
}

/**
 * Returns the event of an inode that was moved.
 *
 * @param from the old directory and the old name of the inode
 */
export function renamedEvent(
  context: EntryContext,
  inode: InodeRecord,
  from: { readonly parent: InodeId; readonly name: ByteText },
): FeedRecord {
  const { parent, name } = from;
  return { ...commonOf(context, inode), kind: "renamed", from: { parent, name } };
}

/** Returns the event of an inode whose mode, owner or times were set. */
export function attributesEvent(
  context: EntryContext,
  inode: DirectoryInode | FileInode,
  mtimeMs: number,
): FeedRecord {
  const { mode, uid, gid, atimeMs } = inode;
  return { ...commonOf(context, inode), kind: "attributes", mode, uid, gid, mtimeMs, atimeMs };
}

/** Returns the event of an inode whose storage class was set. */
export function storageClassEvent(context: EntryContext, inode: InodeRecord): FeedRecord {
  const { storageClass } = inode;
  return { ...commonOf(context, inode), kind: "storage-class", storageClass };
}

function commonOf({ nowMs }: EntryContext, inode: InodeRecord): FeedCommon {
  const { id, kind, parent, name } = inode;
  return { timeMs: nowMs, inode: id, inodeKind: kind, parent, name };
}

function rootUnlessEmpty({ emptyRoot }: EntryContext, file: FileInode): Uint8Array | null {
  const { sizeBytes, contentRoot } = file;
  const isEmpty =
    sizeBytes === 0 && (contentRoot === emptyRoot || equalBytes(contentRoot, emptyRoot));
  return isEmpty ? null : contentRoot;
}
