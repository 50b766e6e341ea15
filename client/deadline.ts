import { AshlarError } from "../shared/base/errors.ts";
import type { Clock, Timer } from "../shared/ports/clock.ts";
import type { CallOptions } from "./options.ts";

/** What a signal that will never abort has to say. */
const NO_LIMIT_MS = 24 * 60 * 60 * 1000;

/**
 * How long a long operation may go on: until the caller's signal aborts or its time is over.
 *
 * Dispose it when the operation ends, or the timer and the listener live on.
 */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #endsAtMs: number;
  readonly #timer: Timer | null;
  readonly #forks = new Set<AbortController>();
  /** Takes the listeners away again. */
  readonly #unfollow: Array<() => void> = [];

  constructor(clock: Clock, what: string, options: CallOptions = {}) {
    const { signal, timeoutMs } = options;
    this.#clock = clock;
    this.#endsAtMs = clock.monotonicMs() + (timeoutMs ?? NO_LIMIT_MS);
    this.#timer =
      timeoutMs === undefined
        ? null
        : clock.after(timeoutMs, () => this.abort(exceeded(what, timeoutMs)));
    if (signal !== undefined) this.follow(signal);
  }

  /** Also over when `signal` aborts. */
  follow(signal: AbortSignal): void {
    const onAbort = (): void => this.abort(cancellationOf(signal));
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unfollow.push(() => signal.removeEventListener("abort", onAbort));
  }

  /** Aborts with an AshlarError: CANCELLED or DEADLINE_EXCEEDED. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * A signal of one part of the operation. Many parts run at the same time, and a signal with many
   * listeners is taken for a leak by Node. Dispose it when the part ends.
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

  /** What is left, at most `limitMs`; at least 1, so that a call can be made to fail properly. */
  remainingMs(limitMs: number): number {
    return Math.max(1, Math.min(limitMs, this.#endsAtMs - this.#clock.monotonicMs()));
  }

  /** @throws {AshlarError} CANCELLED or DEADLINE_EXCEEDED if it is over. */
  check(): void {
    if (this.signal.aborted) throw this.signal.reason;
  }

  /** Why the operation failed with `error`: that its time was up, if it was. */
  causeOf(error: unknown): unknown {
    return this.signal.aborted ? this.signal.reason : error;
  }

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
}

function exceeded(what: string, timeoutMs: number): AshlarError {
  return new AshlarError("DEADLINE_EXCEEDED", `Cannot ${what}: not done after ${timeoutMs} ms`);
}

/** CANCELLED, with the reason that the caller gave. */
function cancellationOf(signal: AbortSignal): AshlarError {
  if (signal.reason instanceof AshlarError) return signal.reason;
  return new AshlarError("CANCELLED", "Cannot go on: the caller gave up", {
    cause: signal.reason,
  });
}

/** `error` as an AshlarError: what is none (a failing source, a bug in a callback) becomes INTERNAL. */
export function asAshlarError(error: unknown, what: string): AshlarError {
  if (error instanceof AshlarError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new AshlarError("INTERNAL", `Cannot ${what}: ${message}`, { cause: error });
}

/** `promise`, or the failure of `signal` if it aborts first; `promise` goes on for others then. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancellationOf(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Why a call failed with `error`: one that was cancelled because an operation's time was up says so. */
export function causeOf(error: unknown, signal: AbortSignal | undefined): unknown {
  return signal?.reason instanceof AshlarError ? signal.reason : error;
}
