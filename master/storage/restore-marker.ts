import { AshlarError } from "../../shared/base/errors.ts";
import type { Disk } from "../../shared/ports/disk.ts";

/** There while a backup is being restored. */
const MARKER_PATH = "restoring";
/** Of the process that uses the directory: not part of what is in it. */
const LOCK_NAME = "ashlar.lock";

/**
 * Begins a restore into an empty directory: durable when it resolves.
 *
 * @throws {AshlarError} ALREADY_EXISTS if there is anything.
 */
export async function beginRestore(disk: Disk): Promise<void> {
  const [entry] = (await disk.list(".")).filter(({ name }) => !name.startsWith(LOCK_NAME));
  if (entry !== undefined) {
    throw new AshlarError(
      "ALREADY_EXISTS",
      `Cannot restore into the data directory: expected an empty one: it holds ${entry.name}`,
      { hint: "Move the old directory away; keep it until the restored cluster is proved good" },
    );
  }
  await disk.writeFileDurably(MARKER_PATH, new Uint8Array());
}

/** The directory is a member's from here on. */
export async function endRestore(disk: Disk): Promise<void> {
  await disk.remove(MARKER_PATH);
  await disk.syncDirectory(".");
}

/** @throws {AshlarError} WRONG_IDENTITY: half a state must not take part. */
export async function refuseUnfinishedRestore(disk: Disk): Promise<void> {
  const entries = await disk.list(".").catch((error: AshlarError) => {
    if (error.code === "NOT_FOUND") return [];
    throw error;
  });
  if (!entries.some((entry) => entry.name === MARKER_PATH)) return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    "Cannot use the data directory: a restore of a backup did not come to its end",
    { hint: "Delete the directory and run `ashlar restore-cluster` again" },
  );
}
