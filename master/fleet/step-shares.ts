/*
 * The work of one step of repair, in chunks: together 2 to 6 ms. Each kind of work has its own share, so
 * that none waits for another. Of a checked chunk, the servers in memory are looked up. All others are
 * read from the state.
 */
const SHARES = { checked: 250, changed: 25, ordered: 45, scanned: 50, reviewed: 12 };
/**
 * The part of the shares for a step after a pause. It doubles from step to step: code that has not run
 * for long, or never, is not compiled and several times slower.
 */
const FIRST_PART = 1 / 4;

/** The work that the next step of repair may do. */
export class StepShares {
  #part = FIRST_PART;

  /** Returns the number of chunks for one kind of work. */
  of(kind: keyof typeof SHARES): number {
    return Math.ceil(SHARES[kind] * this.#part);
  }

  /** @param isBusy whether the step has left work for the next one, which follows soon */
  endStep(isBusy: boolean): void {
    this.#part = isBusy ? Math.min(1, this.#part * 2) : FIRST_PART;
  }
}
