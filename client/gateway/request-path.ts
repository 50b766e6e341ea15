import { AshlarError } from "../../shared/base/errors.ts";
import { displayName, joinPath, type PathNames, parsePath } from "../../shared/base/path.ts";

/** Everything below this is the cluster's tree. */
export const FILES_ROOT = "/files";

/** The path in the cluster that a URL names. */
export interface RequestPath {
  readonly names: PathNames;
  readonly bytes: Uint8Array;
  /** For people: one line. */
  readonly text: string;
  /** Whether the URL ended with a slash. */
  readonly hasTrailingSlash: boolean;
}

const SLASH = 0x2f;
const PERCENT = 0x25;
/** Unreserved (RFC 3986, section 2.3) and what may stand as itself in a segment. */
const PLAIN = /^[A-Za-z0-9\-._~!$'()*,;:@]$/;

/**
 * The path below /files in the path of a URL. Names are bytes: "%FF" is the byte 0xFF.
 *
 * Segments "." and ".." and an encoded slash are refused: what a proxy before the gateway checked
 * must be what the gateway does.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, NAME_TOO_LONG
 */
export function parseRequestPath(urlPath: string): RequestPath {
  const encoded = urlPath.slice(FILES_ROOT.length);
  const segments = encoded.split("/").filter((segment) => segment !== "");
  const decoded = segments.map(decodeSegment);
  const slashes = decoded.map((name) => Buffer.concat([Uint8Array.of(SLASH), name]));
  const names = parsePath(decoded.length === 0 ? "/" : Buffer.concat(slashes));
  const bytes = joinPath(names);
  return { names, bytes, text: displayName(bytes), hasTrailingSlash: /\/$/.test(urlPath) };
}

function decodeSegment(segment: string): Uint8Array {
  const bytes = new Uint8Array(segment.length);
  let length = 0;
  for (let index = 0; index < segment.length; index += 1) {
    let byte = segment.charCodeAt(index);
    if (byte === PERCENT) {
      const hex = segment.slice(index + 1, index + 3);
      if (!/^[0-9a-f]{2}$/i.test(hex)) throw refused(segment, "% and two hex digits");
      byte = Number.parseInt(hex, 16);
      index += 2;
    }
    if (byte === SLASH) throw refused(segment, "no encoded slash: no name can hold one");
    bytes[length] = byte; // Node hands over raw bytes of the request line as Latin-1.
    length += 1;
  }
  const name = bytes.subarray(0, length);
  const isDots = length <= 2 && name.every((byte) => byte === 0x2e);
  if (isDots) throw refused(segment, 'no "." and no ".."');
  return name;
}

function refused(segment: string, wanted: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use "${segment.slice(0, 100)}" in the path of a URL: expected ${wanted}`,
  );
}

/** The path of the URL of `names`; with a slash at its end for a directory. */
export function urlOf(names: PathNames, isDirectory: boolean): string {
  const path = names.map((name) => `/${encodeSegment(name)}`).join("");
  return FILES_ROOT + path + (isDirectory ? "/" : "");
}

/** A name as a segment of a URL: the bytes, percent-encoded where they are not plain. */
function encodeSegment(name: Uint8Array): string {
  let text = "";
  for (const byte of name) {
    const character = String.fromCharCode(byte);
    text += PLAIN.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}
