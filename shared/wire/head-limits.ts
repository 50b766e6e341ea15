import { AshlarError } from "../base/errors.ts";

/** Longest head of a request whose method sets no other limit. It has room for a longest path. */
export const REQUEST_HEAD_BYTES_DEFAULT = 256 * 1024;
/** Most values in one head. */
const VALUES_MAX = 1_000_000;
/**
 * Memory of a decoded value, in bytes, however few bytes of the head it takes: an empty map takes one.
 * With the bytes of the head, this is at least what Node takes, except for small integers.
 */
const VALUE_BYTES = 64;
/** Memory of a value of the formats bin and ext in addition: a typed array, or a Date. */
const OBJECT_BYTES = 192;
/** Memory of a call that waits, without its head: its handler, its promises and its timers. */
const CALL_BYTES = 2048;
const METHOD_NAME_BYTES_MAX = 100;

/** The bytes of a head that is not decoded yet. */
export interface EncodedHead {
  readonly source: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/**
 * Returns the memory of a request that waits, in bytes, from its head that is not decoded yet.
 *
 * @param bytesMaxOf returns the longest head of a method, if it is not REQUEST_HEAD_BYTES_DEFAULT
 * @throws {AshlarError} TOO_LARGE
 */
export function requestMemory(
  head: EncodedHead,
  bytesMaxOf: (methodName: string) => number | undefined,
): number {
  const headBytes = head.end - head.start;
  if (headBytes > REQUEST_HEAD_BYTES_DEFAULT) checkLength(head, bytesMaxOf(methodNameOf(head)));
  const { valueCount, objectCount } = measureHead(head, VALUES_MAX + 1);
  if (valueCount > VALUES_MAX) {
    throw tooLarge(`expected at most ${VALUES_MAX} values: ${methodNameOf(head)} has more`);
  }
  return CALL_BYTES + headBytes + VALUE_BYTES * valueCount + OBJECT_BYTES * objectCount;
}

/** Checks the length of the head of a frame. @throws {AshlarError} TOO_LARGE */
export function checkLength(head: EncodedHead, bytesMax = REQUEST_HEAD_BYTES_DEFAULT): void {
  const headBytes = head.end - head.start;
  if (headBytes <= bytesMax) return;
  throw tooLarge(
    `expected at most ${bytesMax} bytes for ${methodNameOf(head)}: it has ${headBytes}`,
  );
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

/** The numbers of values in a head. */
export interface HeadMeasure {
  /** All values, keys included. */
  readonly valueCount: number;
  /** Those of the formats bin and ext. */
  readonly objectCount: number;
}

/** Counts the values in encoded msgpack without decoding them. Stops at `countMax`. */
export function measureHead({ source, start, end }: EncodedHead, countMax: number): HeadMeasure {
  const view = viewOf(source);
  let valueCount = 0;
  let objectCount = 0;
  for (let at = start; at < end && valueCount < countMax; valueCount += 1) {
    const size = sizeAt(view, at, end);
    if (size === null) break;
    if (isObject(view.getUint8(at))) objectCount += 1;
    at += size;
  }
  return { valueCount, objectCount };
}

/** Returns whether a value with this first byte is of a format bin or ext. */
function isObject(first: number): boolean {
  return (first >= 0xc4 && first <= 0xc9) || (first >= 0xd4 && first <= 0xd8);
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
