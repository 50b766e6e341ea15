/** Byte streams between processes. TCP in production; simulated in tests. */
export interface Network {
  /**
   * Connects to `address` ("host:port").
   *
   * @throws {AshlarError} UNAVAILABLE if nobody answers there, or before `timeoutMs` is over.
   */
  connect(address: string, options: ConnectOptions): Promise<Link>;
  /**
   * Accepts connections at `address` ("host:port"; port 0 takes a free one).
   *
   * @throws {AshlarError} ADDRESS_IN_USE with the address in the message.
   */
  listen(address: string, onLink: (link: Link) => void): Promise<Listener>;
}

export interface ConnectOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Listener {
  /** "host:port" with the port that was really taken. */
  readonly address: string;
  /** Stops accepting. Links that are open stay open. */
  close(): Promise<void>;
}

/** One connection: bytes in order, both ways. */
export interface Link {
  /** "host:port" of the other end. */
  readonly peerAddress: string;
  /**
   * Starts delivery. Until then nothing is read. Called once, before or in the turn in which the
   * link was handed over.
   */
  start(receiver: LinkReceiver): void;
  /**
   * Queues `parts` in order. Resolves when the system has taken them all: only then may they be
   * changed or reused. Rejects with CONNECTION_LOST if the link is gone. The caller bounds what is
   * queued by waiting for earlier writes.
   */
  write(parts: readonly Uint8Array[]): Promise<void>;
  /** Stops reading; bytes stay with the system, which slows the sender (TCP flow control). */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  close(): void;
  /** Closes at once; queued bytes are dropped. */
  destroy(): void;
}

export interface LinkReceiver {
  /** Where the next bytes go: not empty, and not touched by the receiver until `onBytes`. */
  buffer(): Uint8Array;
  /** `count` bytes (at least 1) are now at the start of the array that `buffer` last returned. */
  onBytes(count: number): void;
  /** The link is gone, both ways. `error` is null after an orderly end by either side. Called once. */
  onClosed(error: Error | null): void;
}
