import { constants } from "node:fs";
import { type FileHandle, link, open, rename, rm, unlink } from "node:fs/promises";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { Slab } from "../../results.ts";
import type { LocalPath } from "../local-path.ts";
import { applyAttributes, type LocalAttributes } from "./local-attributes.ts";
import { localError } from "./local-error.ts";
import { directoryOf, examineTarget, type LocalTarget } from "./local-target.ts";
import { SparseWriter } from "./sparse-writer.ts";
import { temporaryName } from "./temporary-files.ts";
import { openWritable } from "./writable-file.ts";

const { O_CREAT, O_EXCL, O_WRONLY } = constants;
/** A file that is not published is readable by its owner only, because the final one may be, too. */
const TEMPORARY_MODE = 0o600;
const MODE_BITS = 0o7777;
/** errno values of a file system without hard links. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EINVAL"];

/** Options of `writeLocal`. */
export interface WriteOptions {
  readonly signal: AbortSignal;
  /** Receives the number of bytes written so far. */
  readonly onProgress: (bytes: number) => void;
  /** If false, a target that exists is refused, also one that appears meanwhile. */
  readonly replace: boolean;
  /** Attributes of a new file. A replaced file keeps its own mode and owner unless `preserve`. */
  readonly attributes: LocalAttributes;
  /** Whether a replaced file gets `attributes`, too. */
  readonly preserve: boolean;
}

/**
 * Writes a local file and publishes it whole: an interrupted get leaves the old file or none, never a
 * part of the new one. Two processes that write the same name without `replace` never lose a file.
 *
 * - A symbolic link is followed. A dangling one is refused without `replace`.
 * - A target that is not a regular file (/dev/null, a FIFO) is written to directly.
 * - Blocks of zeros become holes (see `SparseWriter`).
 * - The data is not synced to the disk, as with cp(1).
 *
 * @param slabs are written and released one by one
 * @returns whether the owner in `attributes` was set
 * @throws {AshlarError} ALREADY_EXISTS, IS_A_DIRECTORY, NO_SPACE, PERMISSION_DENIED, …
 */
export async function writeLocal(
  path: LocalPath,
  slabs: AsyncIterable<Slab>,
  options: WriteOptions,
): Promise<boolean> {
  const target = await examineTarget(path);
  requireWritable(path, target, options.replace);
  try {
    if (target.kind !== "special") return await writeAndPublish(target, slabs, options);
    await writeInto(target, slabs, options);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw localError(error, "write", path);
  }
}

/**
 * Refuses a target that cannot be written.
 *
 * @throws {AshlarError} IS_A_DIRECTORY; ALREADY_EXISTS without `replace`
 */
function requireWritable(path: LocalPath, target: LocalTarget, replace: boolean): void {
  const refused = (code: "IS_A_DIRECTORY" | "ALREADY_EXISTS", problem: string): AshlarError =>
    new AshlarError(code, `Cannot write the local path ${path.text}: ${problem}`);
  if (target.kind === "directory") throw refused("IS_A_DIRECTORY", "is a directory");
  if (replace) return;
  if (target.kind === "file") throw refused("ALREADY_EXISTS", "file exists");
  if (target.kind === "dangling") {
    throw refused("ALREADY_EXISTS", `it is a dangling symbolic link to ${target.path.text}`);
  }
}

async function writeInto(
  { path, stats }: LocalTarget & { readonly kind: "special" },
  slabs: AsyncIterable<Slab>,
  { signal, onProgress }: WriteOptions,
): Promise<void> {
  await using file = await openWritable(path.systemPath, stats, signal);
  let positionBytes = 0;
  for await (const slab of slabs) {
    try {
      await file.write(slab.bytes);
      positionBytes += slab.bytes.length;
    } finally {
      slab.release();
    }
    onProgress(positionBytes);
  }
}

async function writeAndPublish(
  target: Exclude<LocalTarget, { readonly kind: "special" | "directory" }> | LocalTarget,
  slabs: AsyncIterable<Slab>,
  options: WriteOptions,
): Promise<boolean> {
  const temporary = directoryOf(target.path).join(temporaryName()).systemPath;
  try {
    const file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL, TEMPORARY_MODE);
    let isOwnerKept: boolean;
    try {
      await copySlabs(file, slabs, options.onProgress);
      const keptOwner = await applyAttributes(file, attributesFor(target, options));
      isOwnerKept = keptOwner || !options.preserve;
    } finally {
      await file.close();
    }
    if (options.replace) await rename(temporary, target.path.systemPath);
    else await publishNew(temporary, target.path.systemPath);
    return isOwnerKept;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function attributesFor(
  target: LocalTarget,
  { attributes, preserve }: WriteOptions,
): LocalAttributes {
  if (target.kind !== "file" || preserve) return attributes;
  const { mode, uid, gid } = target.stats;
  return { ...attributes, mode: mode & MODE_BITS, owner: { uid, gid } };
}

async function copySlabs(
  file: FileHandle,
  slabs: AsyncIterable<Slab>,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const writer = new SparseWriter(file);
  for await (const slab of slabs) {
    try {
      await writer.write(slab.bytes);
    } finally {
      slab.release();
    }
    onProgress(writer.positionBytes);
  }
  await writer.end();
}

/** Gives a file its final name, which must be free. @throws an error with the code EEXIST */
async function publishNew(temporary: Buffer, path: Buffer): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (!NO_LINKS.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    // Takes the name with an empty file, which the rename replaces.
    await (await open(path, O_WRONLY | O_CREAT | O_EXCL, TEMPORARY_MODE)).close();
    await rename(temporary, path);
    return;
  }
  await unlink(temporary);
}
