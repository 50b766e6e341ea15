import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import type { OperationOf, StorageClass, Target } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import type { PutOperation } from "./command.ts";
import {
  type ContentFields,
  type CopyCounts,
  checkContent,
  contentOfPast,
  emptyFields,
  makeContent,
  releaseContent,
  shareContent,
} from "./contents.ts";
import {
  addDirectory,
  checkDepth,
  directoryTargetRefusal,
  nameTakenRefusal,
} from "./directories.ts";
import { attachNew, newInode } from "./entries.ts";
import { attributesEvent, contentEvent, storageClassEvent } from "./feed-records.ts";
import { readViewAt } from "./queries.ts";
import { raiseCopies } from "./raise-copies.ts";
import { type DirectoryInode, type FileInode, type InodeRecord, makeFileInode } from "./records.ts";
import { refusal } from "./refusal.ts";
import { PastView } from "./state.ts";
import { find, type ResolvedTarget, resolve } from "./tree.ts";

/** The fields of a new file that do not describe its content. */
interface NewFileFields {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  readonly atimeMs: number;
  readonly storageClass: StorageClass;
  /** Number of copies. Default: the number of the storage class. */
  readonly copiesWanted?: number;
}

/** Creates an empty file. @throws {Refusal} ALREADY_EXISTS, NOT_FOUND, NOT_A_DIRECTORY */
export function create(change: Change, operation: OperationOf<"create">): FileInode {
  const resolved = resolve(change, operation.target);
  if (resolved.inode !== undefined) {
    throw nameTakenRefusal(change, resolved.target, resolved.inode);
  }
  const { mode, uid, gid } = operation;
  const { nowMs } = change;
  const storageClass = classForNew(change, resolved, undefined);
  const attributes = { mode, uid, gid, mtimeMs: nowMs, atimeMs: nowMs, storageClass };
  return addFile(change, resolved, attributes, emptyFields(change));
}

/**
 * Writes the whole content of a new or an existing file. An existing file keeps its inode, mode,
 * owner and storage class, as after open(2) with O_TRUNC.
 *
 * @throws {Refusal} the errors of `checkContent`; ALREADY_EXISTS, IS_A_DIRECTORY, NOT_FOUND,
 *   NOT_A_DIRECTORY
 */
export function put(change: Change, operation: PutOperation): FileInode {
  const { content } = operation;
  return putContent(change, operation, (copies) => {
    checkContent(change, content, copies);
    return makeContent(change, content, copies);
  });
}

/** Writes the whole content of a file, which `makeFields` checks and makes: see `put`. */
export function putContent(
  change: Change,
  operation: Omit<PutOperation, "kind" | "content">,
  makeFields: (copies: CopyCounts) => ContentFields,
): FileInode {
  const resolved = resolve(change, operation.target);
  const file = fileToReplace(change, resolved, operation);
  const named = file === undefined ? operation.storageClass : file.storageClass;
  const storageClass = classForNew(change, resolved, named);
  const fields = makeFields(copyCountsOf(file, storageClass));
  const mtimeMs = operation.mtimeMs ?? change.nowMs;
  if (file !== undefined) return replaceContent(change, file, { ...fields, mtimeMs });
  const { mode, uid, gid } = operation;
  const attributes = { mode, uid, gid, mtimeMs, atimeMs: change.nowMs, storageClass };
  return addFile(change, resolved, attributes, fields);
}

/**
 * Returns the existing file whose content a `put`, `copy` or `restore` replaces. Undefined if the
 * name is free.
 *
 * @throws {Refusal} IS_A_DIRECTORY; ALREADY_EXISTS without `replace`
 */
function fileToReplace(
  change: Change,
  resolved: ResolvedTarget,
  options: { readonly replace: boolean },
): FileInode | undefined {
  const { inode, target } = resolved;
  if (inode?.kind === "directory") throw directoryTargetRefusal(change, target);
  if (inode !== undefined && !options.replace) throw nameTakenRefusal(change, target, inode);
  return inode;
}

/**
 * Returns the copy counts for a commit. An existing file keeps its wanted number of copies, which
 * was set together with its class. The minimum is always that of the class.
 */
export function copyCountsOf(file: FileInode | undefined, storageClass: StorageClass): CopyCounts {
  return {
    copiesWanted: file?.copiesWanted ?? storageClass.copies,
    copiesMin: storageClass.copiesMin,
  };
}

