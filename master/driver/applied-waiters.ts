import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import type { Caller } from "../consensus.ts";

/** A caller that waits for an index until a deadline. */
export interface Waiter {
  /** Deadline on the monotonic clock. */
  readonly deadlineMs: number;
  /** Absent if the wait ends at its deadline only. */
  readonly caller: Caller | undefined;
  readonly resolve: (index: LogIndex) => void;
  readonly reject: (error: AshlarError) => void;
}

/** The callers that wait until the state machine has applied an index. */
export class AppliedWaiters {
  readonly #waiters = new Map<LogIndex, Waiter[]>();

  /** Adds a caller that waits until `index` is applied. */
  add(index: LogIndex, waiter: Waiter): void {
    const waiters = this.#waiters.get(index);
    if (waiters === undefined) this.#waiters.set(index, [waiter]);
    else waiters.push(waiter);
  }

  /** Resolves the waiters of `index`, which was applied as the next one. */
  release(index: LogIndex): void {
    const waiters = this.#waiters.get(index);
    if (waiters === undefined) return;
    this.#waiters.delete(index);
    for (const waiter of waiters) waiter.resolve(index);
  }

  /** Resolves the waiters of all indexes up to `appliedIndex`, after a snapshot. */
  releaseAll(appliedIndex: LogIndex): void {
    for (const index of this.#waiters.keys()) if (index <= appliedIndex) this.release(index);
  }

  /** Rejects the waiters whose deadline has passed or whose caller went away. */
  expire(nowMs: number): void {
    for (const [index, waiters] of this.#waiters) {
      const waiting = rejectEnded(waiters, nowMs, `entry ${index} to be applied`);
      if (waiting.length === 0) this.#waiters.delete(index);
      else if (waiting.length < waiters.length) this.#waiters.set(index, waiting);
    }
  }

  /** Rejects all waiters with `error`. */
  failAll(error: AshlarError): void {
    const all = [...this.#waiters.values()].flat();
    this.#waiters.clear();
    for (const waiter of all) waiter.reject(error);
  }
}

/**
 * Rejects the waiters whose deadline has passed or whose caller went away. Returns the others.
 *
 * @param event the awaited event, as a noun phrase
 */
export function rejectEnded(waiters: readonly Waiter[], nowMs: number, event: string): Waiter[] {
  const waiting: Waiter[] = [];
  for (const waiter of waiters) {
    if (waiter.caller?.isAborted === true) waiter.reject(abandoned(event));
    else if (waiter.deadlineMs <= nowMs) waiter.reject(deadlineExceeded(event));
    else waiting.push(waiter);
  }
  return waiting;
}

function deadlineExceeded(event: string): AshlarError {
  return new AshlarError("DEADLINE_EXCEEDED", `Cannot wait for ${event}: the deadline has passed`);
}

function abandoned(event: string): AshlarError {
  return new AshlarError("CANCELLED", `Cannot wait for ${event}: the caller no longer waits`);
}
