import { assert, present } from "../base/assert.ts";
import type { AshlarError } from "../base/errors.ts";
import type { Slab, SlabPool } from "../flow/slabs.ts";
import type { LinkReceiver } from "../ports/network.ts";
import { type BodyLease, COPIED_BODY_BYTES_MAX, COVERED_BODY } from "./byte-budget.ts";
import { type FrameHeader, type FrameLimits, HEADER_BYTES, readHeader } from "./frame.ts";
import type { FrameCodec } from "./frame-codec.ts";
import type { EncodedHead } from "./head-limits.ts";
import type { ReadTurns } from "./read-slices.ts";

/** Buffer for the small frames of one read. Larger heads and bodies have their own buffers. */
const STAGING_BYTES = 64 * 1024;
/**
 * The buffer of a connection that sends little: a master has thousands of them. The first read that
 * fills it makes it larger.
 */
const STAGING_BYTES_MIN = 4096;
/**
 * Reserved in the buffer, so that no read fills it: an empty array for the next read would end the link.
 * A read that begins behind the longest incomplete frame has this much room.
 */
const STAGING_SPARE_BYTES = 4096;

/** A received frame. The handler of the frame releases `body`. */
export interface Frame {
  readonly header: FrameHeader;
  /** The decoded head. Undefined if the frame has no head or the head cannot be decoded. */
  readonly head: unknown;
  /** Why the head cannot be decoded, or null. */
  readonly headError: AshlarError | null;
  readonly body: Body;
}

/** Bytes of a received body. */
export interface Body {
  readonly bytes: Uint8Array;
  release(): void;
}

/** The body of a frame that has no body. */
export const EMPTY_BODY: Body = { bytes: new Uint8Array(0), release: () => {} };

/** Options of `FrameReader`. */
export interface FrameReaderOptions {
  readonly slabs: SlabPool;
  readonly codec: FrameCodec;
  /** Returns the limits of the frames that are read next. */
  readonly limits: () => FrameLimits;
  readonly onFrame: (frame: Frame) => void;
  /**
   * Called before a head is read that does not fit into the staging buffer. If it returns false, the
   * frame is dropped.
   */
  readonly wantsHead: (header: FrameHeader) => boolean;
  /** Called before a head is decoded. The error that it throws takes the place of the head. */
  readonly checkHead: (header: FrameHeader, head: EncodedHead) => void;
  /**
   * Called once the head is read. Returns the memory of the body, which the reader releases with the body.
   * Null: the frame is dropped without a slab.
   */
  readonly leaseBody: (header: FrameHeader) => BodyLease | null;
  /** A frame was dropped because of `wantsHead` or `leaseBody`. */
  readonly onDropped: (header: FrameHeader) => void;
  /** The bytes are not a valid frame. Called once; the reader then stops. */
  readonly onMalformed: (reason: string) => void;
  /** Returns the turns of this connection among the others. Null: all frames of a read are decoded at once. */
  readonly turns: () => ReadTurns | null;
  readonly pause: () => void;
  readonly resume: () => void;
}

/** The buffer of a head or body that does not fit into the staging buffer. */
interface ReadTarget {
  readonly bytes: Uint8Array;
  filledBytes: number;
  readonly onFull: () => void;
}

/**
 * Splits the bytes of a link into frames.
 *
 * Bytes are read into a staging buffer, where many small frames are decoded after one read. The
 * rest of a large body is read directly into its slab: only the part that arrived with the head is
 * copied. While the pool has no slab, or others have their turn, the link is paused, which slows the sender.
 */
export class FrameReader implements Omit<LinkReceiver, "onClosed"> {
  readonly #options: FrameReaderOptions;
  #staging = new Uint8Array(STAGING_BYTES_MIN + STAGING_SPARE_BYTES);
  #stagingView = new DataView(this.#staging.buffer);
  /** The bytes in `#staging` that are not decoded yet are between `#start` and `#end`. */
  #start = 0;
  #end = 0;
  /** Whether a read has filled `#staging`: more bytes are waiting, or a frame needs more room. */
  #isFilled = false;
  #target: ReadTarget | null = null;
  /**
   * Offset in `#staging` of the array that `buffer` returned last. Null if it was part of
   * `#target`.
   */
  #readOffset: number | null = 0;
  /** Header of the frame that is being read. */
  #header: FrameHeader | null = null;
  #isHeadRead = false;
  #head: unknown;
  #headError: AshlarError | null = null;
  #slab: Slab | null = null;
  /** Memory of the body that is being read. Null if none is. */
  #lease: BodyLease | null = null;
  #skipBytes = 0;
  /** Cancels the pending request for a slab. Null if no request is pending. */
  #cancelSlabRequest: (() => void) | null = null;
  /** Cancels the wait for the turn of this connection. Null if it does not wait. */
  #cancelTurn: (() => void) | null = null;
  #isPaused = false;
  #isStopped = false;

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /** Whether reading waits until the pool has a slab. */
  get isWaitingForSlab(): boolean {
    return this.#cancelSlabRequest !== null;
  }

