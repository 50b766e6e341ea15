import { AssertionError } from "../base/assert.ts";
import { AshlarError, fromErrorData, isAshlarError } from "../base/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import { parseErrorData } from "../protocol/error-codec.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";
import { type BodyLease, type ByteBudget, COVERED_BODY } from "./byte-budget.ts";
import type { Expirable } from "./deadlines.ts";
import { FLAG_STREAM, FRAME_KINDS, type FrameHeader } from "./frame.ts";
import { EMPTY_BODY, type Frame } from "./frame-reader.ts";
import { checkMessageHead, type EncodedHead, requestMemory } from "./head-limits.ts";
import { type Hello, parseRequestHead } from "./messages.ts";
import type { Multiplexer, MultiplexerHandler } from "./multiplexer.ts";
import type { ReadSlices, ReadTurns } from "./read-slices.ts";
import { ReceivedFrame } from "./received.ts";
import { isReply } from "./reply.ts";
import type { CallHandler, Received, Reply, StreamHandler } from "./rpc.ts";
import { ServerCall } from "./server-call.ts";
import { WireStream } from "./stream.ts";
import { Lane } from "./turn-queue.ts";
import type { TurnSlices } from "./turn-slices.ts";
import type { UnreadAnswers } from "./unread-answers.ts";

/** A method with its handler. The types of its messages are checked where it is registered. */
export type Registration =
  | {
      readonly kind: "call";
      readonly method: CallMethod<unknown, unknown>;
      readonly handler: CallHandler<unknown, unknown>;
    }
  | {
      readonly kind: "stream";
      readonly method: StreamMethod<unknown, unknown, unknown>;
      readonly handler: StreamHandler<unknown, unknown, unknown>;
    };

/** Options of `ServerConnection`. */
export interface ServerConnectionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly multiplexer: Multiplexer;
  readonly hello: Hello;
  readonly registrations: ReadonlyMap<string, Registration>;
  /** Memory of the requests of this connection. */
  readonly memory: ByteBudget;
  /** Memory of the bodies of this connection that no handler has asked for. */
  readonly earlyBodies: ByteBudget;
  /** Divides the work of the calls of all connections. */
  readonly slices: TurnSlices;
  /** Counts the answers that the peers of the same role have not read. */
  readonly answers: UnreadAnswers;
  /** Divides the reading from all connections. */
  readonly readSlices: ReadSlices;
  readonly onClosed: () => void;
}

/** Deadline of a call that states none, or a later one. A handler does not wait longer. */
const CALL_TIMEOUT_MS_MAX = 60 * 60 * 1_000;

/*
 * Errors of many requests are made once. The stack of a new error is more work than a small call, and the
 * multiplexer encodes an error once if it is sent again.
 */
const TOO_MUCH_MEMORY = new AshlarError(
  "OVERLOADED",
  "The requests in progress take too much memory",
);
const CLOSING = new AshlarError("UNAVAILABLE", "This server is closing");

