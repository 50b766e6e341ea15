import { isAshlarError } from "../../shared/base/errors.ts";
import type { FileSystem } from "../file-system.ts";
import type { Attributes, ReadOptions } from "../index.ts";

/** Returns the attributes of a path; null if it does not exist. */
export async function statOrNull(
  fileSystem: FileSystem,
  path: Uint8Array,
  options: ReadOptions,
): Promise<Attributes | null> {
  try {
    return await fileSystem.stat(path, options);
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}
