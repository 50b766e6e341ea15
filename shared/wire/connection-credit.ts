import { type FrameHeader, frameBytes } from "./frame.ts";

/**
 * Credit of closed streams that may be kept back, to save frames. Small, because it does not depend on
 * the window of the receiver what the sender has: version 0.1.0 sends at most its own window.
 */
const ORPHANED_BYTES_MAX = 64 * 1024;

/** Options of `ConnectionCredit`. */
export interface ConnectionCreditOptions {
  /** Bytes that the peer may send ahead of the receiver. */
  readonly receiveWindowBytes: number;
  /**
   * Sends a credit frame to the peer: for a stream and the connection, or (id 0) the connection.
   */
  readonly sendGrant: (streamId: number, bytes: number) => void;
  /** Makes all streams grant the credit that they have not granted yet. */
  readonly flushStreams: () => void;
}

/** A stream with messages that wait for credit. */
export interface CreditWaiter {
  pump(): void;
}

/**
 * Flow control of a connection in both directions: bounds the bytes that all its streams together
 * may send ahead of the receivers. Credit for a stream is credit for the connection too.
 */
export class ConnectionCredit {
  readonly #options: ConnectionCreditOptions;
  /** Bytes that this end may send ahead in total. */
  #sendWindowBytes = 0;
  /** Bytes that this end may send now. The last message may make it negative. */
  #sendBytes = 0;
  readonly #waiting = new Set<CreditWaiter>();
  /** Bytes of received messages for which this end has not granted new credit yet. */
  #outstandingBytes = 0;
  /**
   * The part of `#outstandingBytes` that was consumed and that the streams have not granted yet, to
   * save frames.
   */
  #heldBackBytes = 0;
  /** The part of `#outstandingBytes` whose stream is closed. */
  #orphanedBytes = 0;

  constructor(options: ConnectionCreditOptions) {
    this.#options = options;
  }

  /**
   * Sets the send window to that of the peer. The peer has room for so many bytes. A smaller window here
   * would let streams whose receiver waits take the credit of the others: see docs/wire-protocol.md,
   * "Flow control".
   */
  open(peerWindowBytes: number): void {
    this.#sendWindowBytes = peerWindowBytes;
    this.#sendBytes = peerWindowBytes;
  }

  /** Bytes that may be sent now. At 0 or below, senders call `wait`. */
  get sendBytes(): number {
    return this.#sendBytes;
  }

  /** Spends credit for a message. */
  spend(bytes: number): void {
    this.#sendBytes -= bytes;
  }

  /** Calls `waiter.pump` when there is credit again, in the order of the calls of `wait`. */
  wait(waiter: CreditWaiter): void {
    this.#waiting.add(waiter);
  }

  /**
   * Adds credit: the peer granted it, or a message was not sent. Returns false if the credit would
   * exceed the window.
   */
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
    // Waiters that were called and wait again are queued after those that were not called.
    const again = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiters.slice(servedCount)) this.#waiting.add(waiter);
    for (const waiter of again) this.#waiting.add(waiter);
    return true;
  }

  /** Counts a received message. Returns false if the peer had no credit for it. */
  receive(header: FrameHeader): boolean {
    if (this.#outstandingBytes >= this.#options.receiveWindowBytes) return false;
    this.#outstandingBytes += frameBytes(header);
    return true;
  }

  /** Grants the peer `bytes` of credit on a stream. */
  grant(streamId: number, bytes: number): void {
    this.#outstandingBytes -= bytes;
    this.#options.sendGrant(streamId, bytes);
  }

  /**
   * Grants credit of a closed stream. The frame is sent once the sum is ORPHANED_BYTES_MAX, or a
   * quarter of the window if that is less.
   */
  grantOrphaned(bytes: number): void {
    this.#orphanedBytes += bytes;
    const { receiveWindowBytes } = this.#options;
    if (this.#orphanedBytes < Math.min(ORPHANED_BYTES_MAX, receiveWindowBytes / 4)) return;
    const granted = this.#orphanedBytes;
    this.#orphanedBytes = 0;
    this.grant(0, granted);
  }

  /**
   * Counts the consumed bytes for which streams have not granted credit yet. `bytes` is negative
   * when a stream has granted credit. At a quarter of the window all streams grant their credit:
   * many small amounts must not use up the window.
   */
  holdBack(bytes: number): void {
    this.#heldBackBytes += bytes;
    if (bytes > 0 && this.#heldBackBytes >= this.#options.receiveWindowBytes / 4) {
      this.#options.flushStreams();
    }
  }

  /** Removes all waiters. Called when the connection is closed. */
  close(): void {
    this.#waiting.clear();
  }
}
