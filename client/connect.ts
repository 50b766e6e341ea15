import { AshlarError } from "../shared/base/errors.ts";
import type { FileSystem } from "./file-system.ts";
import type { ConnectOptions } from "./options.ts";

/**
 * Connects to a cluster. Resolves once a master has answered, so that a wrong address shows here.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for no or bad addresses; UNAVAILABLE or DEADLINE_EXCEEDED
 *   if no master answers within `timeoutMs`; WRONG_CLUSTER.
 */
export async function connect(options: ConnectOptions): Promise<FileSystem> {
  await Promise.resolve();
  throw new AshlarError("UNSUPPORTED", `Cannot connect to ${options.masters.join(", ")} yet`);
}
