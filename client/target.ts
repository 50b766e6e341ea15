import { joinPath, type PathInput, parsePath } from "../shared/base/path.ts";
import type { Target } from "../shared/protocol/namespace-api.ts";

/** The target of an operation or a precondition. @throws {AshlarError} as `parsePath` does. */
export function targetOf(path: PathInput): Target {
  return { path: joinPath(parsePath(path)) };
}
