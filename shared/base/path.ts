import type { Branded } from "./brand.ts";
import { compareBytes, concatBytes } from "./bytes.ts";
import { NAME_BYTES_MAX, PATH_BYTES_MAX, type PathFault, pathFaultError } from "./path-faults.ts";

/**
 * The name of one directory entry: 1 to 255 bytes, none of them `/` or NUL, not `.` and not `..`.
 * Names are bytes, as in path_resolution(7): they need not be UTF-8.
 */
export type EntryName = Branded<Uint8Array, "EntryName">;

/** An absolute path as its names from the root. The root is the empty list. */
export type PathNames = readonly EntryName[];

/**
 * The end of a path as its caller wrote it:
 *
 * - `name`: a name, or the root.
 * - `slash`: a slash after a name. Such a path names a directory (path_resolution(7)).
 * - `dots`: `.` or `..`, with or without slashes after it. Such a path names a directory too, and
 *   POSIX does not remove, rename or create what it names.
 */
export type PathEnd = "name" | "slash" | "dots";

/** A path from a caller: text (see `pathText`) or raw bytes. It begins with `/`. */
export type PathInput = string | Uint8Array;

/**
 * Most names from the root down to a new name, as MAX_PATH_DEPTH of HDFS. A rename of a directory checks
 * the directory itself, not what is below it, so a tree can become deeper.
 */
export const DEPTH_MAX = 1_000;

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * Returns the names in `input`. Repeated and trailing slashes and `.` are skipped. `..` removes the
 * name before it; at the root it has no effect (path_resolution(7) without symbolic links).
 *
 * @throws {AshlarError} INVALID_ARGUMENT if the path does not begin with "/", contains a NUL, or is
 *   text with half of a surrogate pair;
 *   NAME_TOO_LONG for a name over 255 bytes or a path over 64 KiB
 */
export function parsePath(input: PathInput): PathNames {
  return namesIn(pathBytes(input));
}

/** Returns the end of an absolute path. It looks at the last bytes only. */
export function endOfPath(path: Uint8Array): PathEnd {
  let end = path.length;
  while (end > 0 && path[end - 1] === SLASH) end -= 1;
  if (end === 0) return "name"; // The root.
  if (path[end - 1] === DOT) {
    const before = path[end - 2] === DOT ? path[end - 3] : path[end - 2];
    if (before === SLASH) return "dots";
  }
  return end === path.length ? "name" : "slash";
}

/**
 * Returns the bytes of a path without repeated slashes, `.` and `..`, but with the slash at its end.
 * A path that ends in `.` or `..` is returned unchanged.
 *
 * @throws {AshlarError} the errors of `parsePath`
 */
export function tidyPath(input: PathInput): Uint8Array {
  const bytes = pathBytes(input);
  const path = joinPath(namesIn(bytes));
  const end = endOfPath(bytes);
  if (end === "name") return path;
  if (end === "dots") return bytes;
  const withSlash = new Uint8Array(path.length + 1);
  withSlash.set(path);
  withSlash[path.length] = SLASH;
  return withSlash;
}

function namesIn(bytes: Uint8Array): PathNames {
  const names = splitPath(bytes);
  if ("fault" in names) throw pathFaultError(names);
  return names;
}

/** Returns the names in a path as `parsePath` does, or its first fault. */
export function splitPath(bytes: Uint8Array): PathNames | PathFault {
  if (bytes[0] !== SLASH) return pathFault("path-not-absolute", bytes);
  if (bytes.length > PATH_BYTES_MAX) {
    return { fault: "path-too-long", shown: "", bytes: bytes.length };
  }
  const names: EntryName[] = [];
  let start = 1;
  for (let end = 1; end <= bytes.length; end += 1) {
    if (end < bytes.length && bytes[end] !== SLASH) continue;
    const fault = pushName(names, bytes.subarray(start, end));
    if (fault !== null) return fault;
    start = end + 1;
  }
  return names;
}

/** Decodes exactly: it throws for bytes that are not UTF-8, and keeps a byte order mark. */
const EXACT_DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A half of a surrogate pair of UTF-16: no UTF-8 represents it, and an encoder would replace it. */
const LONE_SURROGATE = /\p{Surrogate}/gu;
/** The low surrogates that encode the bytes 0x80 to 0xff in `pathText`: this plus the byte. */
const ESCAPED_BYTE = 0xdc00;

/**
 * Returns a path as text that every call accepts as the same path. A byte that is not part of valid
 * UTF-8 becomes the half of a surrogate pair U+DC80 to U+DCFF, as in PEP 383. Use `displayName` to
 * show a path.
 */
export function pathText(bytes: Uint8Array): string {
  const whole = textOf(bytes);
  if (whole !== null) return whole;
  let text = "";
  for (let offset = 0; offset < bytes.length; ) {
    const length = utf8SequenceLength(bytes, offset);
    if (length === 0) text += String.fromCharCode(ESCAPED_BYTE + (bytes[offset] as number));
    else text += EXACT_DECODER.decode(bytes.subarray(offset, offset + length));
    offset += Math.max(length, 1);
  }
  return text;
}

