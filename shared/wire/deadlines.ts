import type { Clock, Timer } from "../ports/clock.ts";

/** Deadlines that are closer together than this expire together. */
const GRANULARITY_MS = 5;

/** A call or a stream with a deadline. */
export interface Expirable {
  /** Time on the monotonic clock. Infinity: no deadline. */
  readonly deadlineMs: number;
  expire(): void;
}

/**
 * Expires the calls and streams of a connection with a single timer. Most calls end long before
 * their deadline, and a timer per call would cost more than the rest of a small call.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #entries: () => Iterable<Expirable>;
  #timer: Timer | null = null;
  #timerMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  /** `entries` returns everything that has a deadline now. It may shrink while entries expire. */
  constructor(clock: Clock, entries: () => Iterable<Expirable>) {
    this.#clock = clock;
    this.#entries = entries;
  }

  /** Sets the timer for a new entry with this deadline. */
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
