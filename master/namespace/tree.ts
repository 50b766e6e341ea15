import { isAshlarError } from "../../shared/base/errors.ts";
import type { InodeId } from "../../shared/base/ids.ts";
import { NAME_BYTES_MAX, parsePath } from "../../shared/base/path.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";
import { type ByteText, bytesToText } from "./keys.ts";
import type { DirectoryInode, InodeRecord } from "./records.ts";
import { pathRefusal, Refusal, showPath } from "./refusal.ts";
import { ROOT_INODE, type TreeView } from "./state.ts";

/** What a target stands for: an inode, or a free name in a directory. */
export interface Place {
  readonly target: Target;
  /** The directory that holds the name; null for the root. */
  readonly parent: DirectoryInode | null;
  readonly name: ByteText;
  readonly inode: InodeRecord | undefined;
}

/** Where a walk along a path stands. */
interface PathWalk {
  readonly view: TreeView;
  readonly target: Target;
  readonly names: readonly ByteText[];
  /** What is being done, for messages: "stat". */
  readonly verb: string;
}

/** A path as it mostly is: no empty names, none that begins with a dot, none too long. */
const PLAIN_PATH = new RegExp(`^(?:/[^/.\\0][^/\\0]{0,${NAME_BYTES_MAX - 1}})+$`);
/** Longer ones are left to the parser, which bounds them. */
const PLAIN_PATH_BYTES_MAX = 4096;

/** The names in `path`. @throws {Refusal} as `parsePath` */
function pathNames(path: Uint8Array): readonly ByteText[] {
  if (path.length <= PLAIN_PATH_BYTES_MAX) {
    const text = bytesToText(path);
    if (PLAIN_PATH.test(text)) return text.slice(1).split("/");
  }
  try {
    return parsePath(path).map(bytesToText);
  } catch (error) {
    if (isAshlarError(error)) throw new Refusal(error.code, error.message);
    throw error;
  }
}

/** The names of the target's path below its inode. @throws {Refusal} INVALID_ARGUMENT */
export function targetNames(target: Target): readonly ByteText[] {
  if (target.path !== undefined && target.path.length > 0) return pathNames(target.path);
  if (target.inode !== undefined) return [];
  throw new Refusal(
    "INVALID_ARGUMENT",
    "Cannot use a target: expected an inode or a path: it has none",
  );
}

/**
 * Walks along the target's path. The last name may be free, all before it must be directories.
 *
 * @throws {Refusal} NOT_FOUND or NOT_A_DIRECTORY naming the first component that stops the walk.
 */
export function resolve(view: TreeView, target: Target, verb: string): Place {
  const names = targetNames(target);
  const walk: PathWalk = { view, target, names, verb };
  const start = startOf(walk);
  if (names.length === 0) {
    const parent = start.parent === null ? null : (view.inode(start.parent) as DirectoryInode);
    return { target, parent, name: start.name, inode: start };
  }
  let inode = start;
  const last = names.length - 1;
  for (let depth = 0; depth < last; depth += 1) {
    const child = childOf(walk, inode, depth);
    if (child === undefined) throw notFoundRefusal(walk, depth + 1);
    inode = child;
  }
  const found = childOf(walk, inode, last);
  return { target, parent: inode as DirectoryInode, name: names[last] as ByteText, inode: found };
}

/** The inode that the target stands for. @throws {Refusal} NOT_FOUND, NOT_A_DIRECTORY */
export function find(view: TreeView, target: Target, verb: string): InodeRecord {
  const { inode } = resolve(view, target, verb);
  if (inode !== undefined) return inode;
  const names = targetNames(target);
  throw notFoundRefusal({ view, target, names, verb }, names.length);
}

function startOf(walk: PathWalk): InodeRecord {
  const id = walk.target.inode ?? ROOT_INODE;
  const inode = walk.view.inode(id);
  if (inode !== undefined && isAttached(walk.view, inode)) return inode;
  throw pathRefusal("NOT_FOUND", id === ROOT_INODE ? "/" : `inode ${id}`);
}

/** The child of `directory` by the name at `depth`, undefined if it has none. */
function childOf(walk: PathWalk, directory: InodeRecord, depth: number): InodeRecord | undefined {
  if (directory.kind !== "directory") throw notDirectoryRefusal(walk, depth);
  const entry = walk.view.entry(directory.id, walk.names[depth] as ByteText);
  return entry === undefined ? undefined : walk.view.inode(entry.inode);
}

/** @param depth names of the path up to the first that does not exist */
function notFoundRefusal({ view, target }: PathWalk, depth: number): Refusal {
  return pathRefusal("NOT_FOUND", showTarget(view, target, depth));
}

/** @param depth names of the path up to the file that the walk cannot enter */
function notDirectoryRefusal({ view, target }: PathWalk, depth: number): Refusal {
  return pathRefusal("NOT_A_DIRECTORY", showTarget(view, target, depth));
}

/**
 * Whether the inode hangs in the tree. What was removed as part of a tree still has its records
 * until it is reclaimed, but nobody may reach it by its inode.
 */
function isAttached(view: TreeView, inode: InodeRecord): boolean {
  return ancestorNames(view, inode) !== null;
}

/** The inodes from `directory` up to the root. The caller knows it to be attached. */
export function* ancestors(view: TreeView, directory: InodeRecord): Generator<InodeId, void, void> {
  let inode: InodeRecord | undefined = directory;
  while (inode !== undefined) {
    yield inode.id;
    inode = inode.parent === null ? undefined : view.inode(inode.parent);
  }
}

/** The names from the root down to the inode; null if it is not in the tree. */
function ancestorNames(view: TreeView, inode: InodeRecord): ByteText[] | null {
  const names: ByteText[] = [];
  let at: InodeRecord | undefined = inode;
  while (at !== undefined && at.id !== ROOT_INODE) {
    names.push(at.name);
    at = at.parent === null ? undefined : view.inode(at.parent);
  }
  return at === undefined ? null : names.reverse();
}

/** The path of an inode as names; undefined if it is not in the tree. */
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
