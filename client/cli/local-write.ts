import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, utimes } from "node:fs/promises";
import type { Slab } from "../file-system.ts";
import { joinLocal, localError } from "./local-files.ts";

const SLASH = 0x2f;

/** Makes a local directory and its parents; no error if it is there. */
export async function makeLocalDirectory(path: Buffer): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw localError(error, "make the directory", path);
  }
}

/**
 * Writes a local file as one step: an interrupted get leaves the old file or none, never a part.
 *
 * @param slabs are written and released as they come
 */
export async function writeLocal(
  path: Buffer,
  slabs: AsyncIterable<Slab>,
  options: {
    readonly onProgress: (bytes: number) => void;
    readonly mode?: number;
    readonly mtimeMs?: number;
  },
): Promise<void> {
  const slash = path.lastIndexOf(SLASH);
  const hidden = Buffer.from(`.ashlar-get-${randomBytes(6).toString("hex")}`);
  const temporary = slash < 0 ? hidden : joinLocal(path.subarray(0, Math.max(slash, 0)), hidden);
  try {
    const file = await createTemporary(temporary, options.mode ?? 0o666);
    try {
      await copySlabs(file, slabs, options.onProgress);
    } finally {
      await file.close();
    }
    if (options.mtimeMs !== undefined) {
      await utimes(temporary, options.mtimeMs / 1000, options.mtimeMs / 1000);
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw localError(error, "write", path);
  }
}

function createTemporary(path: Buffer, mode: number): Promise<FileHandle> {
  return open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
}

async function copySlabs(
  file: FileHandle,
  slabs: AsyncIterable<Slab>,
  onProgress: (bytes: number) => void,
): Promise<void> {
  let position = 0;
  for await (const slab of slabs) {
    try {
      for (let offset = 0; offset < slab.bytes.length; ) {
        const length = slab.bytes.length - offset;
        const { bytesWritten } = await file.write(slab.bytes, offset, length, position);
        offset += bytesWritten;
        position += bytesWritten;
      }
    } finally {
      slab.release();
    }
    onProgress(position);
  }
}
