import type { Clock } from "../ports/clock.ts";
import { Fifo } from "./fifo.ts";

/** Time of one turn of the event loop that the starts of calls may take together. */
const SLICE_MS = 5;

/**
 * Starts the calls of all connections of a server, in the order in which they arrived, in slices of
 * `SLICE_MS`. The event loop reads thousands of connections in one turn. When they all have a request,
 * the turn would last until the last handler has started: timers, the consensus and messages of peers
 * would wait for it.
 *
 * Each waiting call is in progress for its connection, until it is cancelled: then its place stays taken until
 * its turn, which ends at once. The work of a handler after its first wait is not in the slice.
 */
export class CallTurns {
  readonly #clock: Clock;
  readonly #waiting = new Fifo<() => void>();
  /** Resolves in the turn after that of the last slice. Null: no call has started in this turn. */
  #turning: Promise<void> | null = null;
  /** Monotonic time at which the slice of this turn ends. */
  #sliceEndMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `task` now, or in a later turn if the slice of this one has ended. */
  start(task: () => void): void {
    if (this.#turning === null) this.#beginSlice();
    if (this.#waiting.length === 0 && !this.#isSliceOver()) task();
    else this.#waiting.push(task);
  }

  #beginSlice(): void {
    this.#sliceEndMs = this.#clock.monotonicMs() + SLICE_MS;
    this.#turning = this.#clock.yieldTurn().then(() => this.#nextTurn());
  }

  #nextTurn(): void {
    this.#turning = null;
    if (this.#waiting.length === 0) return;
    this.#beginSlice();
    while (this.#waiting.length > 0 && !this.#isSliceOver()) this.#waiting.shift()?.();
  }

  #isSliceOver(): boolean {
    return this.#clock.monotonicMs() >= this.#sliceEndMs;
  }
}
