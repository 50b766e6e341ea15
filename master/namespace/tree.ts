import type { InodeId } from "../../shared/base/ids.ts";
import { splitPath } from "../../shared/base/path.ts";
import { NAME_BYTES_MAX } from "../../shared/base/path-faults.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";
import { type ByteText, bytesToText } from "./keys.ts";
import type { DirectoryInode, InodeRecord } from "./records.ts";
import { Refusal, refusal, showPath } from "./refusal.ts";
import type { Facts } from "./refusal-reason.ts";
import type { FactsOf, Reason } from "./refusal-words.ts";
import { STAGED_ROOT } from "./staged-totals.ts";
import { ROOT_INODE, type TreeView } from "./state.ts";

/** A resolved target: an inode, or a free name in a directory. */
export interface ResolvedTarget {
  readonly target: Target;
  /** The directory of the name. Null for the root and for the top of an unfinished tree. */
  readonly parent: DirectoryInode | null;
  readonly name: ByteText;
  /** Undefined if the name is free. */
  readonly inode: InodeRecord | undefined;
  /** Number of names from the root, or from the top of an unfinished tree, down to this one. */
  readonly depth: number;
}

/** The arguments of a path lookup. */
interface PathWalk {
  readonly view: TreeView;
  readonly target: Target;
  readonly names: readonly ByteText[];
}

/**
 * Matches the usual paths: no empty name, no name that starts with a dot, no name that is too long.
 */
const PLAIN_PATH = new RegExp(`^(?:/[^/.\\0][^/\\0]{0,${NAME_BYTES_MAX - 1}})+$`);
/** Bound for the regular expression. The parser handles longer paths and bounds their length. */
const PLAIN_PATH_BYTES_MAX = 4096;

/** Returns the names in `path`. @throws {Refusal} the errors of `parsePath` */
function pathNames(path: Uint8Array): readonly ByteText[] {
  if (path.length <= PLAIN_PATH_BYTES_MAX) {
    const text = bytesToText(path);
    if (PLAIN_PATH.test(text)) return text.slice(1).split("/");
  }
  const names = splitPath(path);
  if (!("fault" in names)) return names.map(bytesToText);
  const { fault, shown, bytes } = names;
  throw refusal(fault, { shown, bytes });
}

/** Returns the names of a target's path below its inode. @throws {Refusal} INVALID_ARGUMENT */
export function targetNames(target: Target): readonly ByteText[] {
  if (target.path !== undefined && target.path.length > 0) return pathNames(target.path);
  if (target.inode !== undefined) return [];
  throw refusal("target-empty", {});
}

/**
 * Resolves a target. The last name of its path may be free; every name before it must be a
 * directory.
 *
 * @throws {Refusal} NOT_FOUND or NOT_A_DIRECTORY with the first component that fails
 */
export function resolve(view: TreeView, target: Target): ResolvedTarget {
  const names = targetNames(target);
  const walk: PathWalk = { view, target, names };
  const { inode: start, depth: startDepth } = startOf(walk);
  const depth = startDepth + names.length;
  if (names.length === 0) {
    // The top of an unfinished tree has no parent either: that one has no inode.
    const parent = start.parent === null ? undefined : view.inode(start.parent);
    return {
      target,
      parent: (parent as DirectoryInode) ?? null,
      name: start.name,
      inode: start,
      depth,
    };
  }
  let inode = start;
  const last = names.length - 1;
  for (let at = 0; at < last; at += 1) {
    const child = childOf(walk, inode, at);
    if (child === undefined) throw notFoundRefusal(walk, at + 1);
    inode = child;
  }
  const found = childOf(walk, inode, last);
  const name = names[last] as ByteText;
  return { target, parent: inode as DirectoryInode, name, inode: found, depth };
}

/** Returns the inode of a target. @throws {Refusal} NOT_FOUND, NOT_A_DIRECTORY */
export function find(view: TreeView, target: Target): InodeRecord {
  const { inode } = resolve(view, target);
  if (inode !== undefined) return inode;
  const names = targetNames(target);
  throw notFoundRefusal({ view, target, names }, names.length);
}

