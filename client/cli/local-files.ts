import type { Dirent, Stats } from "node:fs";
import { lstat, opendir, stat } from "node:fs/promises";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName } from "../../shared/base/path.ts";

const SLASH = Buffer.from("/");

/** Something below a local directory. Paths are bytes, as Linux has them. */
export interface LocalEntry {
  readonly path: Buffer;
  /** Below the directory that was walked. */
  readonly relative: Buffer;
  readonly kind: "file" | "directory";
  readonly stats: Stats;
}

/** `directory`/`name`. */
export function joinLocal(directory: Buffer, name: Uint8Array): Buffer {
  if (directory.length === 0) return Buffer.from(name);
  return Buffer.concat([directory, SLASH, name]);
}

/** `path` without the slashes at its end; the root stays. */
export function withoutSlashes(path: Buffer): Buffer {
  let end = path.length;
  while (end > 1 && path[end - 1] === 0x2f) end -= 1;
  return path.subarray(0, end);
}

/** @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … with the path in the message */
export function localError(error: unknown, tried: string, path: Buffer): AshlarError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const codes = {
    ENOENT: "NOT_FOUND",
    EACCES: "PERMISSION_DENIED",
    EPERM: "PERMISSION_DENIED",
    EEXIST: "ALREADY_EXISTS",
    ENOTDIR: "NOT_A_DIRECTORY",
    EISDIR: "IS_A_DIRECTORY",
    ENOSPC: "NO_SPACE",
    ENAMETOOLONG: "NAME_TOO_LONG",
  } as const;
  const known = codes[code as keyof typeof codes] ?? "DISK_FAILED";
  return new AshlarError(
    known,
    `Cannot ${tried} the local ${displayName(path)}: ${code || message}`,
    {
      cause: error,
    },
  );
}

/**
 * What is below `root`, a directory before its entries, names in byte order. Symbolic links to files
 * are followed; what is neither file nor directory is named to `onSkipped`.
 */
export async function* walkLocal(
  root: Buffer,
  onSkipped: (path: Buffer, why: string) => void,
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
    // The types know no Buffer names, which "buffer" gives.
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
  onSkipped: (path: Buffer, why: string) => void,
): Promise<LocalEntry | null> {
  const path = joinLocal(root, relative);
  try {
    const stats = await stat(path);
    if (stats.isFile()) return { path, relative, kind: "file", stats };
    if (stats.isDirectory() && !(await isLink(path))) {
      return { path, relative, kind: "directory", stats };
    }
    onSkipped(path, stats.isDirectory() ? "a link to a directory" : "neither file nor directory");
  } catch (error) {
    onSkipped(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
  return null;
}

async function isLink(path: Buffer): Promise<boolean> {
  return (await lstat(path)).isSymbolicLink();
}

/** @throws {AshlarError} NOT_FOUND */
export async function statLocal(path: Buffer): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw localError(error, "read", path);
  }
}
