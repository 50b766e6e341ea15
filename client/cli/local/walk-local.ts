import type { BigIntStats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import { joinNames, type LocalPath } from "../local-path.ts";
import { localError, specialFileError, specialKindOf } from "./local-error.ts";
import { isTemporaryName } from "./temporary-files.ts";

/** A file or directory to put. */
export interface LocalEntry {
  readonly kind: "file" | "directory";
  readonly path: LocalPath;
  /** Path relative to the root of the walk. */
  readonly relative: Buffer;
  /** Stats of the file, behind a symbolic link. */
  readonly stats: BigIntStats;
  /** Whether the name is a symbolic link. */
  readonly isLink: boolean;
}

/** An entry of a walk. */
export type WalkedEntry =
  | LocalEntry
  /** An entry of a kind that is not put: a special file, a link to a directory, a dangling link. */
  | {
      readonly kind: "unsupported";
      readonly relative: Buffer;
      /** "a FIFO" */
      readonly what: string;
      readonly error: AshlarError;
    }
  /** An entry that cannot be read. The walk continues after it. */
  | {
      readonly kind: "failed";
      readonly relative: Buffer;
      readonly error: AshlarError;
      /** Whether it can be a directory: files below it are then missing, too. */
      readonly canHaveEntries: boolean;
    }
  /** A temporary file of a get, which is never put. */
  | { readonly kind: "temporary"; readonly path: LocalPath };

/** Entries of one directory that are examined at the same time. */
const EXAMINED_MAX = 32;

/** A directory between the root of the walk and the current entry. */
interface Level {
  readonly relative: Buffer;
  /** Names that are not examined yet, in reverse order. */
  readonly names: Buffer[];
  /** The next entries. `examine` does not reject. */
  readonly examined: Array<Promise<WalkedEntry>>;
}

/**
 * Walks the entries below `root`, depth first: a directory before its entries, names in byte order. A
 * symbolic link to a file is followed, one to a directory is not. One bad entry does not end the
 * walk.
 */
export async function* walkLocal(root: LocalPath): AsyncGenerator<WalkedEntry, void, void> {
  const levels: Level[] = [];
  const enter = async (relative: Buffer): Promise<WalkedEntry | null> => {
    const directory = relative.length === 0 ? root : root.join(relative);
    try {
      levels.push({ relative, names: await sortedNames(directory), examined: [] });
      return null;
    } catch (error) {
      const failure = localError(error, "list", directory);
      return { kind: "failed", relative, error: failure, canHaveEntries: true };
    }
  };
  const failed = await enter(Buffer.alloc(0));
  if (failed !== null) yield failed;
  for (;;) {
    const level = levels.at(-1);
    if (level === undefined) return;
    const entry = await nextOf(root, level);
    if (entry === null) {
      levels.pop();
      continue;
    }
    yield entry;
    if (entry.kind !== "directory") continue;
    const unlisted = await enter(entry.relative);
    if (unlisted !== null) yield unlisted;
  }
}

/** Returns the next entry of a directory; null after the last. */
async function nextOf(root: LocalPath, level: Level): Promise<WalkedEntry | null> {
  const { relative, names, examined } = level;
  if (examined.length === 0) {
    for (const name of names.splice(-EXAMINED_MAX).reverse()) {
      examined.push(examine(root, joinNames(relative, name)));
    }
  }
  return (await examined.shift()) ?? null;
}

/** Returns the names of a directory in reverse byte order. */
async function sortedNames(directory: LocalPath): Promise<Buffer[]> {
  const names = await readdir(directory.systemPath, { encoding: "buffer" });
  return names.sort((left, right) => Buffer.compare(right, left));
}

async function examine(root: LocalPath, relative: Buffer): Promise<WalkedEntry> {
  const path = root.join(relative);
  const link = (target: string): WalkedEntry => {
    const what = `a symbolic link ${target}`;
    const error = new AshlarError("UNSUPPORTED", `Cannot put ${path.text}: it is ${what}`);
    return { kind: "unsupported", relative, what, error };
  };
  try {
    const own = await lstat(path.systemPath, { bigint: true });
    const isLink = own.isSymbolicLink();
    const stats = isLink ? await stat(path.systemPath, { bigint: true }) : own;
    if (stats.isDirectory()) {
      if (isLink) return link("to a directory");
      return { kind: "directory", path, relative, stats, isLink };
    }
    if (!stats.isFile()) {
      const error = specialFileError(path, stats);
      return { kind: "unsupported", relative, what: specialKindOf(stats), error };
    }
    const name = relative.subarray(relative.lastIndexOf(0x2f) + 1);
    if (isTemporaryName(name)) return { kind: "temporary", path };
    return { kind: "file", path, relative, stats, isLink };
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    const isDangling = syscall === "stat" && (code === "ENOENT" || code === "ELOOP");
    if (isDangling) return link("that is dangling");
    const canHaveEntries = syscall === "lstat";
    return { kind: "failed", relative, error: localError(error, "read", path), canHaveEntries };
  }
}
