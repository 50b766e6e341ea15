import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** Someone who waits until a deadline. */
export interface Waiter {
  readonly deadlineMs: number;
  readonly resolve: (index: LogIndex) => void;
  readonly reject: (error: AshlarError) => void;
}

interface IndexWaiter extends Waiter {
  readonly index: LogIndex;
}

/** Those who wait for the state to show an index. */
export class AppliedWaiters {
  #waiters: IndexWaiter[] = [];

  add(index: LogIndex, waiter: Waiter): void {
    this.#waiters.push({ ...waiter, index });
  }

  /** The state shows `appliedIndex`. */
  release(appliedIndex: LogIndex): void {
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter((waiter) => waiter.index <= appliedIndex);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.index > appliedIndex);
    for (const waiter of ready) waiter.resolve(waiter.index);
  }

  expire(nowMs: number): void {
    if (!this.#waiters.some((waiter) => waiter.deadlineMs <= nowMs)) return;
    const late = this.#waiters.filter((waiter) => waiter.deadlineMs <= nowMs);
    this.#waiters = this.#waiters.filter((waiter) => waiter.deadlineMs > nowMs);
    for (const waiter of late)
      waiter.reject(deadlineExceeded(`entry ${waiter.index} to be applied`));
  }

  failAll(error: AshlarError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}

export function deadlineExceeded(what: string): AshlarError {
  return new AshlarError("DEADLINE_EXCEEDED", `Cannot wait any longer for ${what}`);
}