/**
 * Returns the storage class of a new file: the named class, or the class of the directory.
 *
 * @throws {Refusal} INVALID_ARGUMENT
 */
function classForNew(
  change: Change,
  resolved: ResolvedTarget,
  name: string | undefined,
): StorageClass {
  return storageClassOf(change, name ?? (resolved.parent as DirectoryInode).storageClass);
}

/** Returns a storage class by its name. @throws {Refusal} INVALID_ARGUMENT if it is not defined */
export function storageClassOf(change: Change, name: string): StorageClass {
  const storageClass = change.storageClass(name);
  if (storageClass !== undefined) return storageClass;
  throw refusal("class-unknown", { name });
}

function addFile(
  change: Change,
  resolved: ResolvedTarget,
  attributes: NewFileFields,
  fields: ContentFields,
): FileInode {
  checkDepth(change, resolved.depth);
  const { mode, uid, gid, mtimeMs, atimeMs, storageClass } = attributes;
  const parent = (resolved.parent as DirectoryInode).id;
  const owner = { mode, uid, gid, storageClass: storageClass.name };
  const common = newInode(change, { parent, name: resolved.name, ...owner });
  const { copiesWanted = storageClass.copies } = attributes;
  const file = makeFileInode(common, { mtimeMs, atimeMs, copiesWanted, ...fields });
  attachNew(change, file);
  return file;
}

/** Replaces the content of a file and releases the old content. */
function replaceContent(
  change: Change,
  file: FileInode,
  fields: ContentFields & { readonly mtimeMs: number },
): FileInode {
  releaseContent(change, file.content);
  return updateContent(change, file, fields);
}

/** Writes new content fields of a file. The caller has released or changed the old content. */
export function updateContent(
  change: Change,
  file: FileInode,
  fields: ContentFields & { readonly mtimeMs: number },
): FileInode {
  const changed = { ...file, ...fields, ctimeMs: change.nowMs, version: change.index };
  change.putInode(changed);
  change.addEvent(contentEvent(change, changed));
  const { logicalBytes } = change.totals;
  change.updateTotals({ logicalBytes: logicalBytes + fields.sizeBytes - file.sizeBytes });
  return changed;
}

/**
 * Copies a file to another name. The copy shares a content in chunks with the source, so the cost
 * does not depend on the size.
 *
 * @throws {Refusal} ALREADY_EXISTS, IS_A_DIRECTORY, NOT_FOUND, NOT_A_DIRECTORY
 */
export function copy(change: Change, operation: OperationOf<"copy">): FileInode {
  const from = find(change, operation.from);
  if (from.kind === "directory") throw directoryTargetRefusal(change, operation.from);
  const resolved = resolve(change, operation.to);
  if (resolved.inode?.id === from.id) return from;
  const file = fileToReplace(change, resolved, operation);
  const storageClass = classForNew(change, resolved, file?.storageClass);
  const { copiesWanted } = copyCountsOf(file, storageClass);
  shareContent(change, from.content);
  // The chunks already have the source's number of wanted copies. Usually this number suffices for
  // the copy.
  if (copiesWanted > from.copiesWanted) raiseCopies(change, from.content, copiesWanted);
  const { sizeBytes, chunkSizeBytes, contentRoot, content } = from;
  const fields = { sizeBytes, chunkSizeBytes, contentRoot, content };
  const times = operation.preserve ? from : { mtimeMs: change.nowMs, atimeMs: change.nowMs };
  const { mtimeMs, atimeMs } = times;
  const { uid, gid } = operation.preserve ? from : operation;
  const owned = { mode: from.mode, uid, gid, mtimeMs, atimeMs };
  if (file === undefined) return addFile(change, resolved, { ...owned, storageClass }, fields);
  const kept = operation.preserve ? { ...file, ...owned } : file;
  const copied = replaceContent(change, kept, { ...fields, mtimeMs });
  if (operation.preserve) change.addEvent(attributesEvent(change, copied, copied.mtimeMs));
  return copied;
}

/**
 * Restores the inode that a path had as of an index. A restored file has the past attributes and
 * refers to the chunks of the past content. A restored directory has no entries.
 *
 * @throws {Refusal} INDEX_EXPIRED, INVALID_ARGUMENT, TOO_LARGE, ALREADY_EXISTS, IS_A_DIRECTORY,
 *   NOT_FOUND, NOT_A_DIRECTORY
 */
