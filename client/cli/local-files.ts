import type { Dirent, Stats } from "node:fs";
import { lstat, opendir, stat } from "node:fs/promises";
import { AshlarError, type ErrorCode } from "../../shared/base/errors.ts";
import { displayName } from "../../shared/base/path.ts";
import { errnoWords } from "../../shared/platform/errno-words.ts";

const SLASH = Buffer.from("/");

/** A file or directory below a local directory. Paths are bytes, as on Linux. */
export interface LocalEntry {
  readonly path: Buffer;
  /** Path relative to the root of the walk. */
  readonly relative: Buffer;
  readonly kind: "file" | "directory";
  readonly stats: Stats;
}

/** Returns `directory`/`name`; `name` if `directory` is empty. */
export function joinLocal(directory: Buffer, name: Uint8Array): Buffer {
  if (directory.length === 0) return Buffer.from(name);
  return Buffer.concat([directory, SLASH, name]);
}

/** Returns `path` without trailing slashes. The root keeps its slash. */
export function withoutSlashes(path: Buffer): Buffer {
  let end = path.length;
  while (end > 1 && path[end - 1] === 0x2f) end -= 1;
  return path.subarray(0, end);
}

/** Error codes by the errno of a failed system call on a local file. Default: DISK_FAILED. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "NOT_FOUND",
  EACCES: "PERMISSION_DENIED",
  EPERM: "PERMISSION_DENIED",
  EEXIST: "ALREADY_EXISTS",
  ENOTDIR: "NOT_A_DIRECTORY",
  EISDIR: "IS_A_DIRECTORY",
  ENOSPC: "NO_SPACE",
  ENAMETOOLONG: "NAME_TOO_LONG",
};

/**
 * Returns the error of a failed system call on a local path. Its message has the form "Cannot open
 * the local path ./a: no such file or directory".
 *
 * @param action "open"
 */
export function localError(error: unknown, action: string, path: Buffer): AshlarError {
  const { code: errno = "" } = error as NodeJS.ErrnoException;
  const text = `Cannot ${action} the local path ${displayName(path)}: ${reasonOf(error)}`;
  return new AshlarError(CODES[errno] ?? "DISK_FAILED", text, { cause: error });
}

/**
 * Walks the entries below `root`: a directory before its entries, names in byte order. A symbolic
 * link to a file is followed. Links to directories, special files and entries that cannot be read
 * are reported to `onSkipped`.
 */
export async function* walkLocal(
  root: Buffer,
  onSkipped: (path: Buffer, reason: string) => void,
): AsyncGenerator<LocalEntry> {
  const waiting: Buffer[] = [Buffer.alloc(0)];
  while (waiting.length > 0) {
    const relative = waiting.pop() as Buffer;
    const directory = relative.length === 0 ? root : joinLocal(root, relative);
    const below: Buffer[] = [];
    for (const name of await sortedNames(directory)) {
      const entry = await examine(root, joinLocal(relative, name), onSkipped);
      if (entry === null) continue;
      if (entry.kind === "directory") below.push(entry.relative);
      yield entry;
    }
    waiting.push(...below.reverse());
  }
}

async function sortedNames(directory: Buffer): Promise<Buffer[]> {
  const names: Buffer[] = [];
  try {
    // With the encoding "buffer" names are Buffers, which the types do not express.
    const options = { encoding: "buffer" as BufferEncoding, bufferSize: 512 };
    for await (const entry of await opendir(directory, options)) {
      names.push((entry as Dirent<string | Buffer>).name as Buffer);
    }
  } catch (error) {
    throw localError(error, "list", directory);
  }
  return names.sort(Buffer.compare);
}

async function examine(
  root: Buffer,
  relative: Buffer,
  onSkipped: (path: Buffer, reason: string) => void,
): Promise<LocalEntry | null> {
  const path = joinLocal(root, relative);
  try {
    const stats = await stat(path);
    if (stats.isFile()) return { path, relative, kind: "file", stats };
    if (stats.isDirectory() && !(await isLink(path))) {
      return { path, relative, kind: "directory", stats };
    }
    onSkipped(
      path,
      stats.isDirectory() ? "symbolic link to a directory" : "not a file or directory",
    );
  } catch (error) {
    onSkipped(path, reasonOf(error));
  }
  return null;
}

/** Returns the words for a failed system call, or the message of another error. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? message : errnoWords(code);
}

async function isLink(path: Buffer): Promise<boolean> {
  return (await lstat(path)).isSymbolicLink();
}

/** Returns the stats of a local path. @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … */
export async function statLocal(path: Buffer): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw localError(error, "read", path);
  }
}
