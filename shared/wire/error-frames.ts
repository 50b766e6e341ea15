import { toErrorData } from "../base/errors.ts";
import { type FrameKind, writeStreamId } from "./frame.ts";
import type { FrameFields } from "./frame-codec.ts";

/** An error that is too large for the peer is cut to this length, which fits every head limit. */
const ERROR_LENGTH_MAX = 250;

/** An error and its frame. */
interface EncodedError {
  readonly kind: FrameKind;
  readonly error: unknown;
  readonly frame: Uint8Array;
}

/** Makes the frames whose head is an error. The error that was sent last is not encoded again. */
export class ErrorFrames {
  readonly #encode: (fields: FrameFields) => Uint8Array;
  #last: EncodedError | null = null;

  /** @param encode throws if the frame is too large for the peer */
  constructor(encode: (fields: FrameFields) => Uint8Array) {
    this.#encode = encode;
  }

  /** Returns a new frame. An error that is too large has a short message and no details. */
  frameOf(kind: FrameKind, streamId: number, error: unknown): Uint8Array {
    let last = this.#last;
    if (last === null || last.error !== error || last.kind !== kind) {
      last = { kind, error, frame: this.#encodeError(kind, error) };
      this.#last = last;
    }
    const frame = new Uint8Array(last.frame);
    writeStreamId(frame, streamId);
    return frame;
  }

  #encodeError(kind: FrameKind, error: unknown): Uint8Array {
    const data = toErrorData(error);
    try {
      return this.#encode({ kind, streamId: 0, head: data });
    } catch {
      const message = data.message.slice(0, ERROR_LENGTH_MAX);
      return this.#encode({ kind, streamId: 0, head: { code: data.code, message } });
    }
  }
}
