import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { FileHandle } from "../results.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import { getDirectory } from "./get-directory.ts";
import { getFile } from "./get-file.ts";

/** `GET /files/path` and HEAD: a file's bytes, or what is in a directory. */
export async function getPath(request: GatewayRequest): Promise<void> {
  const handle = request.path.names.length === 0 ? null : await openFile(request);
  if (handle === null) return getDirectory(request);
  if (request.path.hasTrailingSlash) {
    throw new AshlarError(
      "NOT_A_DIRECTORY",
      `Cannot list ${request.path.text}: it is a file: ask for it without the "/" at the end`,
    );
  }
  return getFile(request, handle);
}

/** Null for a directory. */
async function openFile({ files, path, scope }: GatewayRequest): Promise<FileHandle | null> {
  try {
    const handle = await files.open(path.bytes, "read", { signal: scope.signal });
    scope.defer(() => handle.close());
    return handle;
  } catch (error) {
    if (isAshlarError(error, "IS_A_DIRECTORY")) return null;
    throw error;
  }
}
