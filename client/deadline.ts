import { AshlarError } from "../shared/base/errors.ts";
import { listenToAbort } from "../shared/flow/abort-listeners.ts";
import type { Clock, Timer } from "../shared/ports/clock.ts";
import type { CallOptions } from "./options.ts";

/**
 * Time that a part of an operation has after the deadline of the operation. The deadline then
 * always ends the part, and a timeout of a part is always a fault of the peer.
 */
const PART_GRACE_MS = 1_000;

/**
 * Ends an operation of several calls when the caller's signal aborts or its timeout elapses.
 * Without a timeout the operation has no deadline.
 *
 * Must be disposed when the operation ends; otherwise the timer and the abort listener leak.
 */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #action: string;
  readonly #timeoutMs: number;
  readonly #endsAtMs: number;
  readonly #timer: Timer | null;
  readonly #forks = new Set<AbortController>();
  /** Callbacks that remove the abort listeners. */
  readonly #unfollow: Array<() => void> = [];

  constructor(clock: Clock, action: string, options: CallOptions = {}) {
    const { signal } = options;
    const timeoutMs = timeoutOf(options, Number.POSITIVE_INFINITY, action);
    this.#clock = clock;
    this.#action = action;
    this.#timeoutMs = timeoutMs;
    this.#endsAtMs = clock.monotonicMs() + timeoutMs;
    this.#timer = timeoutMs === Number.POSITIVE_INFINITY ? null : this.#startTimer();
    if (signal !== undefined) this.follow(signal);
  }

  /** Ends the operation also when `signal` aborts. */
  follow(signal: AbortSignal): void {
    const onAbort = (): void => this.abort(cancellationOf(signal));
    if (signal.aborted) {
      onAbort();
      return;
    }
    this.#unfollow.push(listenToAbort(signal, onAbort));
  }

  /**
   * Aborts when the operation must end. The reason is an AshlarError: CANCELLED or
   * DEADLINE_EXCEEDED.
   */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Returns a signal for one part of the operation. Many parts run at the same time, and Node
   * reports a signal with many listeners as a memory leak, so each part has a signal of its own.
   * Must be disposed when the part ends.
   */
  fork(): Disposable & { readonly signal: AbortSignal } {
    const controller = new AbortController();
    if (this.signal.aborted) controller.abort(this.signal.reason);
    this.#forks.add(controller);
    return {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        this.#forks.delete(controller);
      },
    };
  }

  /**
   * Returns the timeout in milliseconds of a part of the operation, in [1, limitMs]: `limitMs`, or
   * a little more than the remaining time of the operation.
   */
  remainingMs(limitMs: number): number {
    const remainingMs = this.#endsAtMs - this.#clock.monotonicMs();
    return Math.max(1, Math.min(limitMs, remainingMs + PART_GRACE_MS));
  }

  /**
   * Ends the operation if its time is over, even if its timer is late.
   *
   * @throws {AshlarError} CANCELLED or DEADLINE_EXCEEDED if the operation must end.
   */
  check(): void {
    if (this.#clock.monotonicMs() >= this.#endsAtMs) this.#expire();
    if (this.signal.aborted) throw this.signal.reason;
  }

  /**
   * Returns the abort reason if the operation must end, else `error`: an abort causes other errors.
   */
  causeOf(error: unknown): unknown {
    try {
      this.check();
      return error;
    } catch (reason) {
      return reason;
    }
  }

  /** Ends the operation with `error`. Does nothing if it was ended before. */
  abort(error: AshlarError): void {
    if (this.#controller.signal.aborted) return;
    this.#controller.abort(error);
    for (const fork of this.#forks) fork.abort(error);
    this.#forks.clear();
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    for (const unfollow of this.#unfollow) unfollow();
  }

  #startTimer(): Timer {
    return this.#clock.after(this.#timeoutMs, () => this.#expire());
  }

  #expire(): void {
    const text = `Cannot ${this.#action}: timed out after ${this.#timeoutMs} ms`;
    this.abort(new AshlarError("DEADLINE_EXCEEDED", text));
  }
}

/**
 * Returns the timeout of a call in milliseconds. Infinity means none.
 *
 * @throws {AshlarError} INVALID_ARGUMENT for a negative timeout and for what is not a number
 */
export function timeoutOf(
  { timeoutMs }: CallOptions,
  defaultMs: number,
  action = "call the masters",
): number {
  if (timeoutMs === undefined) return defaultMs;
  if (timeoutMs >= 0 && typeof timeoutMs === "number") return timeoutMs;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot ${action}: expected a timeout of at least 0 ms: current value is ${String(timeoutMs)}`,
  );
}

/**
 * Returns the AshlarError that `signal` aborted with, or CANCELLED with the abort reason as cause.
 */
function cancellationOf(signal: AbortSignal): AshlarError {
  if (signal.reason instanceof AshlarError) return signal.reason;
  return new AshlarError("CANCELLED", "Cannot finish the operation: the caller's signal aborted", {
    cause: signal.reason,
  });
}

/**
 * Returns `error` as an AshlarError. Any other error, such as one thrown by the caller's source or
 * callback, becomes INTERNAL.
 */
export function asAshlarError(error: unknown, action: string): AshlarError {
  if (error instanceof AshlarError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new AshlarError("INTERNAL", `Cannot ${action}: ${message}`, { cause: error });
}

/**
 * Settles as `promise` does, or rejects when `signal` aborts first. The abort does not affect
 * `promise`, which other callers may await.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancellationOf(signal));
    if (signal.aborted) onAbort();
    const unlisten = listenToAbort(signal, onAbort);
    promise.then(resolve, reject).finally(unlisten);
  });
}

/**
 * Returns the AshlarError that `signal` aborted with, else `error`. A call cancelled because the
 * whole operation timed out then fails with DEADLINE_EXCEEDED instead of CANCELLED.
 */
export function causeOf(error: unknown, signal: AbortSignal | undefined): unknown {
  return signal?.reason instanceof AshlarError ? signal.reason : error;
}
