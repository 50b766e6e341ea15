import { DEPTH_MAX } from "../../shared/base/path.ts";
import type { OperationOf, Target } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import { attachNew, detach, newInode } from "./entries.ts";
import type { ByteText } from "./keys.ts";
import type { DirectoryInode, InodeRecord } from "./records.ts";
import { type Refusal, refusal } from "./refusal.ts";
import { STAGED_ROOT } from "./staged-totals.ts";
import { find, resolve, showTarget, targetNames, targetRefusal } from "./tree.ts";

/**
 * Makes a directory. With `parents`, as `mkdir -p`: makes missing parents, and an existing
 * directory is no error.
 *
 * @throws {Refusal} ALREADY_EXISTS, NOT_FOUND, NOT_A_DIRECTORY
 */
export function makeDirectory(
  change: Change,
  operation: OperationOf<"make-directory">,
): DirectoryInode {
  if (operation.parents) return makeDirectories(change, operation);
  const resolved = resolve(change, operation.target);
  if (resolved.inode !== undefined) {
    throw nameTakenRefusal(change, resolved.target, resolved.inode);
  }
  checkDepth(change, resolved.depth);
  return addDirectory(change, resolved.parent as DirectoryInode, resolved.name, operation);
}

/** mkdir -p: walks down the path and makes missing directories. A refusal rolls them all back. */
function makeDirectories(change: Change, operation: OperationOf<"make-directory">): DirectoryInode {
  const { target } = operation;
  const names = targetNames(target);
  const start = resolve(change, startTarget(target));
  let inode = start.inode as InodeRecord;
  for (const [depth, name] of names.entries()) {
    const directory = asDirectory(change, inode, { target, depth });
    const entry = change.entry(directory.id, name);
    if (entry !== undefined) {
      inode = change.inode(entry.inode) as InodeRecord;
      continue;
    }
    checkDepth(change, start.depth + names.length);
    inode = addDirectory(change, directory, name, operation);
  }
  if (inode.kind === "directory") return inode;
  throw nameTakenRefusal(change, target, inode);
}

/** Checks the depth of a new name, from feature level 7 on. @throws {Refusal} NAME_TOO_LONG */
export function checkDepth(change: Change, depth: number): void {
  if (depth <= DEPTH_MAX || !change.isCostBounded) return;
  const facts = { max: DEPTH_MAX, depth };
  throw refusal("depth", facts, { limit: "depth", ...facts });
}

const ROOT_PATH = Uint8Array.of(0x2f);

/** Returns the target of the inode where the path of `target` starts. */
const startTarget = ({ inode }: Target): Target =>
  inode === undefined ? { path: ROOT_PATH } : { inode };

function asDirectory(
  change: Change,
  inode: InodeRecord,
  at: { readonly target: Target; readonly depth: number },
): DirectoryInode {
  if (inode.kind === "directory") return inode;
  const { target, depth } = at;
  const path = showTarget(change, target, depth);
  throw targetRefusal({ view: change, target }, "parent-not-directory", { path });
}

/** Makes a directory under a free name. The default storage class is the parent's. */
export function addDirectory(
  change: Change,
  parent: DirectoryInode,
  name: ByteText,
  attributes: {
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly storageClass?: string;
  },
): DirectoryInode {
  const { mode, uid, gid, storageClass = parent.storageClass } = attributes;
  const common = newInode(change, { parent: parent.id, name, mode, uid, gid, storageClass });
  const directory: DirectoryInode = { kind: "directory", ...common };
  putEmptyDirectory(change, directory);
  attachNew(change, directory);
  return directory;
}

/**
 * Makes the top of an unfinished tree, with the attributes of `source`. The first one also makes the
 * directory record of all unfinished trees.
 */
export function addStagedDirectory(
  change: Change,
  name: ByteText,
  source: DirectoryInode,
): DirectoryInode {
  const all: DirectoryInode = { ...source, id: STAGED_ROOT, parent: null };
  if (!change.hasDirectory(STAGED_ROOT)) putEmptyDirectory(change, all);
  return addDirectory(change, all, name, source);
}

/** Writes the directory record of a new directory: see `DirectoryRecord`. */
export function putEmptyDirectory(change: Change, { id }: DirectoryInode): void {
  const { nowMs, index } = change;
  change.putDirectory(id, { entryCount: 0, mtimeMs: nowMs, ctimeMs: nowMs, version: index });
}

/** unlink(2): removes a file. @throws {Refusal} IS_A_DIRECTORY, NOT_FOUND, NOT_A_DIRECTORY */
export function unlink(change: Change, { target }: OperationOf<"unlink">): void {
  const inode = find(change, target);
  if (inode.kind === "directory") throw directoryTargetRefusal(change, target);
  detach(change, inode);
}

/** rmdir(2): removes an empty directory. @throws {Refusal} NOT_EMPTY, NOT_A_DIRECTORY, NOT_FOUND */
export function removeDirectory(change: Change, { target }: OperationOf<"remove-directory">): void {
  const inode = find(change, target);
  if (inode.kind !== "directory") {
    throw refusal("not-directory", { path: showTarget(change, target) });
  }
  if (inode.parent === null) throw refusal("root-fixed", { action: "remove" });
  checkEmpty(change, inode, target);
  detach(change, inode);
}

/** rm -r in one step: detaches the tree. `reclaim` walks the detached tree later. */
export function removeTree(change: Change, { target }: OperationOf<"remove-tree">): void {
  const inode = find(change, target);
  if (inode.parent === null) throw refusal("root-fixed", { action: "remove" });
  detach(change, inode);
}

/**
 * Checks that a directory is empty.
 *
 * @param target resolves to `directory`
 * @throws {Refusal} NOT_EMPTY with `entryCount` in its details
 */
function checkEmpty(change: Change, directory: DirectoryInode, target: Target): void {
  const { entryCount } = change.directory(directory.id);
  if (entryCount === 0) return;
  throw refusal("not-empty", { path: showTarget(change, target), entryCount }, { entryCount });
}

/** Returns the refusal of an operation that needs a name without an entry. */
export function nameTakenRefusal(change: Change, target: Target, { kind }: InodeRecord): Refusal {
  return refusal("name-taken", { path: showTarget(change, target), kind });
}

/** Returns the refusal of an operation that needs a file. */
export function directoryTargetRefusal(change: Change, target: Target): Refusal {
  return targetRefusal({ view: change, target }, "not-file", { path: showTarget(change, target) });
}
