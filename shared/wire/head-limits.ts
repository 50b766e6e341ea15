import { unreachable } from "../base/assert.ts";
import { AshlarError } from "../base/errors.ts";

/** Longest head of a request whose method sets no other limit. It has room for a longest path. */
export const REQUEST_HEAD_BYTES_DEFAULT = 256 * 1024;
/** Most units of work to decode the head of a request whose method sets no other limit: see `HeadMeasure`. */
export const REQUEST_WORK_DEFAULT = 50_000;
/**
 * Memory of a decoded value, in bytes, however few bytes of the head it takes: an empty map takes one.
 * With the bytes of the head, an upper bound of what Node allocates for the value; far too high for small integers.
 */
const VALUE_BYTES = 64;
/** Memory of bytes in addition: a typed array. */
const BYTES_OBJECT_BYTES = 192;
/** Memory of a call that waits, without its head: its handler, its promises and its timers. */
const CALL_BYTES = 2048;
const METHOD_NAME_BYTES_MAX = 100;

/** The bytes of a head that is not decoded yet. */
export interface EncodedHead {
  readonly source: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The bounds of the head of a request. Absent: the defaults. */
export interface RequestLimits {
  readonly requestBytesMax?: number;
  readonly requestWorkMax?: number;
}

/**
 * Returns the memory of a request that waits, in bytes, from its head that is not decoded yet.
 *
 * @param limitsOf returns the limits of a method, or undefined for an unknown one
 * @throws {AshlarError} TOO_LARGE, PROTOCOL_ERROR
 */
export function requestMemory(
  head: EncodedHead,
  limitsOf: (methodName: string) => RequestLimits | undefined,
): number {
  const headBytes = head.end - head.start;
  const { valueCount, bytesCount } =
    measureSmall(head) ?? measureWithin(head, limitsOf(methodNameOf(head)));
  return CALL_BYTES + headBytes + VALUE_BYTES * valueCount + BYTES_OBJECT_BYTES * bytesCount;
}

/** Checks the head of a frame that is no request. @throws {AshlarError} TOO_LARGE, PROTOCOL_ERROR */
export function checkMessageHead(head: EncodedHead): void {
  measureWithin(head, undefined);
}

/** Measures a head that keeps the default limits. Null: it exceeds them. */
function measureSmall(head: EncodedHead): HeadMeasure | null {
  if (head.end - head.start > REQUEST_HEAD_BYTES_DEFAULT) return null;
  const measure = measureHead(head, REQUEST_WORK_DEFAULT);
  return measure.work > REQUEST_WORK_DEFAULT ? null : measure;
}

function measureWithin(head: EncodedHead, limits: RequestLimits | undefined): HeadMeasure {
  const bytesMax = limits?.requestBytesMax ?? REQUEST_HEAD_BYTES_DEFAULT;
  const headBytes = head.end - head.start;
  if (headBytes > bytesMax) {
    throw tooLarge(head, `expected at most ${bytesMax} bytes: it has ${headBytes}`);
  }
  const workMax = limits?.requestWorkMax ?? REQUEST_WORK_DEFAULT;
  const measure = measureHead(head, workMax);
  if (measure.work > workMax) {
    throw tooLarge(head, `expected at most ${workMax} units of work to decode it: it has more`);
  }
  return measure;
}

function tooLarge(head: EncodedHead, reason: string): AshlarError {
  const method = methodNameOf(head);
  const what = method === "" ? "a message" : `a request of ${method}`;
  return new AshlarError("TOO_LARGE", `Cannot read ${what}: ${reason}`, {
    hint: "Split it into smaller ones",
  });
}

/** Returns the error for a head that is not msgpack, or contains an extension. */
export function notMsgpack(cause?: unknown): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", "Cannot read a message head: it is not msgpack", {
    cause,
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

/** The work and the memory of decoding a head. */
export interface HeadMeasure {
  /** All values, keys included. */
  readonly valueCount: number;
  /** Values that are bytes. */
  readonly bytesCount: number;
  /** Units of about 0.1 µs: see `WORK`. */
  readonly work: number;
}

/**
 * Units of work to decode a part of a head, from the slowest forms: keys that differ in each map, texts that are
 * not ASCII. Each value is one unit, and these are additional.
 */
const WORK = { map: 5, key: 5, bytes: 8, textBytesPerUnit: 8 } as const;

/**
 * Measures encoded msgpack without decoding it. Stops at the first value that exceeds `workMax`.
 *
 * Only the formats of the protocol are accepted. msgpackr decodes several extensions, some of them slowly: an
 * error takes about 25 µs, and a record becomes a function.
 *
 * @throws {AshlarError} PROTOCOL_ERROR if `head` is not exactly one value of these formats
 */
export function measureHead({ source, start, end }: EncodedHead, workMax: number): HeadMeasure {
  let [valueCount, bytesCount, work, at] = [0, 0, 0, start];
  /** Values that follow, as far as the headers of the containers say. */
  let pendingCount = 1;
  for (; pendingCount > 0 && work <= workMax; pendingCount -= 1) {
    if (pendingCount > end - at) throw notMsgpack(); // Each of them has a byte or more.
    const format = FORMATS[source[at] as number] as Format | null;
    if (format === null) throw notMsgpack();
    const { kind, headerBytes } = format;
    const length = format.length ?? lengthAt(source, at + 1, headerBytes - 1);
    valueCount += 1;
    work += 1;
    at += headerBytes;
    switch (kind) {
      case "plain":
        break;
      case "array":
        pendingCount += length;
        break;
      case "map":
        pendingCount += 2 * length;
        work += WORK.map + WORK.key * length;
        break;
      case "text":
        at += length;
        work += Math.floor(length / WORK.textBytesPerUnit);
        break;
      case "bytes":
        at += length;
        bytesCount += 1;
        work += WORK.bytes;
        break;
      case "undefined":
        if (source[at - 2] !== UNDEFINED_TYPE) throw notMsgpack();
        break;
      default:
        unreachable(kind);
    }
  }
  if (pendingCount === 0 && at !== end) throw notMsgpack();
  return { valueCount, bytesCount, work };
}

/** Returns a big-endian integer. Missing bytes are 0: the head is too short then. */
function lengthAt(source: Uint8Array, at: number, byteCount: number): number {
  let length = 0;
  for (let each = 0; each < byteCount; each += 1) length = length * 256 + (source[at + each] ?? 0);
  return length;
}

/** Type of the extension for undefined: an optional field that is undefined has it as its value. */
const UNDEFINED_TYPE = 0;

/** A format of msgpack ("Formats" in its specification). */
interface Format {
  readonly kind: "plain" | "array" | "map" | "text" | "bytes" | "undefined";
  /** Bytes before the content. The elements of a container are values of their own. */
  readonly headerBytes: number;
  /** Bytes or elements of the content. Null: the header has the length after its first byte. */
  readonly length: number | null;
}

/** The formats by the first byte. Null: not used by the protocol. */
const FORMATS: readonly (Format | null)[] = Array.from({ length: 256 }, (_, first) => {
  if (first < 0x80 || first >= 0xe0) return plain(1); // fixint
  if (first < 0x90) return { kind: "map", headerBytes: 1, length: first & 0x0f };
  if (first < 0xa0) return { kind: "array", headerBytes: 1, length: first & 0x0f };
  if (first < 0xc0) return { kind: "text", headerBytes: 1, length: first & 0x1f };
  return [
    ...[plain(1), null, plain(1), plain(1)], // nil, never used, false, true
    ...[withLength("bytes", 1), withLength("bytes", 2), withLength("bytes", 4)],
    ...[null, null, null], // ext
    ...[plain(5), plain(9)], // float
    ...[plain(2), plain(3), plain(5), plain(9)], // uint
    ...[plain(2), plain(3), plain(5), plain(9)], // int
    ...[{ kind: "undefined", headerBytes: 3, length: 0 } as const, null, null, null, null], // fixext
    ...[withLength("text", 1), withLength("text", 2), withLength("text", 4)],
    ...[withLength("array", 2), withLength("array", 4)],
    ...[withLength("map", 2), withLength("map", 4)],
  ][first - 0xc0] as Format | null;
});

function plain(headerBytes: number): Format {
  return { kind: "plain", headerBytes, length: 0 };
}

function withLength(kind: Format["kind"], lengthBytes: number): Format {
  return { kind, headerBytes: 1 + lengthBytes, length: null };
}
