import { assert } from "../base/assert.ts";
import type { AshlarError } from "../base/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Expirable } from "./deadlines.ts";
import type { CallContext, PeerIdentity } from "./rpc.ts";
import type { Lane, PartPlace } from "./turn-queue.ts";
import type { TurnSlices } from "./turn-slices.ts";

/** Options of `ServerCall`. */
export interface ServerCallOptions {
  readonly clock: Clock;
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  readonly deadlineMs: number;
  /** Memory that the request has taken of its connection. */
  readonly memoryBytes: number;
  /** Starts the parts of the work of all calls of the server. */
  readonly slices: TurnSlices;
  /** The waiting parts of the connection. */
  readonly lane: Lane;
  readonly onExpired: (call: ServerCall) => void;
}

/** A call or a stream in progress. Its handler runs or waits for its turn. */
export class ServerCall implements CallContext, Expirable {
  readonly peer: PeerIdentity;
  readonly peerAddress: string;
  readonly deadlineMs: number;
  readonly memoryBytes: number;
  readonly #clock: Clock;
  readonly #slices: TurnSlices;
  readonly #lane: Lane;
  readonly #onExpired: (call: ServerCall) => void;
  /**
   * Created at the first use of `signal`: few handlers use it, and it is costly for a small call.
   */
  #controller: AbortController | null = null;
  #abortReason: AshlarError | null = null;
  /** The part that waits for its turn. Null if none does. */
  #waiting: WaitingPart | null = null;

  constructor(options: ServerCallOptions) {
    this.peer = options.peer;
    this.peerAddress = options.peerAddress;
    this.deadlineMs = options.deadlineMs;
    this.memoryBytes = options.memoryBytes;
    this.#clock = options.clock;
    this.#slices = options.slices;
    this.#lane = options.lane;
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

  turn(): Promise<void> {
    if (this.#abortReason !== null) return Promise.reject(this.#abortReason);
    if (this.#slices.tryBegin()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#wait(resolve, reject));
  }

  /** Begins the work of this call in its turn. If the call is aborted before, calls `drop` instead. */
  begin(task: () => void, drop: () => void): void {
    if (this.#slices.tryBegin()) task();
    else this.#wait(task, drop);
  }

  #wait(begin: () => void, drop: (reason: AshlarError) => void): void {
    assert(this.#waiting === null, "a call waits for one turn at a time");
    const place = this.#slices.enqueue(this.#lane, () => {
      this.#waiting = null;
      begin();
    });
    this.#waiting = { place, drop };
  }

  expire(): void {
    this.#onExpired(this);
  }

  abort(reason: AshlarError): void {
    if (this.#abortReason !== null) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null; // The queue and this call no longer hold the request.
    this.#slices.remove(waiting.place);
    waiting.drop(reason);
  }
}

interface WaitingPart {
  readonly place: PartPlace;
  /** Called in place of the part if the call is aborted before. */
  readonly drop: (reason: AshlarError) => void;
}
