import { AshlarError, isAshlarError } from "../base/errors.ts";
import { listenToAbort } from "../flow/abort-listeners.ts";
import type { CallMethod } from "../protocol/method.ts";
import type { Expirable } from "./deadlines.ts";
import type { Frame } from "./frame-reader.ts";
import type { QueuedFrame } from "./frame-writer.ts";
import { ReceivedFrame } from "./received.ts";
import type { Received } from "./rpc.ts";

/** Options of `PendingCall`. */
export interface PendingCallOptions<Response> {
  readonly method: Pick<CallMethod<unknown, Response>, "name" | "parseResponse">;
  readonly peerAddress: string;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (response: Received<Response>) => void;
  readonly reject: (error: AshlarError) => void;
  /** The deadline passed, or the caller aborted. The connection then calls `fail`. */
  readonly onAbandoned: (error: AshlarError) => void;
}

/** A pending call without the type of its response. */
export interface UntypedCall extends Expirable {
  queuedFrame: QueuedFrame | null;
  onResponse(frame: Frame): void;
  onConnectionLost(error: AshlarError | null, drop: (queuedFrame: QueuedFrame) => boolean): void;
  fail(error: AshlarError): void;
}

/** A call that waits for its response. */
export class PendingCall<Response> implements UntypedCall {
  readonly deadlineMs: number;
  /** The request, until it is written. */
  queuedFrame: QueuedFrame | null = null;
  readonly #options: PendingCallOptions<Response>;
  readonly #unlisten: (() => void) | null;
  #isBodySettled = false;
  /** The error to reject with once the link no longer uses the body. Null: no error is delayed. */
  #failure: AshlarError | null = null;

  constructor(options: PendingCallOptions<Response>) {
    this.#options = options;
    this.deadlineMs = options.deadlineMs;
    const { signal, method } = options;
    this.#unlisten =
      signal === undefined
        ? null
        : listenToAbort(signal, () => {
            const text = `The call of ${method.name} was cancelled`;
            options.onAbandoned(new AshlarError("CANCELLED", text, { cause: signal.reason }));
          });
  }

  expire(): void {
    const { method, peerAddress, timeoutMs, onAbandoned } = this.#options;
    const text = `No response to ${method.name} from ${peerAddress} within ${Math.round(timeoutMs)} ms`;
    onAbandoned(new AshlarError("DEADLINE_EXCEEDED", text));
  }

  onResponse(frame: Frame): void {
    const { method } = this.#options;
    try {
      if (frame.headError !== null) throw frame.headError;
      const head = method.parseResponse(frame.head);
      this.#unlisten?.();
      this.#options.resolve(new ReceivedFrame(head, frame.body));
    } catch (error) {
      frame.body.release();
      this.fail(
        isAshlarError(error)
          ? error
          : new AshlarError("PROTOCOL_ERROR", `Cannot read the response of ${method.name}`, {
              cause: error,
            }),
      );
    }
  }

  /** The connection was closed. A request that was not written had no effect: UNAVAILABLE. */
  onConnectionLost(error: AshlarError | null, drop: (queuedFrame: QueuedFrame) => boolean): void {
    const { method, peerAddress } = this.#options;
    const reason = error?.message ?? `The connection to ${peerAddress} was closed`;
    const code =
      this.queuedFrame !== null && drop(this.queuedFrame) ? "UNAVAILABLE" : "CONNECTION_LOST";
    this.fail(
      new AshlarError(code, `The call of ${method.name} failed: ${reason}`, {
        ...(error === null ? {} : { cause: error }),
      }),
    );
  }

  /**
   * Rejects the call, at the earliest when the link no longer uses the body: the caller may reuse
   * the body after the rejection.
   */
  fail(error: AshlarError): void {
    this.#unlisten?.();
    const holdsBody = this.queuedFrame?.onSettled != null && !this.#isBodySettled;
    if (holdsBody) this.#failure = error;
    else this.#options.reject(error);
  }

  onBodySettled(): void {
    this.#isBodySettled = true;
    if (this.#failure !== null) this.#options.reject(this.#failure);
  }
}
