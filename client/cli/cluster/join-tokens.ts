import { access } from "node:fs/promises";
import { join } from "node:path";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LocalNode } from "../../../shared/platform/local-cluster-file.ts";
import type { FileSystem } from "../../file-system.ts";
import { nodePaths } from "./layout.ts";

/** The credential in the data directory of a chunkserver that has enrolled: docs/on-disk-format.md. */
const CREDENTIAL_FILE = "credential.json";
/** Long enough for the start of a process. */
const VALID_MS = 10 * 60 * 1_000;

/** Returns whether the node is a chunkserver that has not enrolled. */
export async function needsJoinToken(directory: string, node: LocalNode): Promise<boolean> {
  if (node.role === "master") return false;
  try {
    await access(join(nodePaths(directory, node.name).data, CREDENTIAL_FILE));
    return false;
  } catch {
    return true;
  }
}

/** Returns a new join token. Undefined if the masters need none: their feature level is below 13. */
export async function joinTokenOf(
  fileSystem: FileSystem,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const options = signal === undefined ? {} : { signal };
  try {
    return await fileSystem.enrolment.makeToken({ validMs: VALID_MS, ...options });
  } catch (error) {
    // UNSUPPORTED: masters of version 0.1.0.
    const isNotNeeded =
      isAshlarError(error, "VERSION_MISMATCH") || isAshlarError(error, "UNSUPPORTED");
    if (isNotNeeded) return undefined;
    throw error;
  }
}
