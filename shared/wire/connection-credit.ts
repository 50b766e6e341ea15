import { type FrameHeader, frameBytes } from "./frame.ts";

export interface ConnectionCreditOptions {
  /** Bytes that the peer may send ahead. */
  readonly receiveWindowBytes: number;
  /** Tells the peer that it may send so many bytes more: on a stream, or on all (id 0) only. */
  readonly sendGrant: (streamId: number, bytes: number) => void;
  /** All streams grant what they hold back. */
  readonly flushStreams: () => void;
}

/** A stream that has messages for which there was no credit. */
export interface CreditWaiter {
  pump(): void;
}

/**
 * The flow control of a connection, both ways: what all its streams together may send ahead of what
 * was taken. Credit that a stream is granted counts for the connection too.
 */
export class ConnectionCredit {
  readonly #options: ConnectionCreditOptions;
  /** Bytes that this end may send ahead, in all and now. The last message may overdraw it. */
  #sendWindowBytes = 0;
  #sendBytes = 0;
  readonly #waiting = new Set<CreditWaiter>();
  /** Bytes of messages that came and were not granted again. */
  #outstandingBytes = 0;
  /** The part of it that was taken, and that streams hold back until it is worth a frame. */
  #heldBackBytes = 0;
  /** The part of it that belongs to no stream any more. */
  #orphanedBytes = 0;

  constructor(options: ConnectionCreditOptions) {
    this.#options = options;
  }

  /** The peer has told its window. We use no more of it than we would offer ourselves. */
  open(peerWindowBytes: number): void {
    this.#sendWindowBytes = Math.min(peerWindowBytes, this.#options.receiveWindowBytes);
    this.#sendBytes = this.#sendWindowBytes;
  }

  /** Bytes that may be sent now. Below 1: `wait`. */
  get sendBytes(): number {
    return this.#sendBytes;
  }

  /** Bytes of messages that are on their way or not taken yet. */
  get spentBytes(): number {
    return this.#sendWindowBytes - this.#sendBytes;
  }

  spend(bytes: number): void {
    this.#sendBytes -= bytes;
  }

  /** `waiter` is pumped when there is credit again, after those that came before it. */
  wait(waiter: CreditWaiter): void {
    this.#waiting.add(waiter);
  }

  /** Credit comes back: the peer granted it, or a message was not sent after all. False: too much. */
  add(bytes: number): boolean {
    if (this.#sendBytes + bytes > this.#sendWindowBytes) return false;
    this.#sendBytes += bytes;
    if (this.#sendBytes <= 0 || this.#waiting.size === 0) return true;
    const waiters = [...this.#waiting];
    this.#waiting.clear();
    let servedCount = 0;
    while (servedCount < waiters.length && this.#sendBytes > 0) {
      waiters[servedCount]?.pump();
      servedCount += 1;
    }
    // Who had a turn and wants more goes behind those who had none.
    const again = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiters.slice(servedCount)) this.#waiting.add(waiter);
    for (const waiter of again) this.#waiting.add(waiter);
    return true;
  }

  /** A message came. False: the peer had no credit left for it. */
  receive(header: FrameHeader): boolean {
    if (this.#outstandingBytes >= this.#options.receiveWindowBytes) return false;
    this.#outstandingBytes += frameBytes(header);
    return true;
  }

  /** The peer may send so many bytes again on a stream. */
  grant(streamId: number, bytes: number): void {
    this.#outstandingBytes -= bytes;
    this.#options.sendGrant(streamId, bytes);
  }

  /** The same for a stream that is over: told when it is worth a frame. */
  grantOrphaned(bytes: number): void {
    this.#orphanedBytes += bytes;
    if (this.#orphanedBytes < this.#options.receiveWindowBytes / 8) return;
    const granted = this.#orphanedBytes;
    this.#orphanedBytes = 0;
    this.grant(0, granted);
  }

  /**
   * A stream holds back so many bytes more, or less once it has granted them. Many streams that hold
   * back a little each must not keep the whole window.
   */
  holdBack(bytes: number): void {
    this.#heldBackBytes += bytes;
    if (bytes > 0 && this.#heldBackBytes >= this.#options.receiveWindowBytes / 4) {
      this.#options.flushStreams();
    }
  }

  /** Nobody sends any more. */
  close(): void {
    this.#waiting.clear();
  }
}
