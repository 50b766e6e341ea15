import type { FileSystem } from "../../client/file-system.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { Value } from "./register.ts";

/** An empty file has its stamp as its owner, since `create` sets no times; others as their mtime. */
export function stampOfAttributes(attributes: Attributes): Value {
  if (attributes.kind === "directory") return -1;
  return attributes.sizeBytes === 0 ? attributes.uid : attributes.mtimeMs;
}

/** What a linearizable stat shows. */
export async function stampOf(fileSystem: FileSystem, path: string): Promise<Value> {
  try {
    return stampOfAttributes(await fileSystem.stat(path));
  } catch (error) {
    if (isAshlarError(error, "NOT_FOUND")) return null;
    throw error;
  }
}
