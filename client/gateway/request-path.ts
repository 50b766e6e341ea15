import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName, joinPath, type PathNames, parsePath } from "../../shared/base/path.ts";

/** URL prefix of the paths of the cluster. */
export const FILES_ROOT = "/files";

/** The parts of a request target (RFC 9112, section 3.2). */
export interface RequestTarget {
  /** The path as sent: percent-encoded, with the bytes of the request line as Latin-1. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** The path in the cluster of a URL. */
export interface RequestPath {
  readonly names: PathNames;
  readonly bytes: Uint8Array;
  /** The path as `displayName` shows it. */
  readonly text: string;
  /** Whether the URL ends with a slash, so that it names a directory. */
  readonly hasTrailingSlash: boolean;
}

const SLASH = 0x2f;
const PERCENT = 0x25;
/** Characters of a URL segment that need no encoding (RFC 3986, sections 2.3 and 3.3). */
const PLAIN = /^[A-Za-z0-9\-._~!$'()*,;:@]$/;

/**
 * Splits the target of a request into path and query. It changes no byte: a general URL parser
 * removes a fragment, replaces backslashes and trims some bytes, and the request would then change
 * another path.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a target with a fragment
 */
export function parseRequestTarget(url: string): RequestTarget {
  const target = url.replace(/^https?:\/\/[^/?#]*/i, "");
  if (target.includes("#")) throw refused(target, 'a URL without "#", which is %23 in a name');
  const queryStart = target.indexOf("?");
  if (queryStart < 0) return { path: target, query: new URLSearchParams() };
  const query = Buffer.from(target.slice(queryStart + 1), "latin1").toString("utf8");
  return { path: target.slice(0, queryStart), query: new URLSearchParams(query) };
}

/**
 * Parses the path of a URL below /files. Names are bytes: "%FF" is the byte 0xFF.
 *
 * Segments "." and "..", empty segments and an encoded slash are refused, so that the gateway, a
 * proxy in front of it and the writer of the URL mean the same path.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, NAME_TOO_LONG
 */
export function parseRequestPath(urlPath: string): RequestPath {
  const encoded = urlPath.slice(FILES_ROOT.length);
  const inner = encoded.replace(/^\//, "").replace(/\/$/, "");
  const segments = encoded.length < 2 ? [] : inner.split("/");
  if (segments.includes("")) throw refused(urlPath, "a name between two slashes");
  const decoded = segments.map(decodeSegment);
  const slashes = decoded.map((name) => Buffer.concat([Uint8Array.of(SLASH), name]));
  const names = parsePath(decoded.length === 0 ? "/" : Buffer.concat(slashes));
  const bytes = joinPath(names);
  return { names, bytes, text: displayName(bytes), hasTrailingSlash: urlPath.endsWith("/") };
}

function decodeSegment(segment: string): Uint8Array {
  const bytes = new Uint8Array(segment.length);
  let length = 0;
  for (let index = 0; index < segment.length; index += 1) {
    let byte = segment.charCodeAt(index);
    if (byte === PERCENT) {
      const hex = segment.slice(index + 1, index + 3);
      if (!/^[0-9a-f]{2}$/i.test(hex)) throw refused(segment, "two hex digits after %");
      byte = Number.parseInt(hex, 16);
      index += 2;
    }
    if (byte === SLASH) throw refused(segment, "a name without an encoded slash");
    bytes[length] = byte; // Node decodes the bytes of the request line as Latin-1.
    length += 1;
  }
  const name = bytes.subarray(0, length);
  const isDots = length <= 2 && name.every((byte) => byte === 0x2e);
  if (isDots) throw refused(segment, 'a name other than "." and ".."');
  return name;
}

function refused(segment: string, expected: string): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use the path of the URL: expected ${expected}: current value is "${segment.slice(0, 100)}"`,
  );
}

/** Returns the URL path of `names`, with a slash at the end for a directory. */
export function urlOf(names: PathNames, isDirectory: boolean): string {
  const path = names.map((name) => `/${encodeSegment(name)}`).join("");
  return FILES_ROOT + path + (isDirectory ? "/" : "");
}

/** Each byte in a URL segment: percent-encoded, but for plain bytes. */
const ENCODED_BYTES: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return PLAIN.test(character) ? character : `%${toHex(Uint8Array.of(byte)).toUpperCase()}`;
});

function encodeSegment(name: Uint8Array): string {
  let text = "";
  for (const byte of name) text += ENCODED_BYTES[byte];
  return text;
}
