import type { OperationOf } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import { checkDepth, nameTakenRefusal } from "./directories.ts";
import { detach, moveEntry } from "./entries.ts";
import type { DirectoryInode, InodeRecord } from "./records.ts";
import { refusal } from "./refusal.ts";
import { ancestors, find, type ResolvedTarget, resolve, showTarget } from "./tree.ts";

type Rename = OperationOf<"rename">;

/**
 * rename(2). The checks have the order of Linux, so that the same error is reported if several
 * checks fail.
 *
 * @throws {Refusal} ALREADY_EXISTS, NOT_FOUND, NOT_A_DIRECTORY, IS_A_DIRECTORY, NOT_EMPTY,
 *   INVALID_ARGUMENT, NAME_TOO_LONG
 */
export function rename(change: Change, operation: Rename): InodeRecord {
  const inode = find(change, operation.from);
  if (inode.parent === null) throw refusal("root-fixed", { action: "rename" });
  const to = resolve(change, operation.to);
  if (operation.noReplace && to.inode !== undefined) {
    throw nameTakenRefusal(change, operation.to, to.inode);
  }
  if (to.inode?.id === inode.id) return inode;
  checkOutside(change, inode, to, operation);
  if (to.inode === undefined) checkDepth(change, to.depth);
  else replace(change, inode, to.inode, operation);
  const parent = to.parent as DirectoryInode;
  moveEntry(change, inode, { parent: parent.id, name: to.name });
  return inode;
}

/** Refuses to move a directory into its own subtree: this would detach it from the root. */
function checkOutside(
  change: Change,
  inode: InodeRecord,
  to: ResolvedTarget,
  operation: Rename,
): void {
  if (inode.kind !== "directory" || to.parent === null) return;
  for (const id of ancestors(change, to.parent)) {
    if (id !== inode.id) continue;
    throw refusal("rename-inside", shownPaths(change, operation));
  }
}

/** Removes the inode that the rename replaces, if its kind allows this. */
function replace(
  change: Change,
  inode: InodeRecord,
  replaced: InodeRecord,
  operation: Rename,
): void {
  if (inode.kind === "directory" && replaced.kind !== "directory") {
    throw refusal("rename-onto-file", shownPaths(change, operation));
  }
  if (inode.kind !== "directory" && replaced.kind === "directory") {
    throw refusal("rename-onto-directory", shownPaths(change, operation));
  }
  if (replaced.kind === "directory") checkEmpty(change, replaced, operation);
  detach(change, replaced);
}

/** Checks that the directory that a rename replaces is empty. @throws {Refusal} NOT_EMPTY */
function checkEmpty(change: Change, replaced: DirectoryInode, operation: Rename): void {
  const { entryCount } = change.directory(replaced.id);
  if (entryCount === 0) return;
  const facts = { ...shownPaths(change, operation), entryCount };
  throw refusal("rename-not-empty", facts, { entryCount });
}

/** Returns the paths of a rename for its refusals. */
function shownPaths(
  change: Change,
  { from, to }: Rename,
): { readonly from: string; readonly to: string } {
  return { from: showTarget(change, from), to: showTarget(change, to) };
}
