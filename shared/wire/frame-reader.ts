import { assert, present } from "../base/assert.ts";
import type { AshlarError } from "../base/errors.ts";
import type { Slab, SlabPool } from "../flow/slabs.ts";
import type { LinkReceiver } from "../ports/network.ts";
import { type FrameHeader, type FrameLimits, HEADER_BYTES, readHeader } from "./frame.ts";
import type { FrameCodec } from "./frame-codec.ts";

/** Room for the small frames of one read. Larger heads and bodies get a place of their own. */
const STAGING_BYTES = 64 * 1024;
/** Kept free for the one read that may come although the link is paused. */
const STAGING_SPARE_BYTES = 4096;
/** Bodies up to here are copied out; larger ones are read or copied into a slab. */
const COPIED_BODY_BYTES_MAX = 4096;

/** A frame as it came in. Whoever takes it releases `body`. */
export interface Frame {
  readonly header: FrameHeader;
  /** What the head decodes to, undefined if there is none; or why it cannot be decoded. */
  readonly head: unknown;
  readonly headError: AshlarError | null;
  readonly body: Body;
}

/** Bytes of a received body. */
export interface Body {
  readonly bytes: Uint8Array;
  release(): void;
}

export const EMPTY_BODY: Body = { bytes: new Uint8Array(0), release: () => {} };

export interface FrameReaderOptions {
  readonly slabs: SlabPool;
  readonly codec: FrameCodec;
  /** Of the frames that are read next. */
  readonly limits: () => FrameLimits;
  readonly onFrame: (frame: Frame) => void;
  /** Asked once the head is there: false drops the body without a slab, and the frame with it. */
  readonly wantsBody: (header: FrameHeader) => boolean;
  /** A frame was dropped because nobody wants its body. */
  readonly onDropped: (header: FrameHeader) => void;
  /** The bytes are no frame. Called once; nothing is read after it. */
  readonly onMalformed: (reason: string) => void;
  readonly pause: () => void;
  readonly resume: () => void;
}

/** Where a frame's parts are read to when they do not fit the staging buffer. */
interface ReadTarget {
  readonly bytes: Uint8Array;
  filledBytes: number;
  readonly onFull: () => void;
}

/**
 * Cuts the bytes of a link into frames.
 *
 * Reads land in a staging buffer, where many small frames are decoded at once. The rest of a large
 * body is read right into its slab: apart from the part that came in with the head it is never
 * copied. While the pool has no slab the link is paused: that slows the sender.
 */
export class FrameReader implements Omit<LinkReceiver, "onClosed"> {
  readonly #options: FrameReaderOptions;
  readonly #staging = new Uint8Array(STAGING_BYTES + STAGING_SPARE_BYTES);
  readonly #stagingView = new DataView(this.#staging.buffer);
  /** Bytes in staging that are not decoded yet: from `#start` to `#end`. */
  #start = 0;
  #end = 0;
  #target: ReadTarget | null = null;
  /** Where in the staging buffer the part begins that `buffer` last lent; null: it was of `#target`. */
  #readOffset: number | null = 0;
  /** The header of the frame that is being read. */
  #header: FrameHeader | null = null;
  #isHeadRead = false;
  #head: unknown;
  #headError: AshlarError | null = null;
  #slab: Slab | null = null;
  #skipBytes = 0;
  /** Withdraws the request for a slab, while the link is paused for one. */
  #withdraw: (() => void) | null = null;
  #isPaused = false;
  #isStopped = false;

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /** Whether the link is paused until the pool has a slab. */
  get isWaitingForSlab(): boolean {
    return this.#withdraw !== null;
  }

