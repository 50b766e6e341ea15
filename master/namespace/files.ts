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
  raiseCopies,
  releaseContent,
  shareContent,
} from "./contents.ts";
import { addDirectory, isDirectoryRefusal, nameTakenRefusal } from "./directories.ts";
import { attachNew, newInode } from "./entries.ts";
import { attributesEvent, contentEvent, storageClassEvent } from "./feed-records.ts";
import { readViewAt } from "./queries.ts";
import { type DirectoryInode, type FileInode, type InodeRecord, makeFileInode } from "./records.ts";
import { Refusal } from "./refusal.ts";
import { PastView } from "./state.ts";
import { find, type Place, resolve } from "./tree.ts";

/** What a new file has beside its content. */
interface NewFileFields {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  readonly atimeMs: number;
  readonly storageClass: StorageClass;
  /** Default: that of the class. */
  readonly copiesWanted?: number;
}

export function create(change: Change, operation: OperationOf<"create">): FileInode {
  const place = resolve(change, operation.target, "create");
  if (place.inode !== undefined) throw nameTakenRefusal(change, place.target);
  const { mode, uid, gid } = operation;
  const { nowMs } = change;
  const storageClass = classForNew(change, place, undefined);
  const making = { mode, uid, gid, mtimeMs: nowMs, atimeMs: nowMs, storageClass };
  return addFile(change, place, making, emptyFields(change));
}

/** The whole content of a file. One that is there keeps its inode, mode, owner and class, as if truncated. */
export function put(change: Change, operation: PutOperation): FileInode {
  const place = resolve(change, operation.target, "put");
  const file = fileToReplace(change, place, operation);
  const named = file === undefined ? operation.storageClass : file.storageClass;
  const storageClass = classForNew(change, place, named);
  const copies = copyCountsOf(file, storageClass);
  checkContent(change, operation.content, copies);
  const fields = makeContent(change, operation.content, copies);
  const mtimeMs = operation.mtimeMs ?? change.nowMs;
  if (file !== undefined) return replaceContent(change, file, { ...fields, mtimeMs });
  const { mode, uid, gid } = operation;
  const making = { mode, uid, gid, mtimeMs, atimeMs: change.nowMs, storageClass };
  return addFile(change, place, making, fields);
}

/** The file that a put or a copy takes the place of, if there is one. */
function fileToReplace(
  change: Change,
  place: Place,
  options: { readonly replace: boolean },
): FileInode | undefined {
  const { inode, target } = place;
  if (inode?.kind === "directory") throw isDirectoryRefusal(change, target);
  if (inode !== undefined && !options.replace) throw nameTakenRefusal(change, target);
  return inode;
}

/** What is wanted of a file that is there was settled with its class; the least is the class's. */
export function copyCountsOf(file: FileInode | undefined, storageClass: StorageClass): CopyCounts {
  return {
    copiesWanted: file?.copiesWanted ?? storageClass.copies,
    copiesMin: storageClass.copiesMin,
  };
}

/** The class by name, or that of the directory. @throws {Refusal} INVALID_ARGUMENT */
function classForNew(change: Change, place: Place, name: string | undefined): StorageClass {
  return storageClassOf(change, name ?? (place.parent as DirectoryInode).storageClass);
}

/** @throws {Refusal} INVALID_ARGUMENT if there is no such class */
export function storageClassOf(change: Change, name: string): StorageClass {
  const storageClass = change.storageClass(name);
  if (storageClass !== undefined) return storageClass;
  throw new Refusal(
    "INVALID_ARGUMENT",
    `Cannot use the storage class "${name}": expected one that is defined: it is not`,
  );
}

function addFile(
  change: Change,
  place: Place,
  making: NewFileFields,
  fields: ContentFields,
): FileInode {
  const { mode, uid, gid, mtimeMs, atimeMs, storageClass } = making;
  const parent = (place.parent as DirectoryInode).id;
  const owner = { mode, uid, gid, storageClass: storageClass.name };
  const made = newInode(change, { parent, name: place.name, ...owner });
  const { copiesWanted = storageClass.copies } = making;
  const file = makeFileInode(made, { mtimeMs, atimeMs, copiesWanted, ...fields });
  attachNew(change, file);
  return file;
}

