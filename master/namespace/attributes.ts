import type { Digest, LogIndex } from "../../shared/base/ids.ts";
import type { Attributes } from "../../shared/protocol/namespace-api.ts";
import type { DirectoryInode, FileInode, InodeRecord } from "./records.ts";
import type { State } from "./state.ts";

/** Index of the entry that last changed the inode; for a directory, also one that changed its entries. */
export function inodeVersion(state: State, inode: InodeRecord): LogIndex {
  if (inode.kind === "file") return inode.version;
  return Math.max(inode.version, state.directory(inode.id).version) as LogIndex;
}

/**
 * What `stat` says of an inode.
 *
 * @param at the index that is read: of a directory's record, which has no history, what is newer is
 *   left out where the inode has a value of its own.
 */
export function attributesOf(state: State, inode: InodeRecord, at: LogIndex): Attributes {
  return inode.kind === "file" ? fileAttributes(inode) : directoryAttributes(state, inode, at);
}

function fileAttributes(file: FileInode): Attributes {
  const { content } = file;
  return {
    kind: "file",
    ...commonAttributes(file),
    mtimeMs: file.mtimeMs,
    sizeBytes: file.sizeBytes,
    chunkSizeBytes: file.chunkSizeBytes,
    chunkCount: content.kind === "inline" ? 0 : content.chunkCount,
    isInline: content.kind === "inline",
    contentRoot: file.contentRoot as Digest,
    copiesWanted: file.copiesWanted,
  };
}

function directoryAttributes(state: State, directory: DirectoryInode, at: LogIndex): Attributes {
  const record = state.directory(directory.id);
  const isReadable = record.version <= at && record.version > directory.version;
  return {
    kind: "directory",
    ...commonAttributes(directory),
    mtimeMs: record.mtimeMs,
    entryCount: record.entryCount,
    ...(isReadable ? { ctimeMs: record.ctimeMs, version: record.version } : {}),
  };
}

function commonAttributes(inode: InodeRecord): {
  readonly [Name in
    | "mode"
    | "uid"
    | "gid"
    | "atimeMs"
    | "ctimeMs"
    | "version"
    | "storageClass"]: InodeRecord[Name];
} & { readonly inode: InodeRecord["id"] } {
  const { id, mode, uid, gid, atimeMs, ctimeMs, version, storageClass } = inode;
  return { inode: id, mode, uid, gid, atimeMs, ctimeMs, version, storageClass };
}
