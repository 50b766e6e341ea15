import { assert } from "../base/assert.ts";

/**
 * A frame is a header, a head and a body. Integers are little-endian.
 *
 *     offset  size  field
 *          0     1  kind, see FRAME_KINDS
 *          1     1  flags, see FLAG_*; the others are 0
 *          2     2  0
 *          4     4  stream id; the magic number in the frames of the handshake
 *          8     4  h, the length of the head in bytes
 *         12     4  b, the length of the body in bytes
 *         16     h  the head, one msgpack value; absent if h is 0
 *     16 + h     b  the body, raw bytes
 */
export const HEADER_BYTES = 16;

/** "ASHL" in little-endian order. Handshake frames contain it instead of a stream id. */
export const MAGIC = 0x4c485341;

/** Kinds of frames. docs/wire-protocol.md describes each. */
export const FRAME_KINDS = {
  hello: 1,
  welcome: 2,
  refusal: 3,
  request: 4,
  response: 5,
  error: 6,
  message: 7,
  end: 8,
  cancel: 9,
  credit: 10,
  ping: 11,
  pong: 12,
  goaway: 13,
} as const;

export type FrameKind = (typeof FRAME_KINDS)[keyof typeof FRAME_KINDS];

/** Flag of a request that opens a stream. */
export const FLAG_STREAM = 1;
/** Flag of an `end` frame that closes both directions: the sender stops reading messages. */
export const FLAG_LAST = 1;

const FLAGS_MAX = 1;
const KIND_MAX = 13;
/** Kinds whose frames may have a body. */
const WITH_BODY: ReadonlySet<number> = new Set([
  FRAME_KINDS.request,
  FRAME_KINDS.response,
  FRAME_KINDS.message,
]);

/** The fields of a frame's header. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly flags: number;
  readonly streamId: number;
  readonly headLength: number;
  readonly bodyLength: number;
}

/** Returns the bytes of a frame that are counted in the flow-control windows. */
export function frameBytes(header: FrameHeader): number {
  return HEADER_BYTES + header.headLength + header.bodyLength;
}

/** Largest frame that a receiver accepts. */
export interface FrameLimits {
  readonly headBytesMax: number;
  readonly bodyBytesMax: number;
}

/** Writes `header` over the first HEADER_BYTES of `target`. */
export function writeHeader(target: Uint8Array, header: FrameHeader): void {
  assert(target.length >= HEADER_BYTES, "the target has room for a header");
  target[0] = header.kind;
  target[1] = header.flags;
  target[2] = 0;
  target[3] = 0;
  writeStreamId(target, header.streamId);
  writeUint32(target, 8, header.headLength);
  writeUint32(target, 12, header.bodyLength);
}

/** Changes the stream id of an encoded frame. */
export function writeStreamId(frame: Uint8Array, streamId: number): void {
  writeUint32(frame, 4, streamId);
}

function writeUint32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value;
  target[offset + 1] = value >>> 8;
  target[offset + 2] = value >>> 16;
  target[offset + 3] = value >>> 24;
}

/**
 * Reads and checks the header at `offset`. If the header is invalid, returns a description of the
 * problem.
 */
export function readHeader(
  view: DataView,
  offset: number,
  limits: FrameLimits,
): FrameHeader | string {
  const kind = view.getUint8(offset);
  if (kind < 1 || kind > KIND_MAX) return `a frame of the unknown kind ${kind}`;
  const flags = view.getUint8(offset + 1);
  if (flags > FLAGS_MAX || view.getUint16(offset + 2, true) !== 0)
    return "a frame with unknown flags";
  const headLength = view.getUint32(offset + 8, true);
  if (headLength > limits.headBytesMax) {
    return `a head of ${headLength} bytes, more than ${limits.headBytesMax}`;
  }
  const bodyLength = view.getUint32(offset + 12, true);
  if (bodyLength > limits.bodyBytesMax) {
    return `a body of ${bodyLength} bytes, more than ${limits.bodyBytesMax}`;
  }
  if (bodyLength > 0 && !WITH_BODY.has(kind)) return `a body in a frame of kind ${kind}`;
  return {
    kind: kind as FrameKind,
    flags,
    streamId: view.getUint32(offset + 4, true),
    headLength,
    bodyLength,
  };
}
