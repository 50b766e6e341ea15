import type { OperationOf } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import {
  checkDepth,
  checkEmpty,
  directoryTargetRefusal,
  nameTakenRefusal,
  rootTargetRefusal,
} from "./directories.ts";
import { detach, moveEntry } from "./entries.ts";
import type { DirectoryInode, InodeRecord } from "./records.ts";
import { pathRefusal, Refusal } from "./refusal.ts";
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
  if (inode.parent === null) throw rootTargetRefusal("rename");
  const to = resolve(change, operation.to);
  if (operation.noReplace && to.inode !== undefined) throw nameTakenRefusal(change, operation.to);
  if (to.inode?.id === inode.id) return inode;
  checkOutside(change, inode, to, operation);
  checkDepth(change, to.depth);
  if (to.inode !== undefined) replace(change, inode, to.inode, operation);
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
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot rename ${showTarget(change, operation.from)}: expected a target outside the directory: current value is ${showTarget(change, operation.to)}`,
    );
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
    throw pathRefusal("NOT_A_DIRECTORY", showTarget(change, operation.to));
  }
  if (inode.kind !== "directory" && replaced.kind === "directory") {
    throw directoryTargetRefusal(change, operation.to);
  }
  if (replaced.kind === "directory") checkEmpty(change, replaced, operation.to);
  detach(change, replaced);
}