function startOf(walk: PathWalk): { readonly inode: InodeRecord; readonly depth: number } {
  const id = walk.target.inode ?? ROOT_INODE;
  const inode = walk.view.inode(id);
  const depth = inode === undefined ? null : depthOf(walk.view, inode);
  if (inode !== undefined && depth !== null) return { inode, depth };
  throw targetRefusal(walk, "inode-unknown", { inode: id });
}

/** Returns the child of `directory` with the name at `depth`. Undefined if there is none. */
function childOf(walk: PathWalk, directory: InodeRecord, depth: number): InodeRecord | undefined {
  if (directory.kind !== "directory") throw notDirectoryRefusal(walk, depth);
  const entry = walk.view.entry(directory.id, walk.names[depth] as ByteText);
  return entry === undefined ? undefined : walk.view.inode(entry.inode);
}

/** Returns the refusal. @param depth number of names up to the first name that does not exist */
function notFoundRefusal({ view, target }: PathWalk, depth: number): Refusal {
  return targetRefusal({ view, target }, "name-unknown", { path: showTarget(view, target, depth) });
}

/** Returns the refusal. @param depth number of names up to the file that the walk cannot enter */
function notDirectoryRefusal({ view, target }: PathWalk, depth: number): Refusal {
  const path = showTarget(view, target, depth);
  return targetRefusal({ view, target }, "parent-not-directory", { path });
}

/**
 * Returns the depth of an inode in the tree, or in an unfinished one. Null for an inode below a removed
 * directory: it keeps its record until `reclaim` deletes it, but a target must not reach it by its id.
 */
function depthOf(view: TreeView, inode: InodeRecord): number | null {
  let depth = 0;
  let at: InodeRecord | undefined = inode;
  while (at !== undefined && at.id !== ROOT_INODE && at.parent !== STAGED_ROOT) {
    at = at.parent === null ? undefined : view.inode(at.parent);
    depth += 1;
  }
  return at === undefined ? null : depth;
}

/** Yields the inodes from `directory` up to the root. `directory` must be in the tree. */
export function* ancestors(view: TreeView, directory: InodeRecord): Generator<InodeId, void, void> {
  let inode: InodeRecord | undefined = directory;
  while (inode !== undefined) {
    yield inode.id;
    inode = inode.parent === null ? undefined : view.inode(inode.parent);
  }
}

/** Returns the names from the root down to the inode. Null if the inode is not in the tree. */
function ancestorNames(view: TreeView, inode: InodeRecord): ByteText[] | null {
  const names: ByteText[] = [];
  let at: InodeRecord | undefined = inode;
  while (at !== undefined && at.id !== ROOT_INODE) {
    names.push(at.name);
    at = at.parent === null ? undefined : view.inode(at.parent);
  }
  return at === undefined ? null : names.reverse();
}

/** Returns the names from the root down to an inode. Undefined if it is not in the tree. */
export function pathOfInode(view: TreeView, id: InodeId): readonly ByteText[] | undefined {
  const inode = view.inode(id);
  return inode === undefined ? undefined : (ancestorNames(view, inode) ?? undefined);
}

/** Returns the target's path for a message, with only the first `depth` of its own names. */
export function showTarget(view: TreeView, target: Target, depth?: number): string {
  const names = targetNames(target).slice(0, depth);
  const above = target.inode === undefined ? [] : (pathOfInode(view, target.inode) ?? []);
  return showPath([...above, ...names]);
}

/** Returns the refusal of a target. */
export function targetRefusal<Id extends Reason>(
  { view, target }: Pick<PathWalk, "view" | "target">,
  reason: Id,
  facts: FactsOf<Id>,
): Refusal {
  const lookup = { target, path: () => showTarget(view, target) };
  return new Refusal(reason, facts as Facts, { lookup });
}
