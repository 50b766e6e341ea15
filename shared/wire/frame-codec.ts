import { Packr, RESERVE_START_SPACE, Unpackr } from "msgpackr";
import { AshlarError } from "../base/errors.ts";
import { type FrameKind, HEADER_BYTES, writeHeader } from "./frame.ts";
import { notMsgpack } from "./head-limits.ts";

/**
 * Plain msgpack without custom extensions. Bytes are copied out of the receive buffer, which the
 * next read overwrites.
 */
const CODEC_OPTIONS = { useRecords: false, copyBuffers: true } as const;

/** A frame before it is encoded, without its body. */
export interface FrameFields {
  readonly kind: FrameKind;
  readonly flags?: number;
  readonly streamId: number;
  /** A msgpack value. Absent: no head. */
  readonly head?: unknown;
  readonly bodyLength?: number;
}

/** Encodes and decodes the heads of frames. Each connection has its own codec. */
export class FrameCodec {
  readonly #packr = new Packr(CODEC_OPTIONS);
  readonly #unpackr = new Unpackr(CODEC_OPTIONS);

  /**
   * Returns the header and head of a frame in one array.
   *
   * @throws {AshlarError} TOO_LARGE if the head is longer than `headBytesMax`
   */
  encode(fields: FrameFields, headBytesMax: number): Uint8Array {
    const { kind, flags = 0, streamId, head, bodyLength = 0 } = fields;
    // msgpackr reserves HEADER_BYTES before the head, which saves a copy.
    const bytes =
      head === undefined
        ? new Uint8Array(HEADER_BYTES)
        : this.#packr.pack(head, RESERVE_START_SPACE + HEADER_BYTES);
    const headLength = bytes.length - HEADER_BYTES;
    if (headLength > headBytesMax) {
      throw new AshlarError(
        "TOO_LARGE",
        `Cannot send a message head of ${headLength} bytes: the peer accepts at most ${headBytesMax}`,
      );
    }
    writeHeader(bytes, { kind, flags, streamId, headLength, bodyLength });
    return bytes;
  }

  /** Decodes the value in `source` from `start` to `end`. @throws {AshlarError} PROTOCOL_ERROR */
  decode(source: Uint8Array, start: number, end: number): unknown {
    try {
      return this.#unpackr.unpack(source, { start, end });
    } catch (cause) {
      throw notMsgpack(cause);
    }
  }
}
