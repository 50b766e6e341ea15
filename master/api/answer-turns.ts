import type { Clock } from "../../shared/ports/clock.ts";

/**
 * Spreads large answers over several turns of the event loop, one per turn. The client can then
 * process the first answer while the leader computes the next one. Otherwise the leader computes
 * all answers while the clients wait, and the clients process them while the leader is idle.
 */
export class AnswerTurns {
  readonly #clock: Clock;
  /**
   * Resolves after the turn of the previous answer. Null if no answer was computed in this turn.
   */
  #before: Promise<void> | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the caller can compute its answer: immediately for the first call of a turn. */
  async next(): Promise<void> {
    const before = this.#before;
    const own = this.#turnAfter(before);
    const forget = (): void => {
      if (this.#before === own) this.#before = null;
    };
    this.#before = own;
    own.then(forget, forget);
    if (before !== null) await before;
  }

  async #turnAfter(before: Promise<void> | null): Promise<void> {
    if (before !== null) await before;
    await this.#clock.yieldTurn();
  }
}
