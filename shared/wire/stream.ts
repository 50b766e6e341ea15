import { AshlarError, fromErrorData, isAshlarError } from "../base/errors.ts";
import { parseErrorData } from "../protocol/error-codec.ts";
import type { Parser } from "../protocol/method.ts";
import { type BodyLease, type ByteBudget, COVERED_BODY } from "./byte-budget.ts";
import type { Expirable } from "./deadlines.ts";
import { FLAG_LAST, FRAME_KINDS, frameBytes } from "./frame.ts";
import { EMPTY_BODY, type Frame } from "./frame-reader.ts";
import type { Received, Stream } from "./rpc.ts";
import { StreamReceiver } from "./stream-receiver.ts";
import { type StreamHost, StreamSender } from "./stream-sender.ts";

/** The error of callers that use a stream after its orderly end. Made once: each stream needs it. */
const ENDED = new AshlarError("CANCELLED", "The stream has ended");

/** Options of `WireStream`. */
export interface StreamOptions<Receive> {
  readonly streamId: number;
  /** "namespace.watch at host:port", for errors. */
  readonly title: string;
  readonly parse: Parser<Receive>;
  readonly deadlineMs: number;
  /** Bytes that the peer may send ahead. */
  readonly receiveWindowBytes: number;
  /** Bytes that this end may send ahead. */
  readonly sendWindowBytes: number;
  /**
   * Memory of the bodies that arrive before the first `receive`. The windows bound the later ones. Null: the
   * windows bound all of them.
   */
  readonly earlyBodies: ByteBudget | null;
  /** The stream is closed. `error` is null after an orderly end. Called once. */
  readonly onClosed: (error: AshlarError | null) => void;
}

/** A stream without the types of its messages. */
export interface OpenStream extends Expirable {
  readonly streamId: number;
  /** Returns memory for the body of a message. Null: the stream has no need for it, or has ended. */
  leaseBody(bodyLength: number): BodyLease | null;
  /** Handles a frame of this stream. Returns false if it violates the flow control. */
  onFrame(frame: Frame): boolean;
  onCredit(bytes: number): void;
  flushCredit(): void;
  /**
   * Closes the stream without a frame: the connection is closed, or the peer has closed the stream.
   */
  close(error: AshlarError): void;
}

/** One end of a stream. */
export class WireStream<Send, Receive> implements Stream<Send, Receive>, OpenStream {
  readonly streamId: number;
  readonly deadlineMs: number;
  readonly #host: StreamHost;
  readonly #options: StreamOptions<Receive>;
  readonly #sender: StreamSender;
  readonly #receiver: StreamReceiver<Receive>;
  /**
   * Whether the peer's last frame has arrived. If so, the stream closes once all received messages
   * are consumed.
   */
  #isLastReceived = false;
  #isClosed = false;

  constructor(host: StreamHost, options: StreamOptions<Receive>) {
    const { streamId, receiveWindowBytes: windowBytes } = options;
    this.streamId = streamId;
    this.deadlineMs = options.deadlineMs;
    this.#host = host;
    this.#options = options;
    this.#sender = new StreamSender(host, streamId, options.sendWindowBytes);
    this.#receiver = new StreamReceiver(host.credit, { streamId, windowBytes }, () =>
      this.#onDrained(),
    );
  }

  get pendingBytes(): number {
    return this.#sender.pendingBytes;
  }

  send(
    head: Send,
    body: Uint8Array = EMPTY_BODY.bytes,
    onReusable: (() => void) | null = null,
  ): Promise<void> {
    return this.#sender.send(head, body, onReusable);
  }

  room(aheadBytes: number): Promise<void> {
    return this.#sender.room(aheadBytes);
  }

  hasRoom(aheadBytes: number): boolean {
    return this.#sender.hasRoom(aheadBytes);
  }

  flush(): void {
    this.#host.flush();
  }

  receive(): Promise<Received<Receive> | null> {
    return this.#receiver.receive();
  }

  end(): void {
    this.#sender.end(null);
  }

  /** Ends both directions of the stream, after the queued messages. */
  endBothDirections(): void {
    if (this.#isClosed) return;
    this.#sender.end(() => this.#close(null, ENDED));
  }

  cancel(error: AshlarError): void {
    this.#abort(FRAME_KINDS.cancel, error);
  }

  /**
   * Ends the stream with `error`. The peer still gets the messages that were sent before, unlike
   * after `cancel`.
   */
  endWithError(error: AshlarError): void {
    this.#abort(FRAME_KINDS.error, error);
  }

  expire(): void {
    this.cancel(
      new AshlarError(
        "DEADLINE_EXCEEDED",
        `The deadline of the stream ${this.#options.title} has passed`,
      ),
    );
  }

  leaseBody(bodyLength: number): BodyLease | null {
    const { earlyBodies, title } = this.#options;
    if (earlyBodies === null || this.#receiver.hasReader) return COVERED_BODY;
    const lease = earlyBodies.leaseBody(bodyLength);
    if (lease === null) {
      const text = `Cannot receive a message of ${title}: it arrived before it was asked for, and such messages take too much memory`;
      this.endWithError(new AshlarError("OVERLOADED", text));
    }
    return lease;
  }

  onFrame(frame: Frame): boolean {
    switch (frame.header.kind) {
      case FRAME_KINDS.message:
        return this.#onMessage(frame);
      case FRAME_KINDS.end:
        this.#onEnd((frame.header.flags & FLAG_LAST) !== 0);
        return true;
      case FRAME_KINDS.error:
        this.#onError(fromErrorData(parseErrorData(frame.head)));
        return true;
      default:
        this.close(fromErrorData(parseErrorData(frame.head)));
        return true;
    }
  }

  onCredit(bytes: number): void {
    this.#sender.onCredit(bytes);
  }

  flushCredit(): void {
    this.#receiver.flushCredit();
  }

  close(error: AshlarError): void {
    this.#close(error, error);
  }

  #onMessage(frame: Frame): boolean {
    let head: Receive;
    try {
      if (frame.headError !== null) throw frame.headError;
      head = this.#options.parse(frame.head);
    } catch (error) {
      frame.body.release();
      this.#host.credit.grantOrphaned(frameBytes(frame.header));
      this.cancel(isAshlarError(error) ? error : unreadable(this.#options.title, error));
      return true;
    }
    if (this.#receiver.accept(frame, head)) return true;
    frame.body.release();
    return false;
  }

  #onEnd(isLast: boolean): void {
    if (isLast) {
      this.#isLastReceived = true;
      this.#sender.fail(ENDED);
    }
    this.#receiver.end(null);
    if (isLast) this.#receiver.checkDrained();
  }

  #onError(error: AshlarError): void {
    this.#isLastReceived = true;
    this.#sender.fail(error);
    this.#receiver.end(error);
  }

  #onDrained(): void {
    if (this.#isLastReceived) this.#close(null, ENDED);
  }

  #abort(kind: typeof FRAME_KINDS.cancel | typeof FRAME_KINDS.error, error: AshlarError): void {
    if (this.#isClosed) return;
    // Fail the sender before the error frame is queued: no waiting message may follow that frame.
    this.#sender.fail(error);
    this.#host.postError(kind, this.streamId, error);
    this.close(error);
  }

  #close(error: AshlarError | null, callerError: AshlarError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#sender.fail(callerError);
    this.#receiver.close(callerError);
    this.#options.onClosed(error);
  }
}

function unreadable(title: string, cause: unknown): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot read a message of ${title}`, { cause });
}
