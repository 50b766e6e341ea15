import type { AshlarError } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";
import type { Role } from "../protocol/roles.ts";

/** Version of the wire protocol. It increases with every change that an older peer cannot read. */
export const PROTOCOL_VERSION = 1;
/** Oldest version that this code supports. */
export const PROTOCOL_VERSION_OLDEST = 1;

/**
 * The process at one end of a connection. The handshake exchanges identities before any request.
 */
export interface PeerIdentity {
  readonly role: Role;
  /** `null`: a client or a new chunkserver that accepts any cluster. */
  readonly clusterId: ClusterId | null;
  /** Member id, server id, or the name of a client. For logs. */
  readonly name: string;
}

/** Options of a call or a stream. */
export interface CallOptions {
  /**
   * Time until the deadline. The peer gets the remaining time. The call fails with
   * DEADLINE_EXCEEDED at the deadline, independent of the peer.
   */
  readonly timeoutMs: number;
  /** Aborting the signal cancels the call at both ends. The call fails with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Raw bytes sent with the request. Must not be modified until the call settles. */
  readonly body?: Uint8Array;
}

/** A received message. `body` is part of a receive slab and valid until `release`. */
export interface Received<Head> {
  readonly head: Head;
  /** Empty if the message has no body. */
  readonly body: Uint8Array;
  /** Releases the slab. The receiver of the message calls it exactly once, even after an error. */
  release(): void;
}

/** A connection after the handshake. Many calls and streams share it. */
export interface Connection {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  /**
   * Calls a method of the peer.
   *
   * @throws {AshlarError} the error of the handler; DEADLINE_EXCEEDED; CANCELLED; CONNECTION_LOST
   *   if the connection was closed first (the call may have taken effect); UNAVAILABLE if it was
   *   closed before the request was sent, and OVERLOADED (the call had no effect)
   */
  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Received<Response>>;
  /** Opens a stream. Does not throw: an error appears at the first `send` or `receive`. */
  open<Open, Up, Down>(
    method: StreamMethod<Open, Up, Down>,
    request: Open,
    options: CallOptions,
  ): Stream<Up, Down>;
  /** Resolves when the connection is closed, to the error, or to null after an orderly close. */
  readonly closed: Promise<AshlarError | null>;
  readonly isOpen: boolean;
  /** Refuses new calls, waits at most `graceMs` for the calls in progress, and closes. */
  close(graceMs?: number): Promise<void>;
}

/** One end of a stream. It has one reader at a time. */
export interface Stream<Send, Receive> {
  /**
   * Sends a message. Resolves when `body` may be reused and the peer's window has room again. A
   * sender that awaits the promise is limited to the rate of the receiver (back-pressure). Several
   * sends may be pending; the messages arrive in order.
   *
   * `onReusable` is called once when `body` may be reused, also if the message is not sent: before the
   * promise resolves, which may wait for the peer.
   */
  send(head: Send, body?: Uint8Array, onReusable?: () => void): Promise<void>;
  /**
   * Resolves when the peer has room for more than `aheadBytes` and the system takes bytes of the
   * connection. A sender that waits for this before it loads a message holds no memory while the peer
   * does not receive.
   *
   * @throws {AshlarError} the error of the stream when it ends
   */
  room(aheadBytes: number): Promise<void>;
  /** Returns whether `room` would resolve at once. */
  hasRoom(aheadBytes: number): boolean;
  /** Writes the sent messages now. Without a flush they are written after the current event. */
  flush(): void;
  /** Resolves to the next message, or to null after the peer's `end`. */
  receive(): Promise<Received<Receive> | null>;
  /** Ends this direction: the caller must not send afterwards. */
  end(): void;
  /** Closes the stream at both ends. Pending and later operations fail with `error`. */
  cancel(error: AshlarError): void;
  /**
   * Bytes sent and not yet consumed by the peer. For senders that drop messages rather than wait.
   */
  readonly pendingBytes: number;
}

/** The context of a handler. */
export interface CallContext {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  /**
   * Aborts with an AshlarError when the caller cancels, its deadline passes or the connection
   * closes.
   */
  readonly signal: AbortSignal;
  /** Whether `signal` has aborted. Reading it costs less than the first use of `signal`. */
  readonly isAborted: boolean;
  /** Returns the milliseconds until the caller's deadline. Infinity if it has none. */
  remainingMs(): number;
  /**
   * Resolves when the handler may do the next part of its work: see `TurnSlices`. A handler awaits it after
   * every wait that can resume many calls in one turn, and between the parts of long work. The part lasts
   * until the handler waits again. It should take at most a few ms.
   *
   * @throws {AshlarError} the reason of `signal`, at once when it aborts
   */
  turn(): Promise<void>;
}

/**
 * A response with a body of raw bytes, see `withBody`. `onSent` is called once, when `body` may be
 * reused.
 */
export interface Reply<Response> {
  readonly head: Response;
  readonly body: Uint8Array;
  readonly onSent?: () => void;
}

/**
 * Handles a call. The handler releases `request`. An error that the handler throws is sent to the
 * caller; an error that is not an AshlarError becomes INTERNAL.
 */
export type CallHandler<Request, Response> = (
  request: Received<Request>,
  context: CallContext,
) => Promise<Response | Reply<Response>>;

/**
 * Handles a stream. The stream ends when the promise settles; the error of a rejection is sent to
 * the caller.
 */
export type StreamHandler<Open, Up, Down> = (
  request: Received<Open>,
  stream: Stream<Down, Up>,
  context: CallContext,
) => Promise<void>;

/**
 * Registers the handlers of a server. A handler returns a plain response or a `Reply` of
 * `withBody`.
 */
export interface Handlers {
  onCall<Request, Response>(
    method: CallMethod<Request, Response>,
    handler: CallHandler<Request, Response>,
  ): void;
  onStream<Open, Up, Down>(
    method: StreamMethod<Open, Up, Down>,
    handler: StreamHandler<Open, Up, Down>,
  ): void;
}
