import { AshlarError } from "../../shared/base/errors.ts";
import type { Disk } from "../../shared/ports/disk.ts";

/** An empty file that exists while a backup is being restored. */
const MARKER_PATH = "restoring";
/** Names the process that uses the directory. It does not count as content. */
const LOCK_NAME = "ashlar.lock";

/**
 * Marks an empty directory as being restored. The marker is durable when the promise resolves.
 *
 * @throws {AshlarError} ALREADY_EXISTS if the directory is not empty.
 */
export async function beginRestore(disk: Disk): Promise<void> {
  const [entry] = (await disk.list(".")).filter(({ name }) => name !== LOCK_NAME);
  if (entry !== undefined) {
    throw new AshlarError(
      "ALREADY_EXISTS",
      `Cannot restore into the data directory: expected an empty directory: it contains ${entry.name}`,
      { hint: "Move the old directory away. Keep it until the restored cluster is verified" },
    );
  }
  await disk.writeFileDurably(MARKER_PATH, new Uint8Array());
}

/** Removes the marker: a master can start on the directory. Durable when the promise resolves. */
export async function endRestore(disk: Disk): Promise<void> {
  await disk.remove(MARKER_PATH);
  await disk.syncDirectory(".");
}

/**
 * Checks that no restore was interrupted in this directory.
 *
 * @throws {AshlarError} WRONG_IDENTITY: a member with an incomplete state must not join its group.
 */
export async function refuseUnfinishedRestore(disk: Disk): Promise<void> {
  const entries = await disk.list(".").catch((error: AshlarError) => {
    if (error.code === "NOT_FOUND") return [];
    throw error;
  });
  if (!entries.some((entry) => entry.name === MARKER_PATH)) return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    "Cannot use the data directory: the restore of a backup was interrupted",
    { hint: "Delete the directory and run `ashlar restore-cluster` again" },
  );
}
