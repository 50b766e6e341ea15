import { assert } from "../../shared/base/assert.ts";
import type { AshlarError } from "../../shared/base/errors.ts";
import { deadlineExceeded, type Waiter } from "./applied-waiters.ts";

interface ReadAttempt {
  readonly readId: number;
  readonly startedMs: number;
  readonly waiters: readonly Waiter[];
}

/**
 * Linearizable reads: those who wait for an index that covers all that was acknowledged before
 * they came (ReadIndex, Raft thesis §6.4).
 *
 * Invariant: an attempt answers only those who came before it began, and its id is never used
 * again; an answer to an attempt that was given up is ignored (etcd #20418).
 */
export class Reads {
  readonly #retryAfterMs: number;
  #queued: Waiter[] = [];
  #attempts: ReadAttempt[] = [];

  constructor(options: { readonly retryAfterMs: number }) {
    this.#retryAfterMs = options.retryAfterMs;
  }

  /** Someone has come since the last attempt began. */
  get isWaiting(): boolean {
    return this.#queued.length > 0;
  }

  add(waiter: Waiter): void {
    this.#queued.push(waiter);
  }

  /** One attempt, with an id of its own, is begun for all who have come since the last. */
  start(readId: number, nowMs: number): void {
    assert(this.#queued.length > 0, "an attempt is for someone");
    this.#attempts.push({ readId, startedMs: nowMs, waiters: this.#queued });
    this.#queued = [];
  }

  /** No attempt can be begun: who waits for one is told. */
  refuse(error: AshlarError): void {
    const queued = this.#queued;
    this.#queued = [];
    for (const waiter of queued) waiter.reject(error);
  }

  /** Those whom the answer to `readId` is for. */
  answer(readId: number): readonly Waiter[] {
    const attempt = this.#attempts.find((each) => each.readId === readId);
    if (attempt === undefined) return [];
    this.#attempts = this.#attempts.filter((each) => each !== attempt);
    return attempt.waiters;
  }

  /** Attempts without an answer are begun anew; who has waited too long is told. */
  expire(nowMs: number): void {
    if (this.#queued.length === 0 && this.#attempts.length === 0) return;
    const stale = this.#attempts.filter((each) => nowMs - each.startedMs >= this.#retryAfterMs);
    this.#attempts = this.#attempts.filter((each) => !stale.includes(each));
    for (const attempt of stale) this.#queued.push(...attempt.waiters);
    this.#attempts = this.#attempts.map((attempt) => ({
      ...attempt,
      waiters: rejectLate(attempt.waiters, nowMs),
    }));
    this.#queued = rejectLate(this.#queued, nowMs);
  }

  /** The leader changed: who asked the old one asks again. */
  requeueAll(): void {
    for (const attempt of this.#attempts) this.#queued.push(...attempt.waiters);
    this.#attempts = [];
  }

  failAll(error: AshlarError): void {
    this.requeueAll();
    this.refuse(error);
  }
}

function rejectLate(waiters: readonly Waiter[], nowMs: number): Waiter[] {
  const inTime: Waiter[] = [];
  for (const waiter of waiters) {
    if (waiter.deadlineMs > nowMs) inTime.push(waiter);
    else waiter.reject(deadlineExceeded("a leader to confirm a read"));
  }
  return inTime;
}