export function restore(change: Change, operation: OperationOf<"restore">): InodeRecord {
  const { from, to, index, replace } = operation;
  const past = pastViewAt(change, index);
  const source = find(past, from);
  const resolved = resolve(change, to);
  if (source.kind === "directory") {
    if (resolved.inode !== undefined) {
      throw nameTakenRefusal(change, resolved.target, resolved.inode);
    }
    checkDepth(change, resolved.depth);
    return addDirectory(change, resolved.parent as DirectoryInode, resolved.name, source);
  }
  const file = fileToReplace(change, resolved, { replace });
  const fields = contentOfPast(change, { view: past, at: index }, source);
  const { mode, uid, gid, mtimeMs, atimeMs, storageClass, copiesWanted } = source;
  const kept = { mode, uid, gid, mtimeMs, atimeMs, storageClass, copiesWanted };
  if (file !== undefined) {
    const restored = replaceContent(change, { ...file, ...kept }, { ...fields, mtimeMs });
    change.addEvent(attributesEvent(change, restored, restored.mtimeMs));
    if (file.storageClass !== storageClass) change.addEvent(storageClassEvent(change, restored));
    return restored;
  }
  return addFile(
    change,
    resolved,
    { ...kept, storageClass: storageClassOf(change, storageClass) },
    fields,
  );
}

/** Returns the inode that a target had as of an index before this entry. @throws {Refusal} */
export function pastInode(change: Change, target: Target, index: LogIndex): InodeRecord {
  return find(pastViewAt(change, index), target);
}

/**
 * Returns the tree as of an index before this entry.
 *
 * @throws {Refusal} INDEX_EXPIRED, INVALID_ARGUMENT
 */
function pastViewAt(change: Change, index: LogIndex): PastView {
  const newest = (change.index - 1) as LogIndex;
  readViewAt(change, newest, index);
  return new PastView(change, index);
}

/** Sets mode, owner and times of an inode. Absent fields stay unchanged. */
export function setAttributes(
  change: Change,
  operation: OperationOf<"set-attributes">,
): InodeRecord {
  const inode = find(change, operation.target);
  const { mode = inode.mode, uid = inode.uid, gid = inode.gid } = operation;
  const { atimeMs = inode.atimeMs, mtimeMs } = operation;
  const times = { atimeMs, ctimeMs: change.nowMs, version: change.index };
  const changed = { ...inode, mode, uid, gid, ...times };
  if (changed.kind === "file") {
    const file = { ...changed, mtimeMs: mtimeMs ?? changed.mtimeMs };
    change.putInode(file);
    change.addEvent(attributesEvent(change, file, file.mtimeMs));
    return file;
  }
  change.putInode(changed);
  if (mtimeMs !== undefined) setDirectoryTime(change, inode.id, mtimeMs);
  change.addEvent(attributesEvent(change, changed, change.directory(inode.id).mtimeMs));
  return changed;
}

function setDirectoryTime(change: Change, id: InodeId, mtimeMs: number): void {
  const directory = change.directory(id);
  change.putDirectory(id, { ...directory, mtimeMs, ctimeMs: change.nowMs, version: change.index });
}

/**
 * Sets the storage class of an inode. A file gets the wanted number of copies of the class. For a
 * directory, only new entries inherit the class.
 *
 * @throws {Refusal} INVALID_ARGUMENT, NOT_FOUND, NOT_A_DIRECTORY
 */
export function setStorageClass(
  change: Change,
  operation: OperationOf<"set-storage-class">,
): InodeRecord {
  const inode = find(change, operation.target);
  const { name, copies } = storageClassOf(change, operation.storageClass);
  const changed = { ...inode, storageClass: name, ctimeMs: change.nowMs, version: change.index };
  change.addEvent(storageClassEvent(change, changed));
  if (changed.kind === "directory") {
    change.putInode(changed);
    return changed;
  }
  if (copies > changed.copiesWanted) raiseCopies(change, changed.content, copies);
  const file = { ...changed, copiesWanted: copies };
  change.putInode(file);
  return file;
}

/** Returns the file at `target`. @throws {Refusal} IS_A_DIRECTORY, NOT_FOUND, NOT_A_DIRECTORY */
export function findFile(change: Change, target: Target): FileInode {
  const inode = find(change, target);
  if (inode.kind === "directory") throw directoryTargetRefusal(change, target);
  return inode;
}
