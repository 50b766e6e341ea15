import type { FileSystem } from "../../client/file-system.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { Value } from "./register.ts";

/**
 * Returns the stamp of a file. `create` sets no times, so the stamp of an empty file is its owner.
 */
export function stampOfAttributes(attributes: Attributes): Value {
  if (attributes.kind === "directory") return -1;
  return attributes.sizeBytes === 0 ? attributes.uid : attributes.mtimeMs;
}

/** Returns the stamp that a linearizable stat shows. */
export async function stampOf(fileSystem: FileSystem, path: string): Promise<Value> {
  try {
    return stampOfAttributes(await fileSystem.stat(path));
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}