  buffer(): Uint8Array {
    const target = this.#target;
    if (target !== null) {
      this.#readOffset = null;
      return target.bytes.subarray(target.filledBytes);
    }
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    }
    this.#readOffset = this.#end;
    // With the spare bytes there is always room: `#parse` leaves at most STAGING_BYTES undecoded.
    return this.#staging.subarray(this.#end, this.isWaitingForSlab ? undefined : STAGING_BYTES);
  }

  onBytes(count: number): void {
    if (this.#isStopped) return;
    if (this.#readOffset === null) {
      const target = present(this.#target, "a lent target stays until it is full");
      target.filledBytes += count;
      if (target.filledBytes === target.bytes.length) this.#finishTarget(target);
    } else {
      this.#addStaged(this.#readOffset, count);
    }
    if (!this.isWaitingForSlab) this.#parse();
  }

  #addStaged(offset: number, count: number): void {
    assert(this.#end + count <= this.#staging.length, "a read does not run over its buffer");
    // What was staged may have been moved since the part was lent, when a slab came.
    if (offset !== this.#end) this.#staging.copyWithin(this.#end, offset, offset + count);
    this.#end += count;
  }

  /** Reads nothing more and gives back what a frame that was cut off holds. */
  stop(): void {
    this.#isStopped = true;
    this.#withdraw?.();
    this.#withdraw = null;
    this.#slab?.release();
    this.#slab = null;
    this.#target = null;
  }

  #parse(): void {
    while (!this.#isStopped && this.#step());
    if (this.#isStopped || this.#start === 0) return;
    // Frames that are decoded in place must lie in one piece: move a beginning to the front.
    if (this.#start < this.#end) this.#staging.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }

  /** One step through the staged bytes. False: more bytes, or a slab, must come first. */
  #step(): boolean {
    if (this.#target !== null) return this.#fillTarget(this.#target);
    if (this.#skipBytes > 0) return this.#skip();
    if (this.#header === null) return this.#readHeader();
    if (!this.#isHeadRead) return this.#readHead(this.#header);
    return this.#readBody(this.#header);
  }

  #readHeader(): boolean {
    if (this.#end - this.#start < HEADER_BYTES) return false;
    const header = readHeader(this.#stagingView, this.#start, this.#options.limits());
    if (typeof header === "string") {
      this.stop();
      this.#options.onMalformed(header);
      return false;
    }
    this.#start += HEADER_BYTES;
    this.#header = header;
    this.#isHeadRead = header.headLength === 0;
    return true;
  }

  #readHead({ headLength }: FrameHeader): boolean {
    if (this.#end - this.#start >= headLength) {
      this.#decodeHead(this.#staging, this.#start, this.#start + headLength);
      this.#start += headLength;
      return true;
    }
    if (headLength <= STAGING_BYTES - HEADER_BYTES) return false;
    const bytes = new Uint8Array(headLength);
    this.#target = { bytes, filledBytes: 0, onFull: () => this.#decodeHead(bytes, 0, headLength) };
    return true;
  }

  #decodeHead(source: Uint8Array, start: number, end: number): void {
    this.#isHeadRead = true;
    try {
      this.#head = this.#options.codec.decode(source, start, end);
    } catch (error) {
      this.#headError = error as AshlarError;
    }
  }

  #readBody(header: FrameHeader): boolean {
    const { bodyLength } = header;
    if (bodyLength === 0) return this.#finishFrame(header, EMPTY_BODY);
    if (!this.#options.wantsBody(header)) {
      this.#skipBytes = bodyLength;
      this.#takeFrame();
      this.#options.onDropped(header);
      return true;
    }
    if (bodyLength > COPIED_BODY_BYTES_MAX) {
      this.#requestSlab(header);
      return !this.isWaitingForSlab;
    }
    if (this.#end - this.#start < bodyLength) return false;
    const bytes = this.#staging.slice(this.#start, this.#start + bodyLength);
    this.#start += bodyLength;
    return this.#finishFrame(header, { bytes, release: EMPTY_BODY.release });
  }

  #requestSlab(header: FrameHeader): void {
    let isGranted = false;
    const withdraw = this.#options.slabs.requestSlab(header.bodyLength, (slab) => {
      isGranted = true;
      this.#slab = slab;
      const onFull = (): void => {
        this.#slab = null;
        this.#finishFrame(header, slab);
      };
      this.#target = { bytes: slab.bytes, filledBytes: 0, onFull };
      if (this.isWaitingForSlab) this.#resumeReading();
    });
    if (isGranted) return;
    this.#withdraw = withdraw;
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#options.pause();
  }

  /** A slab came. What is staged goes first: once the link is resumed the next bytes may come at once. */
  #resumeReading(): void {
    this.#withdraw = null;
    this.#parse();
    if (this.isWaitingForSlab) return;
    this.#isPaused = false;
    this.#options.resume();
  }

  /** Moves staged bytes to where they belong; the rest is read there directly. */
  #fillTarget(target: ReadTarget): boolean {
    const room = target.bytes.length - target.filledBytes;
    const count = Math.min(room, this.#end - this.#start);
    target.bytes.set(this.#staging.subarray(this.#start, this.#start + count), target.filledBytes);
    target.filledBytes += count;
    this.#start += count;
    if (count < room) return false;
    this.#finishTarget(target);
    return true;
  }

  #finishTarget(target: ReadTarget): void {
    this.#target = null;
    target.onFull();
  }

  #skip(): boolean {
    const count = Math.min(this.#skipBytes, this.#end - this.#start);
    this.#start += count;
    this.#skipBytes -= count;
    return this.#skipBytes === 0;
  }

  #finishFrame(header: FrameHeader, body: Body): boolean {
    this.#options.onFrame({ header, ...this.#takeFrame(), body });
    return true;
  }

  #takeFrame(): Pick<Frame, "head" | "headError"> {
    const { head, headError } = { head: this.#head, headError: this.#headError };
    this.#header = null;
    this.#isHeadRead = false;
    this.#head = undefined;
    this.#headError = null;
    return { head, headError };
  }
}