/** Gives a file a content that differs from the one it holds. */
function replaceContent(
  change: Change,
  file: FileInode,
  fields: ContentFields & { readonly mtimeMs: number },
): FileInode {
  releaseContent(change, file.content);
  return updateContent(change, file, fields);
}

/** Writes what a file's content has become. */
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

/** A file's content under another name. In chunks it is shared, whatever its size. */
export function copy(change: Change, operation: OperationOf<"copy">): FileInode {
  const from = find(change, operation.from, "copy");
  if (from.kind === "directory") throw isDirectoryRefusal(change, operation.from);
  const place = resolve(change, operation.to, "copy to");
  if (place.inode?.id === from.id) return from;
  const file = fileToReplace(change, place, operation);
  const storageClass = classForNew(change, place, file?.storageClass);
  const { copiesWanted } = copyCountsOf(file, storageClass);
  shareContent(change, from.content);
  // A chunk is wanted in as many copies as the source wants, so mostly there is nothing to raise.
  if (copiesWanted > from.copiesWanted) raiseCopies(change, from.content, copiesWanted);
  const { sizeBytes, chunkSizeBytes, contentRoot, content } = from;
  const fields = { sizeBytes, chunkSizeBytes, contentRoot, content };
  const times = operation.preserve ? from : { mtimeMs: change.nowMs, atimeMs: change.nowMs };
  const { mtimeMs, atimeMs } = times;
  const { uid, gid } = operation.preserve ? from : operation;
  const owned = { mode: from.mode, uid, gid, mtimeMs, atimeMs };
  if (file === undefined) return addFile(change, place, { ...owned, storageClass }, fields);
  const kept = operation.preserve ? { ...file, ...owned } : file;
  const copied = replaceContent(change, kept, { ...fields, mtimeMs });
  if (operation.preserve) change.addEvent(attributesEvent(change, copied, copied.mtimeMs));
  return copied;
}

/**
 * What stood at a path as of an index, by reference: a file with its content and attributes, a
 * directory without its entries.
 */
export function restore(change: Change, operation: OperationOf<"restore">): InodeRecord {
  const { from, to, index, replace } = operation;
  const past = pastViewAt(change, index);
  const source = find(past, from, "restore");
  const place = resolve(change, to, "restore to");
  if (source.kind === "directory") {
    if (place.inode !== undefined) throw nameTakenRefusal(change, place.target);
    return addDirectory(change, place.parent as DirectoryInode, place.name, source);
  }
  const file = fileToReplace(change, place, { replace });
  const fields = contentOfPast(change, past, source);
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
    place,
    { ...kept, storageClass: storageClassOf(change, storageClass) },
    fields,
  );
}

/** @throws {Refusal} INDEX_EXPIRED, INVALID_ARGUMENT */
function pastViewAt(change: Change, index: LogIndex): PastView {
  const newest = (change.index - 1) as LogIndex;
  readViewAt(change, newest, index);
  return new PastView(change, index);
}

export function setAttributes(
  change: Change,
  operation: OperationOf<"set-attributes">,
): InodeRecord {
  const inode = find(change, operation.target, "set attributes of");
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

/** A file's chunks are wanted in as many copies as the class says; a directory's class is inherited. */
export function setStorageClass(
  change: Change,
  operation: OperationOf<"set-storage-class">,
): InodeRecord {
  const inode = find(change, operation.target, "set the storage class of");
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

/** The file at `target`. @throws {Refusal} IS_A_DIRECTORY, NOT_FOUND, NOT_A_DIRECTORY */
export function findFile(change: Change, target: Target, verb: string): FileInode {
  const inode = find(change, target, verb);
  if (inode.kind === "directory") throw isDirectoryRefusal(change, target);
  return inode;
}
