import { assert } from "../../shared/base/assert.ts";
import type { AshlarError } from "../../shared/base/errors.ts";
import { rejectEnded, type Waiter } from "./applied-waiters.ts";

const CONFIRMATION = "the confirmation of a read by the leader";

/** One ReadIndex round and the reads that it confirms. */
interface ReadAttempt {
  readonly readId: number;
  readonly startedMs: number;
  readonly waiters: readonly Waiter[];
}

/**
 * The pending linearizable reads. Each waits for an index that covers every command acknowledged
 * before the read arrived (ReadIndex, Raft thesis §6.4).
 *
 * Invariant: an attempt answers only the reads that arrived before it started. The id of an attempt
 * is never used again, and an answer to an abandoned attempt is ignored (etcd #20418).
 */
export class Reads {
  readonly #retryAfterMs: number;
  #queued: Waiter[] = [];
  #attempts: ReadAttempt[] = [];

  constructor(options: { readonly retryAfterMs: number }) {
    this.#retryAfterMs = options.retryAfterMs;
  }

  /** Whether reads have arrived since the last attempt started. */
  get isWaiting(): boolean {
    return this.#queued.length > 0;
  }

  /** Queues a read for the next attempt. */
  add(waiter: Waiter): void {
    this.#queued.push(waiter);
  }

  /** Starts an attempt with a new id for all queued reads. */
  start(readId: number, nowMs: number): void {
    assert(this.#queued.length > 0, "an attempt has at least one read");
    this.#attempts.push({ readId, startedMs: nowMs, waiters: this.#queued });
    this.#queued = [];
  }

  /** Rejects all queued reads, because no attempt can be started. */
  refuse(error: AshlarError): void {
    const queued = this.#queued;
    this.#queued = [];
    for (const waiter of queued) waiter.reject(error);
  }

  /** Ends the attempt `readId` and returns its reads. Empty if the attempt was abandoned. */
  answer(readId: number): readonly Waiter[] {
    const attempt = this.#attempts.find((each) => each.readId === readId);
    if (attempt === undefined) return [];
    this.#attempts = this.#attempts.filter((each) => each !== attempt);
    return attempt.waiters;
  }

  /** Requeues the reads of attempts without an answer, and rejects the reads that have ended. */
  expire(nowMs: number): void {
    if (this.#queued.length === 0 && this.#attempts.length === 0) return;
    const stale = this.#attempts.filter((each) => nowMs - each.startedMs >= this.#retryAfterMs);
    this.#attempts = this.#attempts.filter((each) => !stale.includes(each));
    for (const attempt of stale) this.#queued.push(...attempt.waiters);
    this.#attempts = this.#attempts.map((attempt) => ({
      ...attempt,
      waiters: rejectEnded(attempt.waiters, nowMs, CONFIRMATION),
    }));
    this.#queued = rejectEnded(this.#queued, nowMs, CONFIRMATION);
  }

  /** Requeues all reads after a leader change: the new leader must confirm them. */
  requeueAll(): void {
    for (const attempt of this.#attempts) this.#queued.push(...attempt.waiters);
    this.#attempts = [];
  }

  /** Rejects all reads with `error`. */
  failAll(error: AshlarError): void {
    this.requeueAll();
    this.refuse(error);
  }
}