  /** Whether staged bytes wait for a slab or for a turn. */
  get #isWaiting(): boolean {
    return this.#cancelSlabRequest !== null || this.#cancelTurn !== null;
  }

  buffer(): Uint8Array {
    const target = this.#target;
    const isTargetFull = target !== null && target.filledBytes === target.bytes.length;
    // Bytes that wait for a turn come before those of the next read.
    if (target !== null && !isTargetFull && this.#start === this.#end) {
      this.#readOffset = null;
      return target.bytes.subarray(target.filledBytes);
    }
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    }
    if (this.#isFilled) this.#enlargeStaging();
    this.#readOffset = this.#end;
    // The array is for a read that begins when all complete frames are decoded: at once, or after a wait. At
    // most `STAGING_BYTES - HEADER_BYTES - 1` bytes of an incomplete frame are before its bytes then. So the read
    // ends at most at `STAGING_BYTES`, or at these bytes and `STAGING_SPARE_BYTES`: the buffer is not full.
    const spareAt = this.#staging.length - STAGING_SPARE_BYTES;
    return this.#staging.subarray(this.#end, Math.max(spareAt, this.#end + STAGING_SPARE_BYTES));
  }

  #enlargeStaging(): void {
    this.#isFilled = false;
    if (this.#staging.length > STAGING_BYTES) return;
    const old = this.#staging;
    this.#staging = new Uint8Array(STAGING_BYTES + STAGING_SPARE_BYTES);
    this.#stagingView = new DataView(this.#staging.buffer);
    this.#staging.set(old.subarray(0, this.#end));
  }

  onBytes(count: number): void {
    if (this.#isStopped) return;
    if (this.#readOffset === null) {
      const target = present(this.#target, "a target stays until it is full");
      target.filledBytes += count;
      if (target.filledBytes < target.bytes.length) return;
    } else {
      this.#addStaged(this.#readOffset, count);
    }
    if (!this.#isWaiting) this.#parse();
  }

  #addStaged(offset: number, count: number): void {
    assert(this.#end + count <= this.#staging.length, "a read ends within the staging buffer");
    // `#parse` may have moved the staged bytes since `buffer` was called, when a slab was granted.
    if (offset !== this.#end) this.#staging.copyWithin(this.#end, offset, offset + count);
    this.#end += count;
    if (this.#end >= this.#staging.length - STAGING_SPARE_BYTES) this.#isFilled = true;
  }

  /** Stops reading, and releases the slab of an incomplete frame. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelSlabRequest?.();
    this.#cancelSlabRequest = null;
    this.#cancelTurn?.();
    this.#cancelTurn = null;
    this.#slab?.release();
    this.#slab = null;
    this.#lease?.release();
    this.#lease = null;
    this.#target = null;
  }

  #parse(): void {
    let turns = this.#options.turns();
    while (turns === null && this.#readFrame()) turns = this.#options.turns(); // The first frame is the hello.
    if (turns !== null && !turns.slices.run(this.#readFrame)) this.#waitForTurn(turns);
    if (this.#isStopped || this.#start === 0) return;
    // A frame that is decoded in place must be contiguous: move its beginning to the front.
    if (this.#start < this.#end) this.#staging.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }

  /** Reads a frame to its end. Returns false if no bytes are left, or if more bytes or a slab are needed first. */
  readonly #readFrame = (): boolean => {
    do {
      if (this.#isStopped || !this.#step()) return false;
    } while (this.#header !== null || this.#target !== null);
    return this.#start < this.#end;
  };

  #waitForTurn({ slices, lane }: ReadTurns): void {
    if (this.#cancelTurn !== null) return;
    const place = slices.wait(lane, () => {
      this.#cancelTurn = null;
      if (!this.#isWaiting) this.#resumeReading();
    });
    this.#cancelTurn = () => slices.remove(place);
    this.#pause();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#options.pause();
  }

  /** Processes one part of a frame. Returns false if more bytes or a slab are needed first. */
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

  #readHead(header: FrameHeader): boolean {
    const { headLength } = header;
    if (this.#end - this.#start >= headLength) {
      const start = this.#start;
      this.#decodeHead(header, { source: this.#staging, start, end: start + headLength });
      this.#start += headLength;
      return true;
    }
    if (headLength <= STAGING_BYTES - HEADER_BYTES) return false;
    if (!this.#options.wantsHead(header)) return this.#drop(header, headLength + header.bodyLength);
    const source = new Uint8Array(headLength);
    const onFull = (): void => this.#decodeHead(header, { source, start: 0, end: headLength });
    this.#target = { bytes: source, filledBytes: 0, onFull };
    return true;
  }

  #drop(header: FrameHeader, bytes: number): boolean {
    this.#skipBytes = bytes;
    this.#takeFrame();
    this.#options.onDropped(header);
    return true;
  }

  #decodeHead(header: FrameHeader, head: EncodedHead): void {
    this.#isHeadRead = true;
    try {
      this.#options.checkHead(header, head);
      this.#head = this.#options.codec.decode(head.source, head.start, head.end);
    } catch (error) {
      this.#headError = error as AshlarError;
    }
  }

  #readBody(header: FrameHeader): boolean {
    const { bodyLength } = header;
    if (bodyLength === 0) return this.#finishFrame(header, EMPTY_BODY);
    this.#lease ??= this.#options.leaseBody(header);
    if (this.#lease === null) return this.#drop(header, bodyLength);
    if (bodyLength > COPIED_BODY_BYTES_MAX) {
      this.#requestSlab(header);
      return !this.isWaitingForSlab;
    }
    if (this.#end - this.#start < bodyLength) return false;
    const bytes = this.#staging.slice(this.#start, this.#start + bodyLength);
    this.#start += bodyLength;
    return this.#finishFrame(header, this.#bodyOf({ bytes, release: EMPTY_BODY.release }));
  }

  #requestSlab(header: FrameHeader): void {
    let isGranted = false;
    const cancelRequest = this.#options.slabs.requestSlab(header.bodyLength, (slab) => {
      isGranted = true;
      this.#slab = slab;
      const onFull = (): void => {
        this.#slab = null;
        this.#finishFrame(header, this.#bodyOf(slab));
      };
      this.#target = { bytes: slab.bytes, filledBytes: 0, onFull };
      if (!this.isWaitingForSlab) return;
      this.#cancelSlabRequest = null;
      if (!this.#isWaiting) this.#resumeReading();
    });
    if (isGranted) return;
    this.#cancelSlabRequest = cancelRequest;
    this.#pause();
  }

  /**
   * Continues after a wait. Staged bytes are parsed before the link is resumed, because the link may
   * deliver bytes within `resume`.
   */
  #resumeReading(): void {
    this.#parse();
    if (this.#isWaiting || this.#isStopped) return;
    this.#isPaused = false;
    this.#options.resume();
  }

  /** Copies staged bytes into the target. The link reads the rest directly into the target. */
  #fillTarget(target: ReadTarget): boolean {
    const room = target.bytes.length - target.filledBytes;
    const count = Math.min(room, this.#end - this.#start);
    target.bytes.set(this.#staging.subarray(this.#start, this.#start + count), target.filledBytes);
    target.filledBytes += count;
    this.#start += count;
    if (count < room) return false;
    this.#target = null;
    target.onFull();
    return true;
  }

  #skip(): boolean {
    const count = Math.min(this.#skipBytes, this.#end - this.#start);
    this.#start += count;
    this.#skipBytes -= count;
    return this.#skipBytes === 0;
  }

  /** Returns a body that releases its lease, too. */
  #bodyOf(body: Body): Body {
    const lease = present(this.#lease, "a body that is read has a lease");
    this.#lease = null;
    if (lease === COVERED_BODY) return body;
    const release = (): void => {
      body.release();
      lease.release();
    };
    return { bytes: body.bytes, release };
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
