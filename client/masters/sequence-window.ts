import { grantOrAbort } from "../../shared/flow/grant-or-abort.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import { SESSION_OUTCOMES_MAX } from "../../shared/protocol/transact-api.ts";
import { Deadline } from "../deadline.ts";
import type { CallOptions } from "../options.ts";

/**
 * The sequence numbers of the mutations of one session.
 *
 * Invariant: a number in flight is less than SESSION_OUTCOMES_MAX above the lowest one. The masters keep
 * that many outcomes, so the outcome of each mutation in flight can be requested again.
 */
export class SequenceWindow {
  readonly #clock: Clock;
  #next = 1;
  /** In ascending order. */
  readonly #inFlight = new Set<number>();
  /** Mutations that wait for room, in their order. */
  readonly #waiting = new Set<(sequence: number) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The lowest sequence number whose outcome this client may still request. */
  get first(): number {
    const [first = this.#next] = this.#inFlight;
    return first;
  }

  /** Returns the next number, which is in flight until `release`. Null if the mutation must wait. */
  tryTake(): number | null {
    return this.#waiting.size === 0 && this.#hasRoom ? this.#take() : null;
  }

  /**
   * Resolves with the next number when there is room.
   *
   * @throws {AshlarError} DEADLINE_EXCEEDED, CANCELLED: the mutation was not sent
   */
  async take(options: CallOptions): Promise<number> {
    using deadline = new Deadline(this.#clock, "send a change", options);
    return await grantOrAbort<number>(deadline.signal, (onGrant) => {
      this.#waiting.add(onGrant);
      return () => this.#waiting.delete(onGrant);
    });
  }

  /** Ends the flight of `sequence`: its outcome is known, or is not requested again. */
  release(sequence: number): void {
    this.#inFlight.delete(sequence);
    for (const grant of this.#waiting) {
      if (!this.#hasRoom) return;
      this.#waiting.delete(grant);
      grant(this.#take());
    }
  }

  get #hasRoom(): boolean {
    return this.#next < this.first + SESSION_OUTCOMES_MAX;
  }

  #take(): number {
    const sequence = this.#next;
    this.#next += 1;
    this.#inFlight.add(sequence);
    return sequence;
  }
}
