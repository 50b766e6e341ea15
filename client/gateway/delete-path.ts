import { targetOf } from "../index.ts";
import { evaluateConditions, preconditionsOf } from "./conditions.ts";
import {
  type GatewayRequest,
  preconditionFailed,
  queryFlag,
  refuseSlashAfterFile,
} from "./gateway-request.ts";

/**
 * Handles `DELETE /files/path`: removes a file, an empty directory, or with `?recursive=true` a
 * tree atomically.
 */
export async function deletePath(request: GatewayRequest): Promise<void> {
  const { context, files, path, scope } = request;
  const { signal } = scope;
  const found = await files.stat(path.bytes, { signal });
  refuseSlashAfterFile(request, found.kind);
  if (evaluateConditions("DELETE", context.headers, found) !== "proceed") {
    throw preconditionFailed(request);
  }
  const target = targetOf(path.bytes);
  const preconditions = preconditionsOf(context.headers, target, found);
  if (found.kind === "file")
    await files.transact([{ kind: "unlink", target }], preconditions, { signal });
  else if (queryFlag(request, "recursive")) {
    await files.transact([{ kind: "remove-tree", target }], preconditions, { signal });
  } else await files.transact([{ kind: "remove-directory", target }], preconditions, { signal });
  context.status = 204;
}
