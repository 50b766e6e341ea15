import type { BigIntStats } from "node:fs";
import { stat } from "node:fs/promises";
import { AshlarError, type ErrorCode, isAshlarError } from "../../../shared/base/errors.ts";
import { errnoWords } from "../../../shared/platform/errno-words.ts";
import type { LocalPath } from "../local-path.ts";

/** Error codes by the errno of a failed system call on a local file. Default: DISK_FAILED. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "NOT_FOUND",
  EACCES: "PERMISSION_DENIED",
  EPERM: "PERMISSION_DENIED",
  EROFS: "PERMISSION_DENIED",
  EEXIST: "ALREADY_EXISTS",
  ENOTDIR: "NOT_A_DIRECTORY",
  EISDIR: "IS_A_DIRECTORY",
  ENOSPC: "NO_SPACE",
  EDQUOT: "NO_SPACE",
  EFBIG: "TOO_LARGE",
  ENAMETOOLONG: "NAME_TOO_LONG",
  ENXIO: "UNSUPPORTED",
};

/**
 * Returns the error of a failed system call on a local path. Its message has the form "Cannot open
 * the local path ./a: no such file or directory". An AshlarError is returned unchanged.
 *
 * @param action "open"
 */
export function localError(error: unknown, action: string, path: LocalPath): AshlarError {
  if (isAshlarError(error)) return error; // The reason of a signal.
  const { code: errno, message } = error as NodeJS.ErrnoException;
  const reason = errno === undefined ? message : errnoWords(errno);
  const text = `Cannot ${action} the local path ${path.text}: ${reason}`;
  return new AshlarError(CODES[errno ?? ""] ?? "DISK_FAILED", text, { cause: error });
}

/** Returns the error of a file that is not regular where only regular ones are read. */
export function specialFileError(path: LocalPath, stats: BigIntStats): AshlarError {
  return new AshlarError("UNSUPPORTED", `Cannot put ${path.text}: it is ${specialKindOf(stats)}`, {
    hint: "FIFOs and devices are read only if they are named as sources",
  });
}

/** Returns the kind of a file that is not regular: "a FIFO". */
export function specialKindOf(stats: BigIntStats): string {
  if (stats.isFIFO()) return "a FIFO";
  if (stats.isSocket()) return "a socket";
  return stats.isBlockDevice() ? "a block device" : "a character device";
}

/** Returns the stats of a local path. @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … */
export async function statLocal(path: LocalPath): Promise<BigIntStats> {
  try {
    return await stat(path.systemPath, { bigint: true });
  } catch (error) {
    throw localError(error, "read", path);
  }
}
