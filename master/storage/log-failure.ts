import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { DiskFile } from "../../shared/ports/disk.ts";

/** A full disk that shows at the sync has already lost something: unlike at a write, it is fatal. */
export function syncFile(file: DiskFile): Promise<void> {
  return failIfFull(file.sync());
}

/** Room that was there, and is not when it is used, is no disk that is merely full. */
export async function failIfFull(synced: Promise<void>): Promise<void> {
  try {
    await synced;
  } catch (error) {
    if (!isAshlarError(error, "NO_SPACE")) throw error;
    throw new AshlarError("DISK_FAILED", error.message, { cause: error, details: error.details });
  }
}

/** What failed, as every later append is told. @throws an error that no disk gives: a bug */
export function toLogFailure(error: unknown): AshlarError {
  if (isAshlarError(error, "NO_SPACE")) {
    return new AshlarError("NO_SPACE", `Cannot append to the log: ${error.message}`, {
      cause: error,
      details: error.details,
      hint: "Free space on the disk of the master's data directory and restart the member",
    });
  }
  if (isAshlarError(error, "DISK_FAILED")) return error;
  assert(isAshlarError(error), `only the disk can fail the log: ${String(error)}`);
  return new AshlarError("DISK_FAILED", `Cannot append to the log: ${error.message}`, {
    cause: error,
    details: error.details,
  });
}
