import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { DiskFile } from "../../shared/ports/disk.ts";

/** The errors of a path that is neither a regular file nor, where one is expected, a directory. */
const WRONG_KIND: readonly unknown[] = ["EEXIST", "EISDIR", "ELOOP", "ENOTDIR", "ENXIO", "ESPIPE"];

/** Returns whether a path is not what was expected, such as a directory in the place of a file. */
export function isWrongKind(error: unknown): boolean {
  return isAshlarError(error) && WRONG_KIND.includes(error.details["errno"]);
}

/** Syncs `file`. NO_SPACE becomes DISK_FAILED: unlike at a write, data may be lost already. */
export function syncFile(file: DiskFile): Promise<void> {
  return failIfFull(file.sync());
}

/** Awaits a write into allocated space. NO_SPACE is then a failure of the disk: DISK_FAILED. */
export async function failIfFull(synced: Promise<void>): Promise<void> {
  try {
    await synced;
  } catch (error) {
    if (!isAshlarError(error, "NO_SPACE")) throw error;
    throw new AshlarError("DISK_FAILED", error.message, { cause: error, details: error.details });
  }
}

/**
 * Converts the error of a failed write to the error of this and every later append.
 *
 * @throws an assertion error if it is not an error of a disk: a bug.
 */
export function toLogFailure(error: unknown): AshlarError {
  if (isAshlarError(error, "NO_SPACE")) {
    return new AshlarError("NO_SPACE", `Cannot append to the log: ${error.message}`, {
      cause: error,
      details: error.details,
      hint: "Free space on the disk of the master's data directory and restart the member",
    });
  }
  if (isAshlarError(error, "DISK_FAILED")) return error;
  assert(isAshlarError(error), `the log fails only with an error of the disk: ${String(error)}`);
  return new AshlarError("DISK_FAILED", `Cannot append to the log: ${error.message}`, {
    cause: error,
    details: error.details,
  });
}
