import type { OperationOf, Target } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import { attachNew, detach, newInode } from "./entries.ts";
import type { ByteText } from "./keys.ts";
import type { DirectoryInode, InodeRecord } from "./records.ts";
import { pathRefusal, Refusal } from "./refusal.ts";
import { find, resolve, showTarget, targetNames } from "./tree.ts";

export function makeDirectory(
  change: Change,
  operation: OperationOf<"make-directory">,
): DirectoryInode {
  if (operation.parents) return makeDirectories(change, operation);
  const place = resolve(change, operation.target, "make the directory");
  if (place.inode !== undefined) throw nameTakenRefusal(change, place.target);
  return addDirectory(change, place.parent as DirectoryInode, place.name, operation);
}

/** mkdir -p. Walks down, and makes what is missing; a refusal takes back what it made. */
function makeDirectories(change: Change, operation: OperationOf<"make-directory">): DirectoryInode {
  const { target } = operation;
  const names = targetNames(target);
  let inode: InodeRecord = find(change, withoutPath(target), "make the directory");
  for (const [depth, name] of names.entries()) {
    const directory = asDirectory(change, inode, { target, depth });
    const entry = change.entry(directory.id, name);
    inode =
      entry === undefined
        ? addDirectory(change, directory, name, operation)
        : (change.inode(entry.inode) as InodeRecord);
  }
  if (inode.kind === "directory") return inode;
  throw nameTakenRefusal(change, target);
}

const ROOT_PATH = Uint8Array.of(0x2f);

/** The inode that the target starts from. */
const withoutPath = ({ inode }: Target): Target =>
  inode === undefined ? { path: ROOT_PATH } : { inode };

function asDirectory(
  change: Change,
  inode: InodeRecord,
  at: { readonly target: Target; readonly depth: number },
): DirectoryInode {
  if (inode.kind === "directory") return inode;
  throw pathRefusal("NOT_A_DIRECTORY", showTarget(change, at.target, at.depth));
}

/** @param making its attributes; the storage class by default that of the parent. */
export function addDirectory(
  change: Change,
  parent: DirectoryInode,
  name: ByteText,
  making: {
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly storageClass?: string;
  },
): DirectoryInode {
  const { mode, uid, gid, storageClass = parent.storageClass } = making;
  const made = newInode(change, { parent: parent.id, name, mode, uid, gid, storageClass });
  const directory: DirectoryInode = { kind: "directory", ...made };
  putEmptyDirectory(change, directory);
  attachNew(change, directory);
  return directory;
}

/** The record beside the inode of a new directory. */
export function putEmptyDirectory(change: Change, { id }: DirectoryInode): void {
  const { nowMs, index } = change;
  change.putDirectory(id, { entryCount: 0, mtimeMs: nowMs, ctimeMs: nowMs, version: index });
}

export function unlink(change: Change, { target }: OperationOf<"unlink">): void {
  const inode = find(change, target, "unlink");
  if (inode.kind === "directory") throw isDirectoryRefusal(change, target);
  detach(change, inode);
}

export function removeDirectory(change: Change, { target }: OperationOf<"remove-directory">): void {
  const inode = find(change, target, "remove the directory");
  if (inode.kind !== "directory") {
    throw pathRefusal("NOT_A_DIRECTORY", showTarget(change, target));
  }
  if (inode.parent === null) throw isRootRefusal("remove");
  checkEmpty(change, inode, target);
  detach(change, inode);
}

/** rm -r in one step: the tree is cut off; what is below is found again when it is reclaimed. */
export function removeTree(change: Change, { target }: OperationOf<"remove-tree">): void {
  const inode = find(change, target, "remove");
  if (inode.parent === null) throw isRootRefusal("remove");
  detach(change, inode);
}

/** @throws {Refusal} NOT_EMPTY with `entryCount` in its details. @param target of `directory` */
export function checkEmpty(change: Change, directory: DirectoryInode, target: Target): void {
  const { entryCount } = change.directory(directory.id);
  if (entryCount === 0) return;
  throw pathRefusal("NOT_EMPTY", showTarget(change, target), { entryCount });
}

/** Returns the refusal of an operation that needs a name without an entry. */
export function nameTakenRefusal(change: Change, target: Target): Refusal {
  return pathRefusal("ALREADY_EXISTS", showTarget(change, target));
}

/** Returns the refusal of an operation that needs a file. */
export function isDirectoryRefusal(change: Change, target: Target): Refusal {
  return pathRefusal("IS_A_DIRECTORY", showTarget(change, target));
}

export function isRootRefusal(verb: string): Refusal {
  return new Refusal(
    "INVALID_ARGUMENT",
    `Cannot ${verb} "/": expected a path below the root: it is the root`,
  );
}
