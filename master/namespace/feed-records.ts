import { equalBytes } from "../../shared/base/bytes.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import type { ByteText } from "./keys.ts";
import type { DirectoryInode, FileInode, InodeRecord } from "./records.ts";

/** What every event tells. */
interface FeedCommon {
  /** The leader's time, monotone over all entries. */
  readonly timeMs: number;
  readonly inode: InodeId;
  readonly inodeKind: InodeRecord["kind"];
  /** Null for the root. */
  readonly parent: InodeId | null;
  readonly name: ByteText;
}

/**
 * What one operation did, as the feed keeps it: enough to follow the tree without another call, but
 * for the paths, which `readFeed` works out when somebody watches. A path would cost every entry
 * its depth.
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
      /** Null for a directory, and for an empty file of the default chunk size: most begin as one. */
      readonly contentRoot: Uint8Array | null;
    })
  | (FeedCommon & {
      readonly kind: "content";
      readonly mtimeMs: number;
      readonly sizeBytes: number;
      /** Null as above. */
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

/** Where an event is made: the entry's time, and the root of empty files. */
interface EntryContext {
  readonly nowMs: number;
  readonly emptyRoot: Uint8Array;
}

/** An inode that has come into the tree. One literal: nearly every entry makes one. */
export function createdEvent(moment: EntryContext, inode: InodeRecord): FeedRecord {
  const isFile = inode.kind === "file";
  return {
    kind: "created",
    timeMs: moment.nowMs,
    inode: inode.id,
    inodeKind: inode.kind,
    parent: inode.parent,
    name: inode.name,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtimeMs: isFile ? inode.mtimeMs : moment.nowMs,
    storageClass: inode.storageClass,
    sizeBytes: isFile ? inode.sizeBytes : 0,
    contentRoot: isFile ? rootUnlessCommon(moment, inode) : null,
  };
}

/** A file whose bytes have changed. */
export function contentEvent(moment: EntryContext, file: FileInode): FeedRecord {
  const { mtimeMs, sizeBytes } = file;
  const contentRoot = rootUnlessCommon(moment, file);
  return { ...commonOf(moment, file), kind: "content", mtimeMs, sizeBytes, contentRoot };
}

/** An inode that is about to leave the tree. */
export function removedEvent(
  moment: EntryContext,
  inode: InodeRecord,
  isTree: boolean,
): FeedRecord {
  return { ...commonOf(moment, inode), kind: "removed", isTree };
}

/** An inode that is at another place now. */
export function renamedEvent(
  moment: EntryContext,
  inode: InodeRecord,
  from: { readonly parent: InodeId; readonly name: ByteText },
): FeedRecord {
  const { parent, name } = from;
  return { ...commonOf(moment, inode), kind: "renamed", from: { parent, name } };
}

/** An inode whose mode, owner or times were set. */
export function attributesEvent(
  moment: EntryContext,
  inode: DirectoryInode | FileInode,
  mtimeMs: number,
): FeedRecord {
  const { mode, uid, gid, atimeMs } = inode;
  return { ...commonOf(moment, inode), kind: "attributes", mode, uid, gid, mtimeMs, atimeMs };
}

export function storageClassEvent(moment: EntryContext, inode: InodeRecord): FeedRecord {
  const { storageClass } = inode;
  return { ...commonOf(moment, inode), kind: "storage-class", storageClass };
}

function commonOf({ nowMs }: EntryContext, inode: InodeRecord): FeedCommon {
  const { id, kind, parent, name } = inode;
  return { timeMs: nowMs, inode: id, inodeKind: kind, parent, name };
}

function rootUnlessCommon({ emptyRoot }: EntryContext, file: FileInode): Uint8Array | null {
  const { sizeBytes, contentRoot } = file;
  const isCommon =
    sizeBytes === 0 && (contentRoot === emptyRoot || equalBytes(contentRoot, emptyRoot));
  return isCommon ? null : contentRoot;
}
