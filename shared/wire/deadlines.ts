import type { Clock, Timer } from "../ports/clock.ts";

/** Deadlines closer together than this expire together. */
const GRANULARITY_MS = 5;

export interface Expirable {
  /** On the monotonic clock; Infinity: none. */
  readonly deadlineMs: number;
  expire(): void;
}

/**
 * Expires what is overdue, with one timer for all: most calls end long before their deadline, and
 * a timer of its own would cost more than the rest of a small call.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #entries: () => Iterable<Expirable>;
  #timer: Timer | null = null;
  #timerMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  /** `entries` tells what has a deadline now; it may shrink while entries expire. */
  constructor(clock: Clock, entries: () => Iterable<Expirable>) {
    this.#clock = clock;
    this.#entries = entries;
  }

  /** There is an entry with this deadline from now on. */
  watch(deadlineMs: number): void {
    if (deadlineMs >= this.#timerMs || this.#isStopped) return;
    this.#timer?.cancel();
    this.#timerMs = deadlineMs;
    const delayMs = Math.max(0, Math.ceil(deadlineMs - this.#clock.monotonicMs()));
    this.#timer = this.#clock.after(delayMs, () => this.#expire());
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #expire(): void {
    this.#timer = null;
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    const due: Expirable[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries()) {
      if (entry.deadlineMs <= nowMs) due.push(entry);
      else if (entry.deadlineMs < nextMs) nextMs = entry.deadlineMs;
    }
    for (const entry of due) entry.expire();
    this.watch(Math.max(nextMs, nowMs + GRANULARITY_MS));
  }
}
