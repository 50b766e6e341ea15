import { present } from "../base/assert.ts";
import { AshlarError, fromErrorData, isAshlarError } from "../base/errors.ts";
import { listenToAbort } from "../flow/abort-listeners.ts";
import type { Clock } from "../ports/clock.ts";
import { parseErrorData } from "../protocol/error-codec.ts";
import type { CallMethod, StreamMethod } from "../protocol/method.ts";
import { type BodyLease, COVERED_BODY } from "./byte-budget.ts";
import type { Expirable } from "./deadlines.ts";
import { FLAG_STREAM, FRAME_KINDS, type FrameHeader } from "./frame.ts";
import type { Frame } from "./frame-reader.ts";
import type { Hello } from "./messages.ts";
import type { Multiplexer, MultiplexerHandler } from "./multiplexer.ts";
import { PendingCall, type UntypedCall } from "./pending-call.ts";
import type { CallOptions, Connection, PeerIdentity, Received, Stream } from "./rpc.ts";
import { WireStream } from "./stream.ts";

const STREAM_ID_MAX = 0xffffffff;
const CLOSE_GRACE_MS = 1000;

/** The client's end of a connection: it starts calls and streams. */
export class ClientConnection implements Connection, MultiplexerHandler {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  readonly closed: Promise<AshlarError | null>;
  readonly #clock: Clock;
  readonly #multiplexer: Multiplexer;
  readonly #inFlightMax: number;
  readonly #calls = new Map<number, UntypedCall>();
  #lastStreamId = 0;
  /** Error of every new call. Null while the connection accepts calls. */
  #refusal: AshlarError | null = null;
  #onClosedPromise: (error: AshlarError | null) => void = () => {};
  /** Called once when no call or stream is in progress. */
  #onIdle: (() => void) | null = null;

  constructor(clock: Clock, multiplexer: Multiplexer, hello: Hello) {
    this.#clock = clock;
    this.#multiplexer = multiplexer;
    this.peer = hello.identity;
    this.peerAddress = multiplexer.link.peerAddress;
    this.#inFlightMax = hello.limits.inFlightMax;
    this.closed = new Promise((resolve) => {
      this.#onClosedPromise = resolve;
    });
    multiplexer.establish(hello.limits, this);
  }

  get isOpen(): boolean {
    return this.#multiplexer.isOpen && this.#refusal === null;
  }

  /** Number of calls and streams in progress. */
  get inFlightCount(): number {
    return this.#calls.size + this.#multiplexer.streams.size;
  }

  call<Request, Response>(
    method: CallMethod<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Received<Response>> {
    const refusal = this.#refuse(method.name, options);
    if (refusal !== null) return Promise.reject(refusal);
    const streamId = this.#nextStreamId();
    const body = options.body ?? null;
    let frame: Uint8Array;
    try {
      const value = method.encodeRequest(request);
      frame = this.#encodeRequest(streamId, 0, method.name, value, options);
    } catch (error) {
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const call = new PendingCall({
        method,
        peerAddress: this.peerAddress,
        deadlineMs: this.#clock.monotonicMs() + options.timeoutMs,
        timeoutMs: options.timeoutMs,
        signal: options.signal,
        resolve,
        reject,
        onAbandoned: (error) => this.#abandon(streamId, error),
      });
      this.#calls.set(streamId, call);
      const onSettled = body === null ? null : (): void => call.onBodySettled();
      call.queuedFrame = this.#multiplexer.post({ frame, body, onSettled });
      this.#multiplexer.deadlines.watch(call.deadlineMs);
    });
  }

