import type { Digest, LogIndex } from "../../shared/base/ids.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { DirectoryInode, FileInode, InodeRecord } from "./records.ts";
import type { State } from "./state.ts";

/**
 * Returns the index of the log entry that last changed the inode. For a directory, a change of its
 * entries counts too.
 */
export function inodeVersion(state: State, inode: InodeRecord): LogIndex {
  if (inode.kind === "file") return inode.version;
  return Math.max(inode.version, state.directory(inode.id).version) as LogIndex;
}

/**
 * Returns the attributes of an inode, in the form that `stat` returns.
 *
 * @param at the index that is read. The directory record has no history. If it is newer than `at`,
 *   `ctimeMs` and `version` come from the inode record, and `mtimeMs` and `entryCount` are the
 *   current values.
 */
export function attributesOf(state: State, inode: InodeRecord, at: LogIndex): Attributes {
  return inode.kind === "file" ? fileAttributes(inode) : directoryAttributes(state, inode, at);
}

// One object literal for each kind: an object spread costs more than the rest of a `stat`.

function fileAttributes(file: FileInode): Attributes {
  const { content } = file;
  const isInline = content.kind === "inline";
  return {
    kind: "file",
    inode: file.id,
    mode: file.mode,
    uid: file.uid,
    gid: file.gid,
    mtimeMs: file.mtimeMs,
    atimeMs: file.atimeMs,
    ctimeMs: file.ctimeMs,
    version: file.version,
    storageClass: file.storageClass,
    sizeBytes: file.sizeBytes,
    chunkSizeBytes: file.chunkSizeBytes,
    chunkCount: isInline ? 0 : content.chunkCount,
    isInline,
    contentRoot: file.contentRoot as Digest,
    copiesWanted: file.copiesWanted,
  };
}

function directoryAttributes(state: State, directory: DirectoryInode, at: LogIndex): Attributes {
  const record = state.directory(directory.id);
  const isReadable = record.version <= at && record.version > directory.version;
  return {
    kind: "directory",
    inode: directory.id,
    mode: directory.mode,
    uid: directory.uid,
    gid: directory.gid,
    mtimeMs: record.mtimeMs,
    atimeMs: directory.atimeMs,
    ctimeMs: isReadable ? record.ctimeMs : directory.ctimeMs,
    version: isReadable ? record.version : directory.version,
    storageClass: directory.storageClass,
    entryCount: record.entryCount,
  };
}
