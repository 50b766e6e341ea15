import { AshlarError, isAshlarError } from "../base/errors.ts";
import type { SlabPool } from "../flow/slabs.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Link } from "../ports/network.ts";
import type { BodyLease } from "./byte-budget.ts";
import { ConnectionCredit } from "./connection-credit.ts";
import { Deadlines, type Expirable } from "./deadlines.ts";
import { ErrorFrames } from "./error-frames.ts";
import { FRAME_KINDS, type FrameHeader, type FrameKind, frameBytes } from "./frame.ts";
import { FrameCodec, type FrameFields } from "./frame-codec.ts";
import { type Frame, FrameReader } from "./frame-reader.ts";
import { FrameWriter, type Outgoing, type QueuedFrame } from "./frame-writer.ts";
import type { EncodedHead } from "./head-limits.ts";
import { KeepAlive } from "./keep-alive.ts";
import type { WireLimits } from "./limits.ts";
import { HANDSHAKE_HEAD_BYTES_MAX, type PeerLimits, parseCredit } from "./messages.ts";
import type { ReadTurns } from "./read-slices.ts";
import type { OpenStream } from "./stream.ts";
import type { StreamHost } from "./stream-sender.ts";

/** Dependencies of a `Multiplexer`. `slabs` holds the bodies that it received. */
export interface MultiplexerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly slabs: SlabPool;
  /** See `FrameWriterOptions.hold`. Default: no write waits. */
  readonly holdWrite?: (flush: () => void) => void;
}

/** Handles the frames that belong to no stream. Implemented by client and server connections. */
export interface MultiplexerHandler {
  /** The turns in which frames are read. Null or absent: they are read at once. */
  readonly readTurns?: ReadTurns | null;
  /** Handles a frame that belongs to no stream, and releases its body. */
  onFrame(frame: Frame): void;
  /** Returns whether a frame with a large head is read. Absent: every one is. */
  wantsHead?(header: FrameHeader): boolean;
  /** Checks a head before it is decoded. @throws {AshlarError} which takes the place of the head */
  checkHead?(header: FrameHeader, head: EncodedHead): void;
  /** Returns memory for the body of a frame that belongs to no stream. Null if it is not needed. */
  leaseBody(header: FrameHeader): BodyLease | null;
  /** A frame was dropped because of `wantsHead` or `leaseBody`. */
  onDropped(header: FrameHeader): void;
  /** The memory of the answers that the peer has not read has changed by `bytes`. May close connections. */
  onAnswerBytes?(bytes: number): void;
  /** Returns the calls in progress that have a deadline, without the streams. */
  expirables(): Iterable<Expirable>;
  /**
   * The connection is closed; null after an orderly close. Called once, after all streams failed.
   */
  onClosed(error: AshlarError | null): void;
}

/**
 * Reading is paused while the answers that the peer has not read take more memory than this. The peer must
 * read them first.
 */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** Memory of a queued answer without its frame. */
const ANSWER_OVERHEAD_BYTES = 256;
/**
 * From this memory of answers on, further ones are copied: the buffer in which msgpackr has encoded an answer
 * contains others, and may be 10 times as large.
 */
const COPIED_ANSWERS_BYTES_MIN = 64 * 1024;

const HANDSHAKE_LIMITS = { headBytesMax: HANDSHAKE_HEAD_BYTES_MAX, bodyBytesMax: 0 };

/**
 * One end of a connection: carries calls and streams over a link, with frames, flow control and
 * pings.
 */
export class Multiplexer implements StreamHost {
  readonly link: Link;
  readonly limits: WireLimits;
  readonly streams = new Map<number, OpenStream>();
  readonly credit: ConnectionCredit;
  readonly deadlines: Deadlines;
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  readonly #deps: MultiplexerDeps;
  readonly #codec = new FrameCodec();
  readonly #errorFrames = new ErrorFrames((fields) => this.encode(fields));
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  #handler: MultiplexerHandler;
  #keepAlive: KeepAlive | null = null;
  /** Null until the handshake is complete. */
  #peerLimits: PeerLimits | null = null;
  #pauses = 0;
  /** Memory of the answers that are queued or being written: responses, errors and pongs. */
  #answerBytes = 0;
  #isPausedForAnswers = false;
  #isClosed = false;
  #isClosing = false;
  #resolveClosed: () => void = () => {};

