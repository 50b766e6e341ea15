import { joinPath, type PathInput, parsePath } from "../../shared/base/path.ts";
import type { Target } from "../../shared/protocol/namespace-api.ts";

/** A path that is what `parsePath` would make of it. No name of 85 characters has more than 255 bytes. */
const PLAIN_PATH = /^(?:\/(?!\.)[^/\0]{1,85}){1,64}$/;
const encoder = new TextEncoder();

/** The target of an operation or a precondition. @throws {AshlarError} as `parsePath` does. */
export function targetOf(path: PathInput): Target {
  if (typeof path === "string" && PLAIN_PATH.test(path)) return { path: bytesOf(path) };
  return { path: joinPath(parsePath(path)) };
}

/** UTF-8. What is ASCII, as most paths are, does not go through the encoder, which costs ten times as much. */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) return encoder.encode(text);
    bytes[at] = code;
  }
  return bytes;
}