/** Reverses `pathText`. @throws {AshlarError} INVALID_ARGUMENT for any other lone surrogate */
function pathBytes(input: PathInput): Uint8Array {
  if (typeof input !== "string") return input;
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  let start = 0;
  for (const { index } of input.matchAll(LONE_SURROGATE)) {
    const byte = input.charCodeAt(index) - ESCAPED_BYTE;
    if (byte < 0x80 || byte > 0xff) {
      throw pathFaultError(pathFault("path-not-text", encoder.encode(input)));
    }
    parts.push(encoder.encode(input.slice(start, index)), Uint8Array.of(byte));
    start = index + 1;
  }
  const rest = encoder.encode(start === 0 ? input : input.slice(start));
  return parts.length === 0 ? rest : concatBytes([...parts, rest]);
}

/** Adds a name, or returns its fault. */
function pushName(names: EntryName[], name: Uint8Array): PathFault | null {
  if (name.length === 0 || (name.length === 1 && name[0] === DOT)) return null;
  if (name.length === 2 && name[0] === DOT && name[1] === DOT) {
    names.pop();
    return null;
  }
  const fault = nameFault(name);
  if (fault === null) names.push(name as EntryName);
  return fault;
}

/** Returns `bytes` as a checked name. @throws {AshlarError} INVALID_ARGUMENT, NAME_TOO_LONG */
export function parseEntryName(bytes: Uint8Array): EntryName {
  const fault = nameFault(bytes);
  if (fault !== null) throw pathFaultError(fault);
  return bytes as EntryName;
}

function nameFault(bytes: Uint8Array): PathFault | null {
  if (bytes.length > NAME_BYTES_MAX) {
    const shown = displayName(bytes).slice(0, 60);
    return { fault: "name-too-long", shown, bytes: bytes.length };
  }
  const dots = bytes.every((byte) => byte === DOT) && bytes.length <= 2;
  const isInvalid = dots || bytes.includes(0) || bytes.includes(SLASH);
  return isInvalid ? pathFault("name-invalid", bytes) : null;
}

function pathFault(fault: PathFault["fault"], bytes: Uint8Array): PathFault {
  return { fault, shown: displayName(bytes).slice(0, 200), bytes: bytes.length };
}

/** Returns the bytes of a path: "/" and the names joined by "/". */
export function joinPath(names: PathNames): Uint8Array {
  if (names.length === 0) return Uint8Array.of(SLASH);
  let length = 0;
  for (const name of names) length += 1 + name.length;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const name of names) {
    bytes[offset] = SLASH;
    bytes.set(name, offset + 1);
    offset += 1 + name.length;
  }
  return bytes;
}

/** Returns whether `inner` is `outer` or below it. */
export function isWithin(inner: PathNames, outer: PathNames): boolean {
  return (
    inner.length >= outer.length &&
    outer.every((name, position) => compareBytes(name, inner[position] as EntryName) === 0)
  );
}

/**
 * The backslash, control characters, line and paragraph separators, and characters that change the
 * text direction.
 */
const UNSAFE_TO_SHOW = /[\\\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/**
 * Returns a name as text on one line. UTF-8 text is unchanged; control characters, backslashes and
 * bytes that are not UTF-8 become `\n`, `\\` and `\xHH`. Different names have different texts.
 */
export function displayName(bytes: Uint8Array): string {
  const whole = textOf(bytes);
  if (whole !== null && !UNSAFE_TO_SHOW.test(whole)) return whole;
  let text = "";
  for (let offset = 0; offset < bytes.length; ) {
    const length = utf8SequenceLength(bytes, offset);
    const sequence = bytes.subarray(offset, offset + Math.max(length, 1));
    text += length === 0 ? escapeByte(sequence[0] as number) : displayCharacter(sequence);
    offset += sequence.length;
  }
  return text;
}

function displayCharacter(sequence: Uint8Array): string {
  const character = EXACT_DECODER.decode(sequence);
  if (character === "\\") return "\\\\";
  return UNSAFE_TO_SHOW.test(character) ? Array.from(sequence, escapeByte).join("") : character;
}

function escapeByte(byte: number): string {
  if (byte === 0x0a) return "\\n";
  if (byte === 0x09) return "\\t";
  if (byte === 0x0d) return "\\r";
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/**
 * Returns the length in bytes of the UTF-8 sequence at `offset` (RFC 3629), or 0 if it is invalid.
 */
function utf8SequenceLength(bytes: Uint8Array, offset: number): number {
  const length = sequenceLengthOf(bytes[offset] as number);
  if (length < 2) return length;
  return isUtf8(bytes.subarray(offset, offset + length)) ? length : 0;
}

/**
 * Returns the length that the first byte of a sequence announces; 0 if no sequence begins with it.
 */
function sequenceLengthOf(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

/** Returns whether `bytes` is valid UTF-8. If so, a string represents the bytes without loss. */
export function isUtf8(bytes: Uint8Array): boolean {
  return textOf(bytes) !== null;
}

/** Returns the text of bytes that are valid UTF-8, else null. */
function textOf(bytes: Uint8Array): string | null {
  try {
    return EXACT_DECODER.decode(bytes);
  } catch {
    return null;
  }
}
