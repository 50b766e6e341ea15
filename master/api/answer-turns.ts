import type { Clock } from "../../shared/ports/clock.ts";

/**
 * Lets large answers that are due together go out one after the other: the client works on the first
 * while the next is worked out. Else both ends would wait for one another by turns.
 */
export class AnswerTurns {
  readonly #clock: Clock;
  /** Ends with the turn of the answer before; null: none was worked out in this turn. */
  #before: Promise<void> | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when an answer may be worked out: at once if no other was in this turn. */
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
