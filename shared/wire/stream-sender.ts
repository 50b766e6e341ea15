import { assert } from "../base/assert.ts";
import { AshlarError } from "../base/errors.ts";
import type { ConnectionCredit } from "./connection-credit.ts";
import { Fifo } from "./fifo.ts";
import { FLAG_LAST, FRAME_KINDS, type FrameKind } from "./frame.ts";
import type { FrameFields } from "./frame-codec.ts";
import type { Outgoing, QueuedFrame } from "./frame-writer.ts";

/** The operations of a connection that its streams use. */
export interface StreamHost {
  encode(fields: FrameFields): Uint8Array;
  post(outgoing: Outgoing): QueuedFrame;
  /** Queues a frame whose head is an error. An error that is too large is sent without details. */
  postError(kind: FrameKind, streamId: number, error: unknown): void;
  drop(queuedFrame: QueuedFrame): boolean;
  flush(): void;
  /** Bytes of frames that are queued or being written. */
  readonly unsentBytes: number;
  /** Calls `task` once when fewer than `bytes` are unsent. */
  onceUnsentBelow(bytes: number, task: () => void): void;
  readonly credit: ConnectionCredit;
}

/** A message that waits for credit or is being sent. */
interface Sending {
  readonly frame: Uint8Array;
  readonly body: Uint8Array | null;
  readonly sizeBytes: number;
  queuedFrame: QueuedFrame | null;
  /** Called once when `body` may be reused. */
  readonly onReusable: (() => void) | null;
  readonly resolve: () => void;
  readonly reject: (error: AshlarError) => void;
}

/** A caller of `room`. */
interface RoomWaiter {
  readonly aheadBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: AshlarError) => void;
}

/** A connection with so many unsent bytes has no room: its peer reads slowly or not at all. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024;
const DONE = Promise.resolve();
/** Bodies of up to this size are copied into the frame, so that the caller need not wait. */
const COPIED_BODY_BYTES_MAX = 4096;

/**
 * The sending half of a stream.
 *
 * A message is sent while the credits of the stream and of the connection are above 0. The last
 * message may make them negative, so that a message larger than a window can be sent.
 */
export class StreamSender {
  readonly #host: StreamHost;
  readonly #streamId: number;
  readonly #windowBytes: number;
  #creditBytes: number;
  /** Messages that wait for credit, in order. */
  readonly #queue = new Fifo<Sending>();
  #queuedBytes = 0;
  /** Messages that were passed to the writer and are not settled. */
  readonly #written = new Set<Sending>();
  /** Sent messages whose callers wait for room in the window. */
  #waitingForRoom: Sending[] = [];
  #roomWaiters: RoomWaiter[] = [];
  #isWatchingUnsent = false;
  #failure: AshlarError | null = null;
  /** Whether `end` was called. */
  #isEnding = false;
  /** Whether the end frame must be sent once the queue is empty. */
  #isEndDue = false;
  /** Whether the end frame for both directions was queued. Earlier messages are still sent. */
  #isLastQueued = false;
  /** Called when the end frame for both directions is queued. */
  #onLast: (() => void) | null = null;

  constructor(host: StreamHost, streamId: number, windowBytes: number) {
    this.#host = host;
    this.#streamId = streamId;
    this.#windowBytes = windowBytes;
    this.#creditBytes = windowBytes;
  }

  get pendingBytes(): number {
    return this.#windowBytes - this.#creditBytes + this.#queuedBytes;
  }

