import { AssertionError } from "../base/assert.ts";
import { AshlarError, fromErrorData, isAshlarError } from "../base/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import { parseErrorData } from "../protocol/error-codec.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";
import type { Due } from "./deadlines.ts";
import { FLAG_STREAM, FRAME_KINDS, type FrameHeader } from "./frame.ts";
import { EMPTY_BODY, type Frame } from "./frame-reader.ts";
import { type Hello, parseRequestHead } from "./messages.ts";
import { ReceivedFrame } from "./received.ts";
import { isReply } from "./reply.ts";
import type { CallHandler, Received, Reply, StreamHandler } from "./rpc.ts";
import { ServerCall } from "./server-call.ts";
import type { Session, SessionHandler } from "./session.ts";
import { WireStream } from "./stream.ts";

/** A method with its handler; what its messages are is known to the two of them only. */
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

export interface ServerConnectionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly session: Session;
  readonly hello: Hello;
  readonly registrations: ReadonlyMap<string, Registration>;
  readonly onClosed: () => void;
}

/** The answering end of a connection. */
export class ServerConnection implements SessionHandler {
  readonly #options: ServerConnectionOptions;
  readonly #session: Session;
  readonly #calls = new Map<number, ServerCall>();
  #isGoingAway = false;
  #onIdle: (() => void) | null = null;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#session = options.session;
    this.#session.establish(options.hello.limits, this);
  }

  /** Refuses what comes from now on; resolves when nothing is under way. */
  goAway(): Promise<void> {
    this.#isGoingAway = true;
    this.#postFrame(this.#session.encode({ kind: FRAME_KINDS.goaway, streamId: 0 }));
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Cancels what is under way, and closes. */
  destroy(): void {
    if (this.#calls.size === 0) this.#session.close();
    else this.#session.fail(closing());
  }

  wants({ kind, streamId }: FrameHeader): boolean {
    return kind === FRAME_KINDS.request && this.#overload(streamId) === null;
  }

  onUnwanted({ kind, streamId }: FrameHeader): void {
    if (kind === FRAME_KINDS.request) this.#postError(streamId, this.#overload(streamId));
    else this.#session.failMalformed(`a frame of kind ${kind}, which no client sends`);
  }

  onFrame(frame: Frame): void {
    const { kind, streamId } = frame.header;
    switch (kind) {
      case FRAME_KINDS.request:
        this.#onRequest(frame);
        return;
      case FRAME_KINDS.cancel:
      case FRAME_KINDS.error:
        this.#abort(streamId, fromErrorData(parseErrorData(frame.head)));
        return;
      default:
        frame.body.release();
        this.#session.failMalformed(`a frame of kind ${kind}, which no client sends`);
    }
  }

  dues(): Iterable<Due> {
    return this.#calls.values();
  }

  onClosed(error: AshlarError | null): void {
    const reason =
      error ??
      new AshlarError("CONNECTION_LOST", `${this.#session.link.peerAddress} closed the connection`);
    for (const streamId of [...this.#calls.keys()]) this.#abort(streamId, reason);
    this.#options.onClosed();
  }

  #onRequest(frame: Frame): void {
    const { streamId, flags } = frame.header;
    if (streamId === 0 || this.#calls.has(streamId)) {
      frame.body.release();
      this.#session.failMalformed(`a request under the id ${streamId}, which is not free`);
      return;
    }
    try {
      const refusal = this.#overload(streamId);
      if (refusal !== null) throw refusal;
      if (frame.headError !== null) throw frame.headError;
      const [methodName, timeoutMs, request] = parseRequestHead(frame.head);
      const registration = this.#options.registrations.get(methodName);
      const wanted = (flags & FLAG_STREAM) === 0 ? "call" : "stream";
      if (registration === undefined || registration.kind !== wanted) {
        throw new AshlarError("UNSUPPORTED", `This server has no ${wanted} ${methodName}`);
      }
      this.#begin(registration, { frame, timeoutMs, request });
    } catch (error) {
      frame.body.release();
      this.#postError(streamId, error);
    }
  }

  /** Why no request is taken now. */
  #overload(streamId: number): AshlarError | null {
    if (this.#isGoingAway) return closing();
    const { inFlightMax } = this.#session.limits;
    if (this.#calls.size < inFlightMax || this.#calls.has(streamId)) return null;
    return new AshlarError("OVERLOADED", `${inFlightMax} calls are under way on this connection`);
  }

  /** Throws what the method's parser throws; from then on the body is the handler's. */
  #begin(registration: Registration, { frame, timeoutMs, request }: RequestParts): void {
    const { clock, hello } = this.#options;
    const { streamId } = frame.header;
    const head =
      registration.kind === "call"
        ? registration.method.parseRequest(request)
        : registration.method.parseOpen(request);
    const call = new ServerCall({
      clock,
      peer: hello.identity,
      peerAddress: this.#session.link.peerAddress,
      deadlineMs: clock.monotonicMs() + (timeoutMs ?? Number.POSITIVE_INFINITY),
      onExpired: () => this.#onExpired(streamId, registration.method.name),
    });
    this.#calls.set(streamId, call);
    this.#session.deadlines.watch(call.deadlineMs);
    const received = new ReceivedFrame(head, frame.body);
    if (registration.kind === "call") this.#runCall(registration, { streamId, call, received });
    else this.#runStream(registration, { streamId, call, received });
  }

  #runCall(
    { method, handler }: Extract<Registration, { kind: "call" }>,
    { streamId, call, received }: Begun,
  ): void {
    attempt(() => handler(received, call)).then(
      (result) => this.#answer(streamId, call, method, result),
      (error: unknown) => {
        if (this.#finish(streamId, call)) this.#postError(streamId, error);
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
    if (!this.#finish(streamId, call)) {
      onSettled?.(); // Nobody waits for it.
      return;
    }
    const { body } = reply;
    try {
      const head = method.encodeResponse(reply.head) ?? null;
      const bodyLength = body.length;
      const kind = FRAME_KINDS.response;
      const frame = this.#session.encode({ kind, streamId, head, bodyLength });
      this.#session.post({ frame, body: bodyLength === 0 ? null : body, onSettled });
      this.#session.boundAnswers();
    } catch (error) {
      onSettled?.();
      this.#postError(streamId, error);
    }
  }

  #runStream(
    { method, handler }: Extract<Registration, { kind: "stream" }>,
    { streamId, call, received }: Begun,
  ): void {
    const stream = new WireStream<unknown, unknown>(this.#session, {
      streamId,
      title: `${method.name} from ${call.peerAddress}`,
      parse: method.parseUp,
      deadlineMs: Number.POSITIVE_INFINITY, // The call's own is watched.
      receiveWindowBytes: this.#session.limits.streamWindowBytes,
      sendWindowBytes: this.#session.streamSendWindowBytes,
      onClosed: (error) => {
        this.#session.streams.delete(streamId);
        if (error !== null) call.abort(error);
        this.#finish(streamId, call);
      },
    });
    this.#session.streams.set(streamId, stream);
    attempt(() => handler(received, stream, call)).then(
      () => stream.endLast(),
      (error: unknown) => {
        stream.failLast(isAshlarError(error) ? error : internal(error));
        this.#reportBug(method.name, call, error);
      },
    );
  }

  /** Whether the caller still waits. It does not any more after this. */
  #finish(streamId: number, call: ServerCall): boolean {
    if (this.#calls.get(streamId) !== call) return false;
    this.#calls.delete(streamId);
    if (this.#calls.size === 0) this.#onIdle?.();
    return !call.isAborted;
  }

  #onExpired(streamId: number, methodName: string): void {
    const error = new AshlarError("DEADLINE_EXCEEDED", `${methodName} ran out of time`);
    const stream = this.#session.streams.get(streamId);
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
    this.#finish(streamId, call);
  }

  #postError(streamId: number, error: unknown): void {
    this.#session.postError(FRAME_KINDS.error, streamId, error);
    this.#session.boundAnswers();
  }

  #postFrame(frame: Uint8Array): void {
    this.#session.post({ frame, body: null, onSettled: null });
  }

  /** The caller learns only the message of what is not an AshlarError: the stack stays here. */
  #reportBug(methodName: string, call: ServerCall, error: unknown): void {
    const isBug = error instanceof AssertionError;
    // A handler that is told to stop may do so with the AbortError of whatever it waited for.
    if (isAshlarError(error) || (call.isAborted && !isBug)) return;
    this.#options.log.error("A handler failed", { method: methodName, error });
    if (isBug) throw error; // The process stops.
  }
}

interface RequestParts {
  readonly frame: Frame;
  readonly timeoutMs: number | null;
  readonly request: unknown;
}

interface Begun {
  readonly streamId: number;
  readonly call: ServerCall;
  readonly received: Received<unknown>;
}

/** What `task` promises, also if it throws before it does. */
function attempt<Result>(task: () => Promise<Result>): Promise<Result> {
  try {
    return task();
  } catch (error) {
    return Promise.reject(error);
  }
}

function internal(error: unknown): AshlarError {
  const message = error instanceof Error ? error.message : String(error);
  return new AshlarError("INTERNAL", message, { cause: error });
}

function closing(): AshlarError {
  return new AshlarError("UNAVAILABLE", "This server is closing");
}
