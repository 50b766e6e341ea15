import { isAshlarError } from "../../shared/base/errors.ts";
import type { FileHandle } from "../results.ts";
import { type GatewayRequest, refuseSlashAfterFile } from "./gateway-request.ts";
import { getDirectory } from "./get-directory.ts";
import { getFile } from "./get-file.ts";

/** Handles `GET /files/path` and HEAD: the content of a file, or the entries of a directory. */
export async function getPath(request: GatewayRequest): Promise<void> {
  const handle = request.path.names.length === 0 ? null : await openFile(request);
  if (handle === null) return getDirectory(request);
  refuseSlashAfterFile(request, "file");
  return getFile(request, handle);
}

/** Opens the file of a request; null for a directory. */
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
