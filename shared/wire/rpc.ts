import type { AshlarError } from "../base/errors.ts";
import type { ClusterId } from "../base/ids.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";

/** Raised with every change that an older peer cannot read. */
export const PROTOCOL_VERSION = 1;
/** The oldest version that this code still understands. */
export const PROTOCOL_VERSION_OLDEST = 1;

export type Role = "master" | "chunkserver" | "client";

/** Who stands at one end of a connection. Exchanged in the handshake, before any request. */
export interface PeerIdentity {
  readonly role: Role;
  /** `null`: a client (or a chunkserver that is new) that takes the cluster as it finds it. */
  readonly clusterId: ClusterId | null;
  /** Member id, server id, or a client's own name: for logs. */
  readonly name: string;
}

export interface CallOptions {
  /** The callee gets what is left of it. The call fails with DEADLINE_EXCEEDED after it, whatever the peer does. */
  readonly timeoutMs: number;
  /** Aborting cancels the call at both ends; it fails with CANCELLED. */
  readonly signal?: AbortSignal;
  /** Raw bytes beside the request. Not to be changed before the call resolves. */
  readonly body?: Uint8Array;
}

/** A message as it came: `body` lies in a receive slab and is valid until `release`. */
export interface Received<Head> {
  readonly head: Head;
  /** Empty if the message had none. */
  readonly body: Uint8Array;
  /** Gives the slab back. Must be called once by whoever took the message, also after an error. */
  release(): void;
}

/** A connection that has shaken hands. Many calls and streams share it. */
export interface Connection {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  /**
   * @throws {AshlarError} what the handler threw; DEADLINE_EXCEEDED; CANCELLED; CONNECTION_LOST if
   *   the connection ended first (the call may have had its effect); OVERLOADED (it had none).
   */
  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Received<Response>>;
  /** Opens a stream. Never fails itself: the first `send` or `receive` does. */
  open<Open, Up, Down>(
    method: StreamMethod<Open, Up, Down>,
    request: Open,
    options: CallOptions,
  ): Stream<Up, Down>;
  /** Resolves when the connection is gone, with the reason, or null after an orderly close. */
  readonly closed: Promise<AshlarError | null>;
  readonly isOpen: boolean;
  /** Refuses new calls, waits for those in flight (at most `graceMs`), closes. */
  close(graceMs?: number): Promise<void>;
}

/** One end of a stream. One reader and one writer at a time. */
export interface Stream<Send, Receive> {
  /**
   * Resolves when the bytes of `body` may be reused and the peer's window has room again: waiting
   * for it is the back-pressure. Several sends may be under way; they arrive in order.
   */
  send(head: Send, body?: Uint8Array): Promise<void>;
  /** Hands what was sent to the system now, not together with what else this event brings about. */
  flush(): void;
  /** The next message, or null after the peer's `end`. */
  receive(): Promise<Received<Receive> | null>;
  /** No more messages from this end. */
  end(): void;
  /** Gives the stream up at both ends: pending calls of either end fail with `error`. */
  cancel(error: AshlarError): void;
  /** Bytes that were sent and not yet taken by the peer. For senders that would rather drop than wait. */
  readonly pendingBytes: number;
}

export interface CallContext {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  /** Aborts when the caller cancels, its deadline passes or the connection ends. */
  readonly signal: AbortSignal;
  /** What is left of the caller's deadline, in milliseconds. */
  remainingMs(): number;
}

/** A response with raw bytes beside it. `onSent` is called once when `body` may be reused. */
export interface Reply<Response> {
  readonly head: Response;
  readonly body: Uint8Array;
  readonly onSent?: () => void;
}

/** The handler releases `request`. What it throws goes to the caller (INTERNAL if not an AshlarError). */
export type CallHandler<Request, Response> = (
  request: Received<Request>,
  context: CallContext,
) => Promise<Response | Reply<Response>>;

/** Resolving ends the stream; what it throws goes to the caller and ends it too. */
export type StreamHandler<Open, Up, Down> = (
  request: Received<Open>,
  stream: Stream<Down, Up>,
  context: CallContext,
) => Promise<void>;

/** What a server answers to. `Reply` is told from a plain response by `withBody`. */
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
