import { AshlarError } from "../base/errors.ts";

/** Longest head of a request whose method sets no other limit. It has room for a longest path. */
export const REQUEST_HEAD_BYTES_DEFAULT = 256 * 1024;
/**
 * Most values in one head. A value takes up to about 100 bytes of memory, however few bytes of the
 * head it takes: an empty map takes one.
 */
const VALUES_MAX = 1_000_000;
const METHOD_NAME_BYTES_MAX = 100;

/** The bytes of a head that is not decoded yet. */
export interface EncodedHead {
  readonly source: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/**
 * Checks the head of a request before it is decoded: decoding takes many times its length in memory.
 *
 * @param head longer than REQUEST_HEAD_BYTES_DEFAULT
 * @param bytesMaxOf returns the longest head of a method
 * @throws {AshlarError} TOO_LARGE
 */
export function checkLargeHead(
  head: EncodedHead,
  bytesMaxOf: (methodName: string) => number,
): void {
  const headBytes = head.end - head.start;
  const methodName = methodNameOf(head);
  const bytesMax = bytesMaxOf(methodName);
  if (headBytes > bytesMax) {
    throw tooLarge(`expected at most ${bytesMax} bytes for ${methodName}: it has ${headBytes}`);
  }
  if (valueCount(head, VALUES_MAX + 1) > VALUES_MAX) {
    throw tooLarge(`expected at most ${VALUES_MAX} values: ${methodName} has more`);
  }
}

function tooLarge(reason: string): AshlarError {
  return new AshlarError("TOO_LARGE", `Cannot read a request: ${reason}`, {
    hint: "Split it into smaller ones",
  });
}

/**
 * Returns the name at the start of a request (see `RequestHead`): an array whose first element is a
 * short text. Returns "" for anything else.
 */
function methodNameOf({ source, start }: EncodedHead): string {
  const [array = 0, text = 0, length8 = 0] = source.subarray(start, start + 3);
  const isFixText = text >= 0xa0 && text < 0xc0;
  if (array < 0x90 || array > 0x9f || !(isFixText || text === 0xd9)) return "";
  const [from, length] = isFixText ? [start + 2, text & 0x1f] : [start + 3, length8];
  const name = source.subarray(from, from + Math.min(length, METHOD_NAME_BYTES_MAX));
  return String.fromCharCode(...name);
}

/**
 * Counts the values in encoded msgpack, keys included, without decoding them. Stops at `countMax`.
 */
export function valueCount({ source, start, end }: EncodedHead, countMax: number): number {
  const view = viewOf(source);
  let count = 0;
  for (let at = start; at < end && count < countMax; count += 1) {
    const size = sizeAt(view, at, end);
    if (size === null) return count;
    at += size;
  }
  return count;
}

function viewOf(source: Uint8Array): DataView {
  return new DataView(source.buffer, source.byteOffset, source.length);
}

/*
 * The sizes of values by their first byte (the msgpack specification, "Formats"). The size of a
 * container is that of its header: its elements follow as values of their own.
 */

/** Sizes of the values 0xc0 to 0xdf. A function reads the length that follows the first byte. */
type SizeReader = (view: DataView, at: number) => number;
const withLength8 =
  (headerBytes: number): SizeReader =>
  (view, at) =>
    headerBytes + view.getUint8(at + 1);
const withLength16 =
  (headerBytes: number): SizeReader =>
  (view, at) =>
    headerBytes + view.getUint16(at + 1);
const withLength32 =
  (headerBytes: number): SizeReader =>
  (view, at) =>
    headerBytes + view.getUint32(at + 1);
const SIZES: readonly (number | SizeReader)[] = [
  ...[1, 1, 1, 1], // nil, never used, false, true
  ...[withLength8(2), withLength16(3), withLength32(5)], // bin
  ...[withLength8(3), withLength16(4), withLength32(6)], // ext
  ...[5, 9, 2, 3, 5, 9, 2, 3, 5, 9], // float, uint, int
  ...[3, 4, 6, 10, 18], // fixext
  ...[withLength8(2), withLength16(3), withLength32(5)], // str
  ...[3, 5, 3, 5], // headers of array and map
];

/** Returns the size of the value at `at`. Null in the last bytes, where only small values are. */
function sizeAt(view: DataView, at: number, end: number): number | null {
  const first = view.getUint8(at);
  if (first < 0xa0 || first >= 0xe0) return 1; // fixint, fixmap, fixarray
  if (first < 0xc0) return 1 + (first & 0x1f); // fixstr
  const size = SIZES[first - 0xc0] as number | SizeReader;
  if (typeof size === "number") return size;
  return at + 5 <= end ? size(view, at) : null;
}
