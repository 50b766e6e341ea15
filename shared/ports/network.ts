/** Byte streams between processes: TCP in production, simulated in tests. */
export interface Network {
  /**
   * Connects to `address` ("host:port").
   *
   * @throws {AshlarError} UNAVAILABLE if no process listens there or no process answers within
   *   `timeoutMs`; CANCELLED
   */
  connect(address: string, options: ConnectOptions): Promise<Link>;
  /**
   * Accepts connections at `address` ("host:port"; port 0 lets the system choose a free port).
   *
   * @throws {AshlarError} ADDRESS_IN_USE with the address in the message
   */
  listen(address: string, onLink: (link: Link) => void): Promise<Listener>;
}

/** Limits of one attempt to connect. */
export interface ConnectOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A listening socket. */
export interface Listener {
  /** "host:port" with the actual port. */
  readonly address: string;
  /** Stops accepting connections. Open links stay open. */
  close(): Promise<void>;
}

/** One connection: ordered bytes in both directions. */
export interface Link {
  /** "host:port" of the other end. */
  readonly peerAddress: string;
  /**
   * Starts reading. Called once, in the turn of the event loop in which the caller received the
   * link.
   */
  start(receiver: LinkReceiver): void;
  /**
   * Queues `parts` in order. Resolves when the system has accepted all of them: only then may the
   * caller modify or reuse them. The caller bounds the queue by waiting for earlier writes.
   *
   * @throws {AshlarError} CONNECTION_LOST if the link is closed
   */
  write(parts: readonly Uint8Array[]): Promise<void>;
  /**
   * Stops reading: no bytes arrive before `resume`. The system buffers the bytes and slows the sender (TCP
   * flow control).
   */
  pause(): void;
  /** Continues reading after `pause`. */
  resume(): void;
  /** Sends the queued bytes, then closes the link. */
  close(): void;
  /** Closes the link immediately. Queued bytes are dropped. */
  destroy(): void;
}

/** Receives the bytes of a link. */
export interface LinkReceiver {
  /**
   * Returns the array for the next bytes. The array is not empty, and the receiver does not use it
   * until `onBytes`. Called after each `onBytes`: a link that `onBytes` has paused reads into the array after
   * `resume`.
   */
  buffer(): Uint8Array;
  /** `count` bytes (at least 1) are at the start of the array that `buffer` returned last. */
  onBytes(count: number): void;
  /** The link is closed. `error` is null after an orderly close by either end. Called once. */
  onClosed(error: Error | null): void;
}