  /** See `Stream.send`. */
  send(head: unknown, body: Uint8Array, onReusable: (() => void) | null): Promise<void> {
    if (this.#failure !== null) {
      onReusable?.();
      return Promise.reject(this.#failure);
    }
    assert(!this.#isEnding, "no message is sent after the end");
    const isCopied = body.length <= COPIED_BODY_BYTES_MAX;
    let frame: Uint8Array;
    try {
      frame = this.#encode(head, body, isCopied);
    } catch (error) {
      onReusable?.();
      return Promise.reject(error);
    }
    if (isCopied) onReusable?.();
    const sizeBytes = frame.length + (isCopied ? 0 : body.length);
    if (isCopied && this.#mayTransmit && this.#creditBytes > sizeBytes) {
      this.#spend(sizeBytes);
      this.#host.post({ frame, body: null, onSettled: null });
      return DONE;
    }
    return new Promise((resolve, reject) => {
      const sent = { frame, body: isCopied ? null : body, sizeBytes, queuedFrame: null };
      this.#queue.push({ ...sent, onReusable: isCopied ? null : onReusable, resolve, reject });
      this.#queuedBytes += sizeBytes;
      this.pump();
    });
  }

  /**
   * Ends the stream after the queued messages. With `onLast`, the end frame closes both directions,
   * and `onLast` is called when it is queued.
   */
  end(onLast: (() => void) | null): void {
    if (this.#failure !== null) return;
    if (this.#isEnding && onLast === null) return;
    this.#isEnding = true;
    this.#isEndDue = true;
    this.#onLast = onLast;
    this.pump();
  }

  /** See `Stream.room`. */
  room(aheadBytes: number): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.hasRoom(aheadBytes)) return DONE;
    return new Promise((resolve, reject) => {
      this.#roomWaiters.push({ aheadBytes, resolve, reject });
      this.#watchRoom();
    });
  }

  /** See `Stream.hasRoom`. */
  hasRoom(aheadBytes: number): boolean {
    const isFree = this.#queue.length === 0 && this.#host.unsentBytes < UNSENT_BYTES_MAX;
    return isFree && this.#mayTransmitNext && this.#creditBytes > aheadBytes;
  }

  /** Sends queued messages while there is credit. */
  pump(): void {
    while (this.#queue.length > 0 && this.#mayTransmitNext) {
      const sending = this.#queue.shift() as Sending;
      this.#queuedBytes -= sending.sizeBytes;
      this.#transmit(sending);
    }
    if (this.#queue.length > 0) {
      if (this.#creditBytes > 0) this.#host.credit.wait(this);
      return;
    }
    if (this.#isEndDue && this.#failure === null) this.#postEnd();
    if (this.#roomWaiters.length > 0) this.#serveRoom();
  }

  onCredit(bytes: number): void {
    this.#creditBytes += bytes;
    this.pump();
    if (this.#creditBytes <= 0) return;
    const waiting = this.#waitingForRoom;
    this.#waitingForRoom = [];
    for (const sending of waiting) sending.resolve();
  }

  /**
   * Stops sending. A send whose body is being written fails only when the link no longer uses the
   * body, because its caller may then reuse it.
   */
  fail(error: AshlarError): void {
    if (this.#failure !== null || this.#isLastQueued) return;
    this.#failure = error;
    this.#queuedBytes = 0;
    for (const sending of this.#queue.takeAll()) {
      sending.onReusable?.();
      sending.reject(error);
    }
    for (const waiter of this.#roomWaiters.splice(0)) waiter.reject(error);
    for (const sending of this.#waitingForRoom) sending.reject(error);
    this.#waitingForRoom = [];
    for (const { queuedFrame } of [...this.#written])
      if (queuedFrame !== null) this.#host.drop(queuedFrame);
  }

  get #mayTransmit(): boolean {
    return this.#queue.length === 0 && this.#mayTransmitNext;
  }

  get #mayTransmitNext(): boolean {
    return this.#creditBytes > 0 && this.#host.credit.sendBytes > 0;
  }

  #serveRoom(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const waiter of waiters) {
      if (this.hasRoom(waiter.aheadBytes)) waiter.resolve();
      else this.#roomWaiters.push(waiter);
    }
    if (this.#roomWaiters.length > 0) this.#watchRoom();
  }

  /** Makes `#serveRoom` run when the connection has room. Credit of the stream calls it anyway. */
  #watchRoom(): void {
    if (this.#creditBytes > 0 && this.#host.credit.sendBytes <= 0) this.#host.credit.wait(this);
    if (this.#isWatchingUnsent || this.#host.unsentBytes < UNSENT_BYTES_MAX) return;
    this.#isWatchingUnsent = true;
    this.#host.onceUnsentBelow(UNSENT_BYTES_MAX, () => {
      this.#isWatchingUnsent = false;
      this.#serveRoom();
    });
  }

  #encode(head: unknown, body: Uint8Array, isCopied: boolean): Uint8Array {
    const kind = FRAME_KINDS.message;
    const bodyLength = body.length;
    const frame = this.#host.encode({ kind, streamId: this.#streamId, head, bodyLength });
    if (!isCopied || bodyLength === 0) return frame;
    const whole = new Uint8Array(frame.length + bodyLength);
    whole.set(frame);
    whole.set(body, frame.length);
    return whole;
  }

  #spend(bytes: number): void {
    this.#creditBytes -= bytes;
    this.#host.credit.spend(bytes);
  }

  #transmit(sending: Sending): void {
    this.#spend(sending.sizeBytes);
    this.#written.add(sending);
    const onSettled = (isSent: boolean): void => this.#onSettled(sending, isSent);
    sending.queuedFrame = this.#host.post({ frame: sending.frame, body: sending.body, onSettled });
  }

  #onSettled(sending: Sending, isSent: boolean): void {
    this.#written.delete(sending);
    sending.onReusable?.();
    if (!isSent) this.#host.credit.add(sending.sizeBytes);
    if (this.#failure !== null) sending.reject(this.#failure);
    else if (!isSent) sending.reject(lostBeforeSent());
    else if (this.#creditBytes > 0 || this.#isLastQueued) sending.resolve();
    else this.#waitingForRoom.push(sending);
  }

  #postEnd(): void {
    this.#isEndDue = false;
    const flags = this.#onLast === null ? 0 : FLAG_LAST;
    const frame = this.#host.encode({ kind: FRAME_KINDS.end, flags, streamId: this.#streamId });
    this.#host.post({ frame, body: null, onSettled: null });
    if (this.#onLast === null) return;
    this.#isLastQueued = true;
    for (const sending of this.#waitingForRoom.splice(0)) sending.resolve();
    this.#onLast();
  }
}

function lostBeforeSent(): AshlarError {
  return new AshlarError(
    "CONNECTION_LOST",
    "Cannot send a message: the connection was closed first",
  );
}
