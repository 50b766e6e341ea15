import fs, { constants } from "node:fs";
import { rm } from "node:fs/promises";
import { promisify } from "node:util";
import { AshlarError } from "../../../shared/base/errors.ts";
import { publishFile } from "../../../shared/platform/publish-file.ts";
import type { Slab } from "../../results.ts";
import type { LocalPath } from "../local-path.ts";
import type { WaitLine } from "../wait-line.ts";
import { applyAttributes, type LocalAttributes } from "./local-attributes.ts";
import { localError } from "./local-error.ts";
import { directoryOf, examineTarget, type LocalTarget } from "./local-target.ts";
import { SparseWriter } from "./sparse-writer.ts";
import { temporaryName } from "./temporary-files.ts";
import { openWritable } from "./writable-file.ts";

const { O_CREAT, O_EXCL, O_RDWR } = constants;
const openDescriptor = promisify(fs.open);
/** A file that is not published is readable by its owner only, because the final one may be, too. */
const TEMPORARY_MODE = 0o600;
const MODE_BITS = 0o7777;

/** Rules for a file that is published under its final name. */
export interface PublishOptions {
  /** If false, a target that exists is refused, also one that appears meanwhile. */
  readonly replace: boolean;
  /** Attributes of a new file. A replaced file keeps its own mode and owner unless `preserve`. */
  readonly attributes: LocalAttributes;
  /** Whether a replaced file gets `attributes`, too. */
  readonly preserve: boolean;
}

/** Options of `writeLocal`. */
export interface WriteOptions extends PublishOptions {
  readonly signal: AbortSignal;
  /** Names the wait for the reader of a FIFO. */
  readonly waits: WaitLine;
  /** Receives the number of bytes written so far. */
  readonly onProgress: (bytes: number) => void;
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
    if (target.kind !== "special") {
      const { isOwnerKept } = await writeAndPublish(target, options, (descriptor) =>
        copySlabs(descriptor, slabs, options.onProgress),
      );
      return isOwnerKept;
    }
    await options.waits.during(path.text, () => writeInto(target, slabs, options));
    return true;
  } catch (error) {
    throw writeError(error, path);
  }
}

/** Returns the error of a write: that of a system call with the path. */
export function writeError(error: unknown, path: LocalPath): unknown {
  if ((error as NodeJS.ErrnoException).syscall === undefined) return error;
  return localError(error, "write", path);
}

/**
 * Refuses a target that cannot be written.
 *
 * @throws {AshlarError} ALREADY_EXISTS without `replace`; IS_A_DIRECTORY
 */
export function requireWritable(path: LocalPath, target: LocalTarget, replace: boolean): void {
  const problem = problemOf(target);
  if (problem === null || (replace && target.kind !== "directory")) return;
  const code = replace ? "IS_A_DIRECTORY" : "ALREADY_EXISTS";
  throw new AshlarError(code, `Cannot write the local path ${path.text}: ${problem}`);
}

/** Returns why a target is not written without `replace`; null if it is. */
function problemOf({ kind, path }: LocalTarget): string | null {
  switch (kind) {
    case "file":
      return "file exists";
    case "directory":
      return "is a directory";
    case "dangling":
      return `it is a dangling symbolic link to ${path.text}`;
    default:
      return null;
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

/**
 * Lets `fill` write a file under a temporary name and publishes it. A failure leaves no file.
 *
 * @param target is no special file
 * @param fill writes the content. It does not close the descriptor.
 * @returns the result of `fill`, and whether the owner in the attributes was set
 * @throws an error of the system; EEXIST if the target appeared meanwhile
 */
export async function writeAndPublish<Result>(
  target: LocalTarget,
  options: PublishOptions,
  fill: (descriptor: number) => Promise<Result>,
): Promise<{ readonly result: Result; readonly isOwnerKept: boolean }> {
  const temporary = directoryOf(target.path).join(temporaryName()).systemPath;
  try {
    const descriptor = await openDescriptor(temporary, O_RDWR | O_CREAT | O_EXCL, TEMPORARY_MODE);
    let isOwnerKept: boolean;
    let result: Result;
    try {
      result = await fill(descriptor);
      const keptOwner = await applyAttributes(descriptor, attributesFor(target, options));
      isOwnerKept = keptOwner || !options.preserve;
    } finally {
      fs.closeSync(descriptor);
    }
    await publishFile(temporary, target.path.systemPath, options);
    return { result, isOwnerKept };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function attributesFor(
  target: LocalTarget,
  { attributes, preserve }: PublishOptions,
): LocalAttributes {
  if (target.kind !== "file" || preserve) return attributes;
  const { mode, uid, gid } = target.stats;
  return { ...attributes, mode: mode & MODE_BITS, owner: { uid, gid } };
}

async function copySlabs(
  descriptor: number,
  slabs: AsyncIterable<Slab>,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const writer = new SparseWriter(descriptor);
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
