import { assert } from "../base/assert.ts";
import type { AshlarError } from "../base/errors.ts";
import type { ConnectionCredit } from "./connection-credit.ts";
import { Fifo } from "./fifo.ts";
import { HEADER_BYTES } from "./frame.ts";
import type { Body, Frame } from "./frame-reader.ts";
import type { Received } from "./rpc.ts";

/** Credit is granted in portions of this size, so that small messages do not cost a frame each. */
const GRANT_BYTES_MIN = 64 * 1024;

interface WaitingReceive<Head> {
  readonly resolve: (message: Received<Head> | null) => void;
  readonly reject: (error: AshlarError) => void;
}

/**
 * The receiving half of a stream.
 *
 * A message's head counts against the window until the message is taken, its body until it is
 * released: what a stream makes this end hold is bounded by the window, and one message more.
 */
export class StreamReceiver<Head> {
  readonly #credit: ConnectionCredit;
  readonly #streamId: number;
  readonly #windowBytes: number;
  readonly #onDrained: () => void;
  readonly #queue = new Fifo<StreamMessage<Head>>();
  #waitingReceive: WaitingReceive<Head> | null = null;
  /** Received and not granted again. */
  #outstandingBytes = 0;
  /** Taken here and not granted yet. */
  #heldBackBytes = 0;
  /** What comes after the messages in the queue: null for the peer's end. */
  #end: { readonly error: AshlarError | null } | null = null;
  /** The peer does not count this stream's credit any more. */
  #isClosed = false;

  /** `onDrained` is called when the end was reached and everything before it was taken. */
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

  /** A message came. False: the peer had no credit for it; the body is still the caller's. */
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

  receive(): Promise<Received<Head> | null> {
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

  /** After the messages that are there come no others: null for an orderly end. */
  end(error: AshlarError | null): void {
    if (this.#end !== null) return;
    this.#end = { error };
    const reader = this.#waitingReceive;
    this.#waitingReceive = null;
    if (error === null) reader?.resolve(null);
    else reader?.reject(error);
    this.checkDrained();
  }

  /** Nothing more comes. What was not taken is dropped, and `error` takes its place. */
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

  /** Calls `onDrained` if there is nothing left to take. */
  checkDrained(): void {
    if (this.#end !== null && this.#queue.length === 0) this.#onDrained();
  }

  /** Bytes that the peer may send again. */
  returnCredit(bytes: number): void {
    if (this.#isClosed) {
      this.#credit.grantOrphaned(bytes);
      return;
    }
    this.#heldBackBytes += bytes;
    this.#credit.holdBack(bytes);
    if (this.#heldBackBytes >= Math.min(GRANT_BYTES_MIN, this.#windowBytes / 4)) this.flushCredit();
  }

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
