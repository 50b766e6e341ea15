import { type PathInput, tidyPath } from "../../shared/base/path.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";

/**
 * Matches paths that `tidyPath` does not change, so they need no parsing. A name of 85 characters
 * has at most 255 bytes of UTF-8.
 */
const PLAIN_PATH = /^(?:\/(?!\.)[^/\0\ud800-\udfff]{1,85}){1,64}$/;
const encoder = new TextEncoder();

/**
 * Converts a path to the target of an operation or precondition. The target keeps the end of the
 * path: see `PathEnd`.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if `parsePath` rejects the path.
 */
export function targetOf(path: PathInput): Target {
  if (typeof path === "string" && PLAIN_PATH.test(path)) return { path: bytesOf(path) };
  return { path: tidyPath(path) };
}

/**
 * Encodes UTF-8. ASCII text, as in most paths, is copied by hand: the encoder is ten times slower.
 */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return encoder.encode(text);
    bytes[index] = code;
  }
  return bytes;
}
