import { assert } from "../base/assert.ts";
import type { AshlarError } from "../base/errors.ts";
import type { ConnectionCredit } from "./connection-credit.ts";
import { Fifo } from "./fifo.ts";
import { HEADER_BYTES } from "./frame.ts";
import type { Body, Frame } from "./frame-reader.ts";
import type { Received } from "./rpc.ts";

/** Credit is granted in portions of this size, to avoid a credit frame per small message. */
const GRANT_BYTES_MIN = 64 * 1024;

interface WaitingReceive<Head> {
  readonly resolve: (message: Received<Head> | null) => void;
  readonly reject: (error: AshlarError) => void;
}

/**
 * The receiving half of a stream.
 *
 * The head of a message occupies the window until `receive` returns the message, and the body until
 * the message is released. So this end holds at most the window and one more message of a stream.
 */
export class StreamReceiver<Head> {
  readonly #credit: ConnectionCredit;
  readonly #streamId: number;
  readonly #windowBytes: number;
  readonly #onDrained: () => void;
  readonly #queue = new Fifo<StreamMessage<Head>>();
  #waitingReceive: WaitingReceive<Head> | null = null;
  #hasReader = false;
  /** Bytes received for which the peer has no new credit yet. */
  #outstandingBytes = 0;
  /** Bytes consumed here and not granted yet. */
  #heldBackBytes = 0;
  /** Set when no messages follow those in the queue. `error` is null for the peer's orderly end. */
  #end: { readonly error: AshlarError | null } | null = null;
  /** Whether the peer no longer counts the credit of this stream. */
  #isClosed = false;

  /** `onDrained` is called when the stream has ended and `receive` has returned every message. */
  constructor(
    credit: ConnectionCredit,
    id: { readonly streamId: number; readonly windowBytes: number },
    onDrained: () => void,
  ) {
    this.#credit = credit;
    this.#streamId = id.streamId;
    this.#windowBytes = id.windowBytes;
    this.#onDrained = onDrained;
  }

  /** Accepts a message. Returns false if the peer had no credit; the caller then keeps the body. */
  accept(frame: Frame, head: Head): boolean {
    if (this.#outstandingBytes >= this.#windowBytes) return false;
    const headBytes = HEADER_BYTES + frame.header.headLength;
    const bodyBytes = frame.header.bodyLength;
    this.#outstandingBytes += headBytes + bodyBytes;
    const message = new StreamMessage(head, frame.body, { headBytes, bodyBytes, receiver: this });
    const reader = this.#waitingReceive;
    if (reader === null) {
      this.#queue.push(message);
      return true;
    }
    this.#waitingReceive = null;
    this.returnCredit(headBytes);
    reader.resolve(message);
    return true;
  }

  /** Whether `receive` was called. */
  get hasReader(): boolean {
    return this.#hasReader;
  }

  /** See `Stream.receive`. */
  receive(): Promise<Received<Head> | null> {
    this.#hasReader = true;
    assert(this.#waitingReceive === null, "a stream has one reader at a time");
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.returnCredit(message.headBytes);
      this.checkDrained();
      return Promise.resolve(message);
    }
    if (this.#end !== null) {
      const { error } = this.#end;
      return error === null ? Promise.resolve(null) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waitingReceive = { resolve, reject };
    });
  }

  /** Ends the stream after the messages in the queue. `error` is null for an orderly end. */
  end(error: AshlarError | null): void {
    if (this.#end !== null) return;
    this.#end = { error };
    const reader = this.#waitingReceive;
    this.#waitingReceive = null;
    if (error === null) reader?.resolve(null);
    else reader?.reject(error);
    this.checkDrained();
  }

  /** Closes the stream. Messages in the queue are dropped; `receive` then rejects with `error`. */
  close(error: AshlarError): void {
    const dropped = this.#queue.takeAll();
    for (const message of dropped) {
      this.returnCredit(message.headBytes);
      message.release();
    }
    if (dropped.length > 0) this.#end = { error };
    this.end(error);
    this.flushCredit();
    this.#isClosed = true;
  }

  /** Calls `onDrained` if the stream has ended and the queue is empty. */
  checkDrained(): void {
    if (this.#end !== null && this.#queue.length === 0) this.#onDrained();
  }

  /** Returns credit for consumed bytes to the peer, now or with a later portion. */
  returnCredit(bytes: number): void {
    if (this.#isClosed) {
      this.#credit.grantOrphaned(bytes);
      return;
    }
    this.#heldBackBytes += bytes;
    this.#credit.holdBack(bytes);
    if (this.#heldBackBytes >= Math.min(GRANT_BYTES_MIN, this.#windowBytes / 4)) this.flushCredit();
  }

  /** Grants the credit that is held back. */
  flushCredit(): void {
    const bytes = this.#heldBackBytes;
    if (bytes === 0) return;
    this.#heldBackBytes = 0;
    this.#outstandingBytes -= bytes;
    this.#credit.holdBack(-bytes);
    this.#credit.grant(this.#streamId, bytes);
  }
}

class StreamMessage<Head> implements Received<Head> {
  readonly head: Head;
  readonly headBytes: number;
  readonly #body: Body;
  readonly #bodyBytes: number;
  readonly #receiver: { returnCredit(bytes: number): void };
  #isReleased = false;

  constructor(
    head: Head,
    body: Body,
    options: {
      readonly headBytes: number;
      readonly bodyBytes: number;
      readonly receiver: { returnCredit(bytes: number): void };
    },
  ) {
    this.head = head;
    this.headBytes = options.headBytes;
    this.#body = body;
    this.#bodyBytes = options.bodyBytes;
    this.#receiver = options.receiver;
  }

  get body(): Uint8Array {
    return this.#body.bytes;
  }

  release(): void {
    assert(!this.#isReleased, "a message is released once");
    this.#isReleased = true;
    this.#body.release();
    if (this.#bodyBytes > 0) this.#receiver.returnCredit(this.#bodyBytes);
  }
}
