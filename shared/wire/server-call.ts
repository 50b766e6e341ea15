import type { AshlarError } from "../base/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Expirable } from "./deadlines.ts";
import type { CallContext, PeerIdentity } from "./rpc.ts";

/** Options of `ServerCall`. */
export interface ServerCallOptions {
  readonly clock: Clock;
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  readonly deadlineMs: number;
  /** Length of the head of the request. */
  readonly headBytes: number;
  readonly onExpired: (call: ServerCall) => void;
}

/** A call or a stream whose handler runs. */
export class ServerCall implements CallContext, Expirable {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  readonly deadlineMs: number;
  readonly headBytes: number;
  readonly #clock: Clock;
  readonly #onExpired: (call: ServerCall) => void;
  /**
   * Created at the first use of `signal`: few handlers use it, and it is costly for a small call.
   */
  #controller: AbortController | null = null;
  #abortReason: AshlarError | null = null;

  constructor(options: ServerCallOptions) {
    this.peer = options.peer;
    this.peerAddress = options.peerAddress;
    this.deadlineMs = options.deadlineMs;
    this.headBytes = options.headBytes;
    this.#clock = options.clock;
    this.#onExpired = options.onExpired;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#abortReason !== null) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  /** Whether the caller no longer waits. If so, no response is sent. */
  get isAborted(): boolean {
    return this.#abortReason !== null;
  }

  remainingMs(): number {
    return Math.max(0, this.deadlineMs - this.#clock.monotonicMs());
  }

  expire(): void {
    this.#onExpired(this);
  }

  abort(reason: AshlarError): void {
    if (this.#abortReason !== null) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }
}