  open<Open, Up, Down>(
    method: StreamMethod<Open, Up, Down>,
    request: Open,
    options: CallOptions,
  ): Stream<Up, Down> {
    const { signal, timeoutMs } = options;
    const streamId = this.#nextStreamId();
    let unlisten: (() => void) | null = null;
    const title = `${method.name} at ${this.peerAddress}`;
    const stream = new WireStream<Up, Down>(this.#multiplexer, {
      streamId,
      title,
      parse: method.parseDown,
      deadlineMs: this.#clock.monotonicMs() + timeoutMs,
      receiveWindowBytes: this.#multiplexer.limits.streamWindowBytes,
      sendWindowBytes: this.#multiplexer.streamSendWindowBytes,
      earlyBodies: null,
      onClosed: () => {
        unlisten?.();
        this.#multiplexer.streams.delete(streamId);
        this.#checkIdle();
      },
    });
    const refusal = this.#refuse(method.name, options);
    if (refusal !== null) {
      stream.close(refusal);
      return stream;
    }
    try {
      const frame = this.#encodeRequest(streamId, FLAG_STREAM, method.name, request, options);
      this.#multiplexer.streams.set(streamId, stream);
      this.#multiplexer.post({ frame, body: options.body ?? null, onSettled: null });
      this.#multiplexer.deadlines.watch(stream.deadlineMs);
      if (signal !== undefined) {
        unlisten = listenToAbort(signal, () =>
          stream.cancel(cancelledError(method.name, signal.reason)),
        );
      }
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      stream.close(error);
    }
    return stream;
  }

  async close(graceMs: number = CLOSE_GRACE_MS): Promise<void> {
    this.#refusal ??= new AshlarError(
      "UNAVAILABLE",
      `Cannot call ${this.peerAddress}: this end is closing the connection`,
    );
    if (this.inFlightCount > 0 && graceMs > 0) await this.#waitIdle(graceMs);
    if (this.inFlightCount > 0) this.#multiplexer.fail(this.#refusal);
    else this.#multiplexer.close();
    // The peer closes its end too. If it does not, this end closes after the grace period.
    const timer = this.#clock.after(CLOSE_GRACE_MS, () => this.#multiplexer.fail(null));
    await this.closed;
    timer.cancel();
  }

  leaseBody(header: FrameHeader): BodyLease | null {
    const isAwaited = header.kind === FRAME_KINDS.response && this.#calls.has(header.streamId);
    return isAwaited ? COVERED_BODY : null;
  }

  onDropped(): void {} // The response of a call that was abandoned.

  onFrame(frame: Frame): void {
    const { kind, streamId } = frame.header;
    switch (kind) {
      case FRAME_KINDS.response: {
        const call = this.#take(streamId);
        if (call === null) frame.body.release();
        else call.onResponse(frame);
        return;
      }
      case FRAME_KINDS.error:
      case FRAME_KINDS.cancel:
        this.#take(streamId)?.fail(fromErrorData(parseErrorData(frame.head)));
        return;
      case FRAME_KINDS.goaway:
        this.#onGoaway();
        return;
      default:
        frame.body.release();
        this.#multiplexer.failMalformed(`a frame of kind ${kind}, which no server sends`);
    }
  }

  expirables(): Iterable<Expirable> {
    return this.#calls.values();
  }

  onClosed(error: AshlarError | null): void {
    this.#refusal ??= new AshlarError(
      "UNAVAILABLE",
      error?.message ?? `The connection to ${this.peerAddress} is closed`,
    );
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls)
      call.onConnectionLost(error, (queuedFrame) => this.#multiplexer.drop(queuedFrame));
    this.#onClosedPromise(error);
    this.#checkIdle();
  }

  /**
   * Returns the error of a call that cannot be sent, or null. A call refused here has no effect.
   */
  #refuse(methodName: string, { signal, timeoutMs }: CallOptions): AshlarError | null {
    if (signal?.aborted) return cancelledError(methodName, signal.reason);
    if (!this.isOpen) {
      return (
        this.#refusal ??
        new AshlarError("UNAVAILABLE", `The connection to ${this.peerAddress} is closed`)
      );
    }
    if (timeoutMs <= 0) {
      return new AshlarError(
        "DEADLINE_EXCEEDED",
        `Cannot call ${methodName}: the deadline has passed`,
      );
    }
    if (this.inFlightCount >= this.#inFlightMax) {
      return new AshlarError(
        "OVERLOADED",
        `Cannot call ${methodName} at ${this.peerAddress}: ${this.#inFlightMax} calls are in progress`,
      );
    }
    return null;
  }

  #encodeRequest(
    streamId: number,
    flags: number,
    methodName: string,
    request: unknown,
    { timeoutMs, body }: CallOptions,
  ): Uint8Array {
    return this.#multiplexer.encode({
      kind: FRAME_KINDS.request,
      flags,
      streamId,
      head: [methodName, Number.isFinite(timeoutMs) ? Math.ceil(timeoutMs) : null, request],
      bodyLength: body?.length ?? 0,
    });
  }

  /** Stream ids wrap around after 2^32 - 1. Ids that are still in use are skipped. */
  #nextStreamId(): number {
    do {
      this.#lastStreamId = this.#lastStreamId === STREAM_ID_MAX ? 1 : this.#lastStreamId + 1;
    } while (
      this.#calls.has(this.#lastStreamId) ||
      this.#multiplexer.streams.has(this.#lastStreamId)
    );
    return this.#lastStreamId;
  }

  #take(streamId: number): UntypedCall | null {
    const call = this.#calls.get(streamId);
    if (call === undefined) return null;
    this.#calls.delete(streamId);
    this.#checkIdle();
    return call;
  }

  /**
   * Fails a call whose caller no longer waits. Cancels it at the server if the request was sent.
   */
  #abandon(streamId: number, error: AshlarError): void {
    const call = present(this.#take(streamId), "an abandoned call is pending");
    const isDropped = call.queuedFrame !== null && this.#multiplexer.drop(call.queuedFrame);
    if (!isDropped) this.#multiplexer.postError(FRAME_KINDS.cancel, streamId, error);
    call.fail(error);
  }

  #onGoaway(): void {
    this.#refusal ??= new AshlarError(
      "UNAVAILABLE",
      `The server at ${this.peerAddress} is closing`,
    );
    if (this.inFlightCount === 0) this.#multiplexer.close();
    else this.#onIdle ??= () => this.#multiplexer.close();
  }

  #waitIdle(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(graceMs, resolve);
      this.#onIdle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #checkIdle(): void {
    if (this.inFlightCount > 0) return;
    const onIdle = this.#onIdle;
    this.#onIdle = null;
    onIdle?.();
  }
}

function cancelledError(methodName: string, reason: unknown): AshlarError {
  return new AshlarError("CANCELLED", `The call of ${methodName} was cancelled`, { cause: reason });
}
