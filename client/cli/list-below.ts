import { isAshlarError } from "../../shared/base/errors.ts";
import type { FileSystem } from "../file-system.ts";
import type { ReadOptions } from "../options.ts";
import type { DirectoryEntry } from "../results.ts";

/**
 * Lists a directory that the listing of its parent contained. If it was removed since then, it has no
 * entries: the command continues, as `FileSystem.walk` does.
 */
export async function* listBelow(
  fileSystem: FileSystem,
  path: Uint8Array,
  options: ReadOptions,
): AsyncGenerator<DirectoryEntry, void, void> {
  try {
    yield* fileSystem.list(path, options);
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND") || isAshlarError(error, "NOT_A_DIRECTORY")) return;
    throw error;
  }
}
