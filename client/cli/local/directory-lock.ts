import { setTimeout as sleep } from "node:timers/promises";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import {
  type DataDirectoryLock,
  lockDataDirectory,
} from "../../../shared/platform/data-directory-lock.ts";

const POLL_MS = 100;
/** Longer than a command holds a lock: it writes small files and starts processes. */
const WAIT_MS = 10_000;

/**
 * Runs `change` while no other command changes the files in `directory`, which is made if it does not
 * exist. Without it, two commands that read a file and replace it lose one of the changes. A machine
 * without locks (see `lockDataDirectory`) has no such protection.
 *
 * @throws {AshlarError} ALREADY_EXISTS with the process that has the lock
 */
export async function whileLocked<Result>(
  directory: string,
  change: () => Promise<Result>,
): Promise<Result> {
  await using _lock = await waitForLock(directory);
  return await change();
}

async function waitForLock(directory: string): Promise<DataDirectoryLock | null> {
  const endMs = performance.now() + WAIT_MS;
  for (;;) {
    try {
      return await lockDataDirectory(directory);
    } catch (error) {
      if (isAshlarError(error, "UNSUPPORTED")) return null;
      if (!isAshlarError(error, "ALREADY_EXISTS")) throw error;
      if (performance.now() > endMs) throw busy(directory, error);
    }
    await sleep(POLL_MS);
  }
}

function busy(directory: string, error: AshlarError): AshlarError {
  const { code, details } = error;
  const message = `Cannot change ${directory}: ${String(details["holder"])} is changing it`;
  return new AshlarError(code, message, { cause: error, details, hint: "Run the command again" });
}
