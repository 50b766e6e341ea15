import type { Dirent, Stats } from "node:fs";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, opendir, stat } from "node:fs/promises";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName } from "../../shared/base/path.ts";

const SLASH = Buffer.from("/");
const READ_BYTES = 1024 * 1024;

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

/**
 * The bytes of a local file, read once from its beginning to the end that it had at the start.
 *
 * @throws {AshlarError} SOURCE_CHANGED at the end, if the file is not what it was at the start: a
 *   put that reads it then publishes nothing.
 */
export async function* readLocal(path: Buffer): AsyncGenerator<Uint8Array> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY);
  } catch (error) {
    throw localError(error, "open", path);
  }
  try {
    const before = await file.stat();
    let position = 0;
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    const after = await file.stat();
    if (after.mtimeMs !== before.mtimeMs || position !== before.size) {
      throw new AshlarError(
        "SOURCE_CHANGED",
        `Cannot put the local ${displayName(path)}: expected it to stay as it was: it had ${before.size} bytes, and ${position} were read while somebody wrote to it`,
        { hint: "Repeat the put when the writer is done" },
      );
    }
  } finally {
    await file.close();
  }
}
