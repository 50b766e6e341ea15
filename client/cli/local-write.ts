import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import type { Slab } from "../results.ts";
import { localError } from "./local-files.ts";
import { joinNames, type LocalPath } from "./local-path.ts";

const SLASH = 0x2f;
const ROOT = Buffer.from("/");

/** Makes a local directory and its missing parents. Succeeds if the directory exists. */
export async function makeLocalDirectory(path: LocalPath): Promise<void> {
  try {
    await mkdir(path.systemPath, { recursive: true });
  } catch (error) {
    throw localError(error, "make the directory", path);
  }
}

interface WriteOptions {
  /** Receives the number of bytes written so far. */
  readonly onProgress: (bytes: number) => void;
  /** Permission bits to set, independent of the umask. */
  readonly mode?: number;
  readonly mtimeMs?: number;
}

/**
 * Writes a local file atomically: an interrupted get leaves the old file or none, never a part of
 * the new one. A target that is not a regular file (/dev/null, a pipe) is written to directly.
 *
 * @param slabs are written and released one by one
 */
export async function writeLocal(
  path: LocalPath,
  slabs: AsyncIterable<Slab>,
  options: WriteOptions,
): Promise<void> {
  const { systemPath } = path;
  try {
    if (await isDevice(systemPath)) await writeInto(systemPath, slabs, options.onProgress);
    else await writeAndRename(systemPath, slabs, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw localError(error, "write", path);
  }
}

async function isDevice(path: Buffer): Promise<boolean> {
  try {
    const stats = await stat(path);
    return !stats.isFile() && !stats.isDirectory();
  } catch {
    return false; // The path does not exist, or the write reports its error.
  }
}

async function writeInto(
  path: Buffer,
  slabs: AsyncIterable<Slab>,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const file = await open(path, constants.O_WRONLY);
  try {
    await copySlabs(file, slabs, { onProgress, isSeekable: false });
  } finally {
    await file.close();
  }
}

async function writeAndRename(
  path: Buffer,
  slabs: AsyncIterable<Slab>,
  { onProgress, mode, mtimeMs }: WriteOptions,
): Promise<void> {
  const temporary = joinNames(directoryOf(path), hiddenName());
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const file = await open(temporary, flags, 0o666);
    try {
      await copySlabs(file, slabs, { onProgress, isSeekable: true });
      if (mode !== undefined) await file.chmod(mode);
      if (mtimeMs !== undefined) await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Returns the directory of `path`; empty for a name in the working directory. */
function directoryOf(path: Buffer): Buffer {
  const slash = path.lastIndexOf(SLASH);
  if (slash < 0) return Buffer.alloc(0);
  return slash === 0 ? ROOT : path.subarray(0, slash);
}

function hiddenName(): Buffer {
  return Buffer.from(`.ashlar-get-${randomBytes(6).toString("hex")}`);
}

async function copySlabs(
  file: FileHandle,
  slabs: AsyncIterable<Slab>,
  options: { readonly onProgress: (bytes: number) => void; readonly isSeekable: boolean },
): Promise<void> {
  let position = 0;
  for await (const slab of slabs) {
    try {
      for (let offset = 0; offset < slab.bytes.length; ) {
        const length = slab.bytes.length - offset;
        const at = options.isSeekable ? position : null;
        const { bytesWritten } = await file.write(slab.bytes, offset, length, at);
        offset += bytesWritten;
        position += bytesWritten;
      }
    } finally {
      slab.release();
    }
    options.onProgress(position);
  }
}
