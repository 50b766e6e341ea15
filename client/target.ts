import { joinPath, type PathInput, parsePath } from "../shared/base/path.ts";
import type { Target } from "../shared/protocol/namespace-api.ts";

/** A path that is what `parsePath` would make of it. No name of 85 characters has more than 255 bytes. */
const PLAIN_PATH = /^(?:\/(?!\.)[^/\0]{1,85}){1,64}$/;
const encoder = new TextEncoder();

/** The target of an operation or a precondition. @throws {AshlarError} as `parsePath` does. */
export function targetOf(path: PathInput): Target {
  if (typeof path === "string" && PLAIN_PATH.test(path)) return { path: encoder.encode(path) };
  return { path: joinPath(parsePath(path)) };
}