/** The server's end of a connection: it runs handlers for calls and streams. */
export class ServerConnection implements MultiplexerHandler {
  /** The few frames of masters do not wait for those of clients. */
  readonly readTurns: ReadTurns | null;
  readonly #options: ServerConnectionOptions;
  readonly #multiplexer: Multiplexer;
  readonly #calls = new Map<number, ServerCall>();
  readonly #lane: Lane;
  /** Memory of the request that is being read: first of its large head, then of what it decodes to. */
  #readingBytes = 0;
  #tooManyCalls: AshlarError | null = null;
  #isGoingAway = false;
  #onIdle: (() => void) | null = null;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#multiplexer = options.multiplexer;
    const { role } = options.hello.identity;
    this.#lane = new Lane(role);
    const lane = new Lane(role);
    this.readTurns = role === "master" ? null : { slices: options.readSlices, lane };
    this.#multiplexer.establish(options.hello.limits, this);
  }

  get #isMaster(): boolean {
    return this.#options.hello.identity.role === "master";
  }

  /** Starts to refuse new requests. Resolves when no call is in progress. */
  goAway(): Promise<void> {
    this.#isGoingAway = true;
    this.#postFrame(this.#multiplexer.encode({ kind: FRAME_KINDS.goaway, streamId: 0 }));
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Cancels the calls in progress and closes the connection. */
  destroy(): void {
    if (this.#calls.size === 0) this.#multiplexer.close();
    else this.#multiplexer.fail(CLOSING);
  }

  wantsHead({ kind, streamId, headLength }: FrameHeader): boolean {
    if (kind !== FRAME_KINDS.request) return true; // The flow control bounds messages.
    if (this.#overloadError(streamId) !== null) return false;
    return this.#acquireForReading(headLength);
  }

  checkHead({ kind, streamId }: FrameHeader, head: EncodedHead): void {
    if (kind !== FRAME_KINDS.request) {
      checkMessageHead(head);
      return;
    }
    const refusal = this.#overloadError(streamId);
    if (refusal !== null) throw refusal;
    const { registrations } = this.#options;
    const bytes = requestMemory(head, (name) => {
      const registration = registrations.get(name);
      return registration?.kind === "call" ? registration.method : undefined;
    });
    if (!this.#acquireForReading(bytes)) throw TOO_MUCH_MEMORY;
  }

  leaseBody({ kind, streamId, bodyLength }: FrameHeader): BodyLease | null {
    if (kind !== FRAME_KINDS.request || this.#overloadError(streamId) !== null) return null;
    return this.#isMaster ? COVERED_BODY : this.#options.earlyBodies.leaseBody(bodyLength);
  }

  onDropped({ kind, streamId }: FrameHeader): void {
    this.#endReading();
    if (kind === FRAME_KINDS.request) {
      this.#postError(streamId, this.#overloadError(streamId) ?? TOO_MUCH_MEMORY);
    } else this.#multiplexer.failMalformed(`a frame of kind ${kind}, which no client sends`);
  }

  onFrame(frame: Frame): void {
    const { kind, streamId } = frame.header;
    switch (kind) {
      case FRAME_KINDS.request:
        this.#onRequest(frame);
        this.#endReading(); // Releases nothing if `#admit` has taken over the memory.
        return;
      case FRAME_KINDS.cancel:
      case FRAME_KINDS.error:
        if (!this.#calls.has(streamId)) return; // The frames of the two ends have crossed.
        this.#abort(streamId, fromErrorData(parseErrorData(frame.head)));
        return;
      default:
        frame.body.release();
        this.#multiplexer.failMalformed(`a frame of kind ${kind}, which no client sends`);
    }
  }

  onAnswerBytes(bytes: number): void {
    this.#options.answers.count(bytes);
  }

  expirables(): Iterable<Expirable> {
    return this.#calls.values();
  }

  onClosed(error: AshlarError | null): void {
    const reason =
      error ??
      new AshlarError(
        "CONNECTION_LOST",
        `${this.#multiplexer.link.peerAddress} closed the connection`,
      );
    this.#endReading();
    for (const streamId of [...this.#calls.keys()]) this.#abort(streamId, reason);
    this.#options.onClosed();
  }

  #onRequest(frame: Frame): void {
    const { streamId, flags } = frame.header;
    if (streamId === 0 || this.#calls.has(streamId)) {
      frame.body.release();
      this.#multiplexer.failMalformed(`a request with the stream id ${streamId}, which is in use`);
      return;
    }
    try {
      const refusal = this.#overloadError(streamId);
      if (refusal !== null) throw refusal;
      if (frame.headError !== null) throw frame.headError;
      const [methodName, timeoutMs, request] = parseRequestHead(frame.head);
      const registration = this.#options.registrations.get(methodName);
      const kind = (flags & FLAG_STREAM) === 0 ? "call" : "stream";
      if (registration === undefined || registration.kind !== kind) {
        throw new AshlarError("UNSUPPORTED", `This server has no ${kind} ${methodName}`);
      }
      this.#checkCaller(registration.method);
      this.#admit(registration, { frame, timeoutMs, request });
    } catch (error) {
      frame.body.release();
      this.#postError(streamId, error);
    }
  }

  /** Takes memory for the request that is being read, in place of what it has. Returns whether it fits. */
  #acquireForReading(bytes: number): boolean {
    this.#endReading();
    if (!this.#options.memory.acquire(bytes)) return false;
    this.#readingBytes = bytes;
    return true;
  }

  /** Releases the memory of the request that is being read. */
  #endReading(): void {
    this.#options.memory.release(this.#readingBytes);
    this.#readingBytes = 0;
  }

  /** @throws {AshlarError} WRONG_ROLE */
  #checkCaller({ name, callers }: Registration["method"]): void {
    const { role } = this.#options.hello.identity;
    if (callers.includes(role)) return;
    throw new AshlarError(
      "WRONG_ROLE",
      `Cannot call ${name}: expected a ${callers.join(" or ")}: the caller is a ${role}`,
      { details: { role } },
    );
  }

  /** Returns why a new request is refused, or null. */
  #overloadError(streamId: number): AshlarError | null {
    if (this.#isGoingAway) return CLOSING;
    const { inFlightMax } = this.#multiplexer.limits;
    if (this.#calls.size < inFlightMax || this.#calls.has(streamId)) return null;
    this.#tooManyCalls ??= new AshlarError(
      "OVERLOADED",
      `${inFlightMax} calls are in progress on this connection`,
    );
    return this.#tooManyCalls;
  }

  /** Adds the request that was read to those in progress, and starts it: see `TurnSlices`. */
  #admit(registration: Registration, { frame, timeoutMs, request }: ParsedRequest): void {
    const { clock, hello, slices } = this.#options;
    const { streamId } = frame.header;
    const memoryBytes = this.#readingBytes;
    this.#readingBytes = 0;
    const call = new ServerCall({
      clock,
      peer: hello.identity,
      peerAddress: this.#multiplexer.link.peerAddress,
      deadlineMs: clock.monotonicMs() + lifetimeMsOf(registration, timeoutMs),
      memoryBytes,
      slices,
      lane: this.#lane,
      onExpired: () => this.#onExpired(streamId, registration.method.name),
    });
    this.#calls.set(streamId, call);
    this.#multiplexer.deadlines.watch(call.deadlineMs);
    const start = (): void => this.#start(registration, { streamId, call, frame, request });
    // The messages of a stream may follow at once. The few calls of masters do not wait for clients.
    if (registration.kind === "stream" || hello.identity.role === "master") start();
    else call.begin(start, () => frame.body.release());
  }

  /** Parses the request and starts the handler, which then owns the body. */
  #start(registration: Registration, { streamId, call, frame, request }: AdmittedCall): void {
    try {
      if (registration.kind === "call") {
        const head = registration.method.parseRequest(request);
        const received = new ReceivedFrame(head, frame.body);
        this.#runCall(registration, { streamId, call, received });
      } else {
        const head = registration.method.parseOpen(request);
        const received = new ReceivedFrame(head, frame.body);
        this.#runStream(registration, { streamId, call, received });
      }
    } catch (error) {
      frame.body.release();
      if (this.#endCall(streamId, call)) this.#postError(streamId, error);
    }
  }

  #runCall(
    { method, handler }: Extract<Registration, { kind: "call" }>,
    { streamId, call, received }: StartedCall,
  ): void {
    callHandler(() => handler(received, call)).then(
      (result) => this.#answer(streamId, call, method, result),
      (error: unknown) => {
        if (this.#endCall(streamId, call)) this.#postError(streamId, error);
        this.#reportBug(method.name, call, error);
      },
    );
  }

  #answer(
    streamId: number,
    call: ServerCall,
    method: CallMethod<unknown, unknown>,
    result: unknown,
  ): void {
    const reply: Reply<unknown> = isReply(result)
      ? result
      : { head: result, body: EMPTY_BODY.bytes };
    const onSettled = reply.onSent === undefined ? null : (): void => reply.onSent?.();
    if (!this.#endCall(streamId, call)) {
      onSettled?.(); // The caller no longer waits: the response is not sent.
      return;
    }
    const { body } = reply;
    try {
      const head = method.encodeResponse(reply.head) ?? null;
      const bodyLength = body.length;
      const kind = FRAME_KINDS.response;
      const frame = this.#multiplexer.encode({ kind, streamId, head, bodyLength });
      this.#multiplexer.postAnswer({ frame, body: bodyLength === 0 ? null : body, onSettled });
    } catch (error) {
      onSettled?.();
      this.#postError(streamId, error);
    }
  }

  #runStream(
    { method, handler }: Extract<Registration, { kind: "stream" }>,
    { streamId, call, received }: StartedCall,
  ): void {
    const stream = new WireStream<unknown, unknown>(this.#multiplexer, {
      streamId,
      title: `${method.name} from ${call.peerAddress}`,
      parse: method.parseUp,
      deadlineMs: Number.POSITIVE_INFINITY, // The deadline of `call` covers the stream.
      receiveWindowBytes: this.#multiplexer.limits.streamWindowBytes,
      sendWindowBytes: this.#multiplexer.streamSendWindowBytes,
      earlyBodies: this.#isMaster ? null : this.#options.earlyBodies,
      onClosed: (error) => {
        this.#multiplexer.streams.delete(streamId);
        if (error !== null) call.abort(error);
        this.#endCall(streamId, call);
      },
    });
    this.#multiplexer.streams.set(streamId, stream);
    callHandler(() => handler(received, stream, call)).then(
      () => stream.endBothDirections(),
      (error: unknown) => {
        stream.endWithError(isAshlarError(error) ? error : internalError(error));
        this.#reportBug(method.name, call, error);
      },
    );
  }

  /** Removes a call. Returns whether the caller still waits for its response. */
  #endCall(streamId: number, call: ServerCall): boolean {
    if (this.#calls.get(streamId) !== call) return false;
    this.#calls.delete(streamId);
    this.#options.memory.release(call.memoryBytes);
    if (this.#calls.size === 0) this.#onIdle?.();
    return !call.isAborted;
  }

  #onExpired(streamId: number, methodName: string): void {
    const error = new AshlarError("DEADLINE_EXCEEDED", `The deadline of ${methodName} has passed`);
    const stream = this.#multiplexer.streams.get(streamId);
    if (stream === undefined) {
      this.#postError(streamId, error);
      this.#abort(streamId, error);
    } else {
      stream.expire();
    }
  }

  #abort(streamId: number, reason: AshlarError): void {
    const call = this.#calls.get(streamId);
    if (call === undefined) return;
    call.abort(reason);
    this.#endCall(streamId, call);
  }

  #postError(streamId: number, error: unknown): void {
    this.#multiplexer.postError(FRAME_KINDS.error, streamId, error);
  }

  #postFrame(frame: Uint8Array): void {
    this.#multiplexer.post({ frame, body: null, onSettled: null });
  }

  /** Logs an error that is not an AshlarError, with its stack. The caller gets only its message. */
  #reportBug(methodName: string, call: ServerCall, error: unknown): void {
    const isBug = error instanceof AssertionError;
    // A handler that is aborted may reject with the AbortError of the operation that it awaited.
    if (isAshlarError(error) || (call.isAborted && !isBug)) return;
    this.#options.log.error("A handler failed", { method: methodName, error });
    if (isBug) throw error; // An unhandled rejection stops the process.
  }
}

interface ParsedRequest {
  readonly frame: Frame;
  readonly timeoutMs: number | null;
  readonly request: unknown;
}

interface AdmittedCall {
  readonly streamId: number;
  readonly call: ServerCall;
  readonly frame: Frame;
  readonly request: unknown;
}

interface StartedCall {
  readonly streamId: number;
  readonly call: ServerCall;
  readonly received: Received<unknown>;
}

/** Returns the time until the deadline of a request. A stream may last without one. */
function lifetimeMsOf({ kind }: Registration, timeoutMs: number | null): number {
  const lifetimeMsMax = kind === "call" ? CALL_TIMEOUT_MS_MAX : Number.POSITIVE_INFINITY;
  return Math.min(timeoutMs ?? lifetimeMsMax, lifetimeMsMax);
}

/** Calls a handler. An error that it throws synchronously becomes a rejection. */
function callHandler<Result>(task: () => Promise<Result>): Promise<Result> {
  try {
    return task();
  } catch (error) {
    return Promise.reject(error);
  }
}

function internalError(error: unknown): AshlarError {
  const message = error instanceof Error ? error.message : String(error);
  return new AshlarError("INTERNAL", message, { cause: error });
}
