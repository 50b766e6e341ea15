import { AshlarError } from "../../shared/base/errors.ts";
import type { Driver, DriverOptions } from "./driver-options.ts";

/**
 * Opens the member's data directory, or founds it, and starts taking part.
 *
 * Resolves when the state is open; the member may still be without a leader. Register its handlers
 * (`registerRaftHandlers`) and listen before or after: peers keep trying.
 *
 * @throws {AshlarError} WRONG_IDENTITY if the directory is another member's; LOG_CORRUPT if the log
 *   is damaged; DISK_FAILED; NO_SPACE.
 */
export async function openDriver(options: DriverOptions): Promise<Driver> {
  throw new AshlarError("UNSUPPORTED", `Cannot open member ${options.memberId}: not written yet`);
}
