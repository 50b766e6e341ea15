import { isAshlarError } from "../../shared/base/errors.ts";
import type { FileSystem } from "../file-system.ts";
import type { Attributes, ReadOptions } from "../index.ts";

/** The attributes, or null if nothing is there. */
export async function statOrNull(
  fileSystem: FileSystem,
  path: Uint8Array,
  look: ReadOptions,
): Promise<Attributes | null> {
  try {
    return await fileSystem.stat(path, look);
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}

export async function exists(
  fileSystem: FileSystem,
  path: Uint8Array,
  look: ReadOptions,
): Promise<boolean> {
  return (await statOrNull(fileSystem, path, look)) !== null;
}
