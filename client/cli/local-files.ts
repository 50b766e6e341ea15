import type { BigIntStats, Dirent, Stats } from "node:fs";
import { lstat, opendir, stat } from "node:fs/promises";
import { AshlarError, type ErrorCode, isAshlarError } from "../../shared/base/errors.ts";
import { errnoWords } from "../../shared/platform/errno-words.ts";
import { joinNames, type LocalPath } from "./local-path.ts";

/** A file or directory below a local directory. */
export interface LocalEntry {
  readonly path: LocalPath;
  /** Path relative to the root of the walk. */
  readonly relative: Buffer;
  readonly kind: "file" | "directory";
  readonly stats: Stats;
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
  EDQUOT: "NO_SPACE",
  EFBIG: "TOO_LARGE",
  ENXIO: "UNSUPPORTED",
  EROFS: "PERMISSION_DENIED",
};

/**
 * Returns the error of a failed system call on a local path. Its message has the form "Cannot open
 * the local path ./a: no such file or directory".
 *
 * @param action "open"
 */
export function localError(error: unknown, action: string, path: LocalPath): AshlarError {
  if (isAshlarError(error)) return error; // The reason of a signal.
  const { code: errno = "" } = error as NodeJS.ErrnoException;
  const text = `Cannot ${action} the local path ${path.text}: ${reasonOf(error)}`;
  return new AshlarError(CODES[errno] ?? "DISK_FAILED", text, { cause: error });
}

/** Returns the error of a file that is not regular where its bytes are wanted. */
export function specialFileError(path: LocalPath, stats: BigIntStats): AshlarError {
  return new AshlarError("UNSUPPORTED", `Cannot put ${path.text}: ${specialKindOf(stats)}`, {
    hint: "A special file is read only if it is named as a source",
  });
}

function specialKindOf(stats: BigIntStats): string {
  if (stats.isFIFO()) return "it is a FIFO";
  if (stats.isSocket()) return "it is a socket";
  return stats.isBlockDevice() ? "it is a block device" : "it is a character device";
}

/**
 * Walks the entries below `root`: a directory before its entries, names in byte order. A symbolic
 * link to a file is followed. Links to directories, special files and entries that cannot be read
 * are reported to `onSkipped`.
 */
export async function* walkLocal(
  root: LocalPath,
  onSkipped: (path: LocalPath, reason: string) => void,
): AsyncGenerator<LocalEntry> {
  const waiting: Buffer[] = [Buffer.alloc(0)];
  while (waiting.length > 0) {
    const relative = waiting.pop() as Buffer;
    const directory = relative.length === 0 ? root : root.join(relative);
    const below: Buffer[] = [];
    for (const name of await sortedNames(directory)) {
      const entry = await examine(root, joinNames(relative, name), onSkipped);
      if (entry === null) continue;
      if (entry.kind === "directory") below.push(entry.relative);
      yield entry;
    }
    waiting.push(...below.reverse());
  }
}

async function sortedNames(directory: LocalPath): Promise<Buffer[]> {
  const names: Buffer[] = [];
  try {
    // With the encoding "buffer" names are Buffers, which the types do not express.
    const options = { encoding: "buffer" as BufferEncoding, bufferSize: 512 };
    for await (const entry of await opendir(directory.systemPath, options)) {
      names.push((entry as Dirent<string | Buffer>).name as Buffer);
    }
  } catch (error) {
    throw localError(error, "list", directory);
  }
  return names.sort(Buffer.compare);
}

async function examine(
  root: LocalPath,
  relative: Buffer,
  onSkipped: (path: LocalPath, reason: string) => void,
): Promise<LocalEntry | null> {
  const path = root.join(relative);
  try {
    const stats = await stat(path.systemPath);
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

async function isLink(path: LocalPath): Promise<boolean> {
  return (await lstat(path.systemPath)).isSymbolicLink();
}

/** Returns the stats of a local path. @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … */
export async function statLocal(path: LocalPath): Promise<Stats> {
  try {
    return await stat(path.systemPath);
  } catch (error) {
    throw localError(error, "read", path);
  }
}
