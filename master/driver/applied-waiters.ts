import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** A caller that waits for an index until a deadline. */
export interface Waiter {
  /** Deadline on the monotonic clock. */
  readonly deadlineMs: number;
  readonly resolve: (index: LogIndex) => void;
  readonly reject: (error: AshlarError) => void;
}

interface IndexWaiter extends Waiter {
  readonly index: LogIndex;
}

/** The callers that wait until the state machine has applied an index. */
export class AppliedWaiters {
  #waiters: IndexWaiter[] = [];

  /** Adds a caller that waits until `index` is applied. */
  add(index: LogIndex, waiter: Waiter): void {
    this.#waiters.push({ ...waiter, index });
  }

  /** Resolves the waiters of all indexes up to `appliedIndex`. */
  release(appliedIndex: LogIndex): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter((waiter) => waiter.index <= appliedIndex);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.index > appliedIndex);
    for (const waiter of ready) waiter.resolve(waiter.index);
  }

  /** Rejects the waiters whose deadline has passed. */
  expire(nowMs: number): void {
    if (!this.#waiters.some((waiter) => waiter.deadlineMs <= nowMs)) return;
    const late = this.#waiters.filter((waiter) => waiter.deadlineMs <= nowMs);
    this.#waiters = this.#waiters.filter((waiter) => waiter.deadlineMs > nowMs);
    for (const waiter of late)
      waiter.reject(deadlineExceeded(`entry ${waiter.index} to be applied`));
  }

  /** Rejects all waiters with `error`. */
  failAll(error: AshlarError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}

/**
 * Returns the error for a caller whose deadline has passed.
 *
 * @param event the awaited event, as a noun phrase
 */
export function deadlineExceeded(event: string): AshlarError {
  return new AshlarError("DEADLINE_EXCEEDED", `Cannot wait for ${event}: the deadline has passed`);
}