  constructor(deps: MultiplexerDeps, link: Link, limits: WireLimits, handler: MultiplexerHandler) {
    this.#deps = deps;
    this.link = link;
    this.limits = limits;
    this.#handler = handler;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.credit = new ConnectionCredit({
      receiveWindowBytes: limits.connectionWindowBytes,
      sendGrant: (streamId, bytes) => this.#sendGrant(streamId, bytes),
      flushStreams: () => {
        for (const stream of this.streams.values()) stream.flushCredit();
      },
    });
    this.deadlines = new Deadlines(deps.clock, () => this.#expirables());
    this.#writer = new FrameWriter(link, {
      onFailed: (error) => this.#onLost("a write failed", error),
      hold: deps.holdWrite ?? writeNow,
    });
    this.#reader = new FrameReader({
      slabs: deps.slabs,
      codec: this.#codec,
      limits: () => (this.#peerLimits === null ? HANDSHAKE_LIMITS : this.limits),
      onFrame: (frame) => this.#onFrame(frame),
      wantsHead: (header) => this.#handler.wantsHead?.(header) ?? true,
      checkHead: (header, head) => this.#handler.checkHead?.(header, head),
      leaseBody: (header) => this.#leaseBody(header),
      onDropped: (header) => this.#onFrameDropped(header),
      onMalformed: (reason) => this.failMalformed(reason),
      turns: () => this.#handler.readTurns ?? null,
      pause: () => this.#pause(),
      resume: () => this.#resume(),
    });
    link.start({
      buffer: () => this.#reader.buffer(),
      onBytes: (count) => {
        this.#keepAlive?.onBytes();
        this.#reader.onBytes(count);
      },
      onClosed: (error) => this.#onLinkClosed(error),
    });
  }

  get isOpen(): boolean {
    return !this.#isClosed && !this.#isClosing;
  }

  /** Bytes that this end may send ahead on a stream: the window of the peer. */
  get streamSendWindowBytes(): number {
    return this.#peerLimits?.streamWindowBytes ?? 0;
  }

  /** Completes the handshake. `handler` gets all later frames. */
  establish(peerLimits: PeerLimits, handler: MultiplexerHandler): void {
    this.#peerLimits = peerLimits;
    this.#handler = handler;
    this.credit.open(peerLimits.connectionWindowBytes);
    this.#keepAlive = new KeepAlive({
      clock: this.#deps.clock,
      intervalMs: this.limits.pingIntervalMs,
      ping: () => this.#writer.sendUrgent(this.encode({ kind: FRAME_KINDS.ping, streamId: 0 })),
      onDead: (reason) => this.#onDead(reason),
      isReadingPaused: () => this.#pauses > 0,
      writeProgress: () => this.#writer.progress,
      stallTimeoutMs: this.limits.stallTimeoutMs,
    });
  }

  /**
   * Returns the header and head of a frame.
   *
   * @throws {AshlarError} TOO_LARGE for the peer's limits
   */
  encode(fields: FrameFields): Uint8Array {
    const limits = this.#peerLimits ?? HANDSHAKE_LIMITS;
    const { bodyLength = 0 } = fields;
    if (bodyLength > limits.bodyBytesMax) {
      throw new AshlarError(
        "TOO_LARGE",
        `Cannot send a body of ${bodyLength} bytes: the peer accepts at most ${limits.bodyBytesMax}`,
      );
    }
    return this.#codec.encode(fields, limits.headBytesMax);
  }

  /** Queues a frame. */
  post(outgoing: Outgoing): QueuedFrame {
    return this.#writer.send(outgoing);
  }

  /**
   * Queues a frame whose head is an error. An error that is too large is sent without details. The error
   * that was sent last is not encoded again.
   */
  postError(kind: FrameKind, streamId: number, error: unknown): void {
    const frame = this.#errorFrames.frameOf(kind, streamId, error);
    const outgoing = { frame, body: null, onSettled: null };
    if (kind === FRAME_KINDS.cancel) this.post(outgoing);
    else this.postAnswer(outgoing);
  }

  /** Removes a queued frame. Returns false if it may have reached the peer. */
  drop(queuedFrame: QueuedFrame): boolean {
    return this.#writer.drop(queuedFrame);
  }

  /** Bytes of frames that are queued or being written. */
  get unsentBytes(): number {
    return this.#writer.unsentBytes;
  }

  /** Calls `task` once when fewer than `bytes` are unsent, possibly within this call. */
  onceUnsentBelow(bytes: number, task: () => void): void {
    this.#writer.onceUnsentBelow(bytes, task);
  }

  /** Writes the queued frames now. */
  flush(): void {
    this.#writer.flush();
  }

  /**
   * Queues an answer. Reading is paused while too many answers are queued: a peer that does not read them
   * cannot send more requests. Messages of streams are not counted, because credit bounds them.
   */
  postAnswer({ frame, body, onSettled }: Outgoing): void {
    const bytes = ANSWER_OVERHEAD_BYTES + frame.length + (body === null ? 0 : body.length);
    const settle = (isSent: boolean): void => {
      this.#countAnswer(-bytes);
      onSettled?.(isSent);
    };
    const isCopied = this.#answerBytes >= COPIED_ANSWERS_BYTES_MIN;
    this.#countAnswer(bytes);
    this.post({ frame: isCopied ? new Uint8Array(frame) : frame, body, onSettled: settle });
  }

  /** Memory of the answers that the peer has not read, in bytes. 0 once the connection is closed. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  #countAnswer(bytes: number): void {
    if (this.#isClosed) return;
    this.#answerBytes += bytes;
    const isOver = this.#answerBytes >= ANSWER_BYTES_MAX;
    if (isOver !== this.#isPausedForAnswers) {
      this.#isPausedForAnswers = isOver;
      if (isOver) this.#pause();
      else this.#resume();
    }
    this.#handler.onAnswerBytes?.(bytes);
  }

  /** Closes the connection after the queued frames were sent. */
  close(): void {
    if (this.#isClosed || this.#isClosing) return;
    this.#isClosing = true;
    this.#writer.onceUnsentBelow(1, () => this.link.close());
  }

  /** Closes the connection immediately because the peer violated the protocol. */
  failMalformed(reason: string): void {
    if (this.#isClosed) return;
    const { peerAddress } = this.link;
    const fields = { peerAddress, reason };
    if (this.#peerLimits === null) {
      this.#deps.log.warn("A connection without a valid handshake was closed", fields);
      const text = `${peerAddress} does not speak Ashlar's wire protocol: it sent ${reason}`;
      this.fail(new AshlarError("PROTOCOL_ERROR", text));
      return;
    }
    this.#deps.log.error("A peer violated the wire protocol, its connection is closed", fields);
    this.fail(lost(this.link, `it sent ${reason}`, null));
  }

  /** Closes the connection immediately. `error` is null for an orderly close. */
  fail(error: AshlarError | null): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#handler.onAnswerBytes?.(-this.#answerBytes);
    this.#answerBytes = 0;
    this.#keepAlive?.stop();
    this.deadlines.stop();
    this.#reader.stop();
    this.link.destroy();
    this.credit.close();
    const streamError = error ?? lost(this.link, "the peer closed it", null);
    for (const stream of [...this.streams.values()]) stream.close(streamError);
    this.#writer.stop();
    this.#handler.onClosed(error);
    this.#resolveClosed();
  }

  #onLinkClosed(error: Error | null): void {
    if (error === null || this.#isClosing) this.fail(null);
    else this.#onLost(error.message, error);
  }

  #onLost(reason: string, cause: unknown): void {
    if (this.#isClosed) return;
    const error = lost(this.link, reason, cause);
    const { peerAddress } = this.link;
    if (this.#peerLimits !== null)
      this.#deps.log.info("A connection was lost", { peerAddress, error });
    this.fail(error);
  }

  #onDead(reason: string): void {
    const { peerAddress } = this.link;
    this.#deps.log.warn("A peer does not answer, its connection is closed", {
      peerAddress,
      reason,
    });
    this.fail(lost(this.link, reason, null));
  }

  *#expirables(): Iterable<Expirable> {
    yield* this.streams.values();
    yield* this.#handler.expirables();
  }

  #pause(): void {
    this.#pauses += 1;
    if (this.#pauses === 1) this.link.pause();
  }

  #resume(): void {
    this.#pauses -= 1;
    if (this.#pauses === 0 && !this.#isClosed) this.link.resume();
  }

  #leaseBody(header: FrameHeader): BodyLease | null {
    if (header.kind !== FRAME_KINDS.message) return this.#handler.leaseBody(header);
    return this.streams.get(header.streamId)?.leaseBody(header.bodyLength) ?? null;
  }

  #onFrameDropped(header: FrameHeader): void {
    if (header.kind !== FRAME_KINDS.message) this.#handler.onDropped(header);
    else if (this.#countMessage(header)) this.credit.grantOrphaned(frameBytes(header));
  }

  #onFrame(frame: Frame): void {
    const { kind, streamId } = frame.header;
    if (this.#peerLimits === null) {
      this.#handler.onFrame(frame);
      return;
    }
    switch (kind) {
      case FRAME_KINDS.ping:
        this.#sendPong(streamId);
        return;
      case FRAME_KINDS.pong:
        return;
      case FRAME_KINDS.credit:
        this.#onCredit(frame);
        return;
      case FRAME_KINDS.message:
        this.#onMessage(frame);
        return;
      case FRAME_KINDS.end:
        this.streams.get(streamId)?.onFrame(frame);
        return;
      case FRAME_KINDS.error:
      case FRAME_KINDS.cancel: {
        const stream = this.streams.get(streamId);
        if (stream === undefined) this.#handler.onFrame(frame);
        else stream.onFrame(frame);
        return;
      }
      default:
        this.#handler.onFrame(frame);
    }
  }

  #sendPong(streamId: number): void {
    const frame = this.encode({ kind: FRAME_KINDS.pong, streamId });
    const bytes = ANSWER_OVERHEAD_BYTES + frame.length;
    this.#countAnswer(bytes);
    this.#writer.sendUrgent(frame, () => this.#countAnswer(-bytes));
  }

  #onMessage(frame: Frame): void {
    const stream = this.streams.get(frame.header.streamId);
    if (!this.#countMessage(frame.header)) {
      frame.body.release();
    } else if (stream === undefined) {
      frame.body.release();
      this.credit.grantOrphaned(frameBytes(frame.header));
    } else if (!stream.onFrame(frame)) {
      this.failMalformed("more bytes on a stream than it had credit for");
    }
  }

  #countMessage(header: FrameHeader): boolean {
    const isCovered = this.credit.receive(header);
    if (!isCovered) this.failMalformed("more bytes than it had credit for");
    return isCovered;
  }

  #onCredit({ head, headError, header }: Frame): void {
    try {
      if (headError !== null) throw headError;
      const bytes = parseCredit(head);
      if (this.credit.add(bytes)) this.streams.get(header.streamId)?.onCredit(bytes);
      else this.failMalformed("more credit than this end has spent");
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.failMalformed(error.message);
    }
  }

  #sendGrant(streamId: number, bytes: number): void {
    if (this.#isClosed) return;
    this.#writer.sendUrgent(this.encode({ kind: FRAME_KINDS.credit, streamId, head: bytes }));
  }
}

function writeNow(flush: () => void): void {
  flush();
}

function lost(link: Link, reason: string, cause: unknown): AshlarError {
  return new AshlarError(
    "CONNECTION_LOST",
    `Lost the connection to ${link.peerAddress}: ${reason}`,
    cause === null ? {} : { cause },
  );
}
