import type { Clock } from "../../../shared/ports/clock.ts";
import type { Dice } from "./simulation-random.ts";

const FIRST_MS = { min: 8_000, max: 15_000 };
const HOT_MS = { min: 3_000, max: 6_000 };
const QUIET_MS = { min: 60_000, max: 180_000 };
/** The end is busy, whatever came before: the last power cut finds work under way. */
const LAST_MS = 5_000;

/** How long to wait before the next thing, in milliseconds: while it is hot, and while it is quiet. */
export interface Pauses {
  readonly hot: { readonly min: number; readonly max: number };
  readonly quiet: { readonly min: number; readonly max: number };
}

/**
 * When a cluster is under load and when it is left alone, by turns, as its seed says. A real one
 * has its crowded minutes, in which faults meet one another, and its long hours, in which sessions
 * expire, history is reclaimed, scrubs pass and the log is cut with nobody looking.
 */
export class Rhythm {
  readonly #clock: Clock;
  readonly #dice: Dice;
  /** When hot turns to quiet, quiet to hot, and so on. */
  #turnsMs: readonly number[] = [];
  #isBegun = false;

  constructor(clock: Clock, dice: Dice) {
    this.#clock = clock;
    this.#dice = dice;
  }

  /** The next `lengthMs` of virtual time are the life of the cluster. */
  begin(lengthMs: number): void {
    const dice = this.#dice;
    const endMs = this.#clock.monotonicMs() + lengthMs;
    const turns: number[] = [];
    for (let atMs = endMs - lengthMs; atMs < endMs; ) {
      const hot = turns.length === 0 ? FIRST_MS : HOT_MS;
      const lasts = turns.length % 2 === 0 ? hot : QUIET_MS;
      atMs += dice.between(lasts.min, lasts.max);
      turns.push(atMs);
    }
    const isHotAtEnd = turns.filter((turnMs) => turnMs < endMs - LAST_MS).length % 2 === 0;
    const kept = turns.filter((turnMs) => turnMs < endMs - LAST_MS);
    this.#turnsMs = isHotAtEnd ? kept : [...kept, endMs - LAST_MS];
    this.#isBegun = true;
  }

  get isHot(): boolean {
    return this.#passed % 2 === 0;
  }

  /** Sleeps for a while; a hot phase that begins cuts a quiet pause short. */
  async pause(clock: Clock, dice: Dice, { hot, quiet }: Pauses): Promise<void> {
    const { min, max } = this.isHot ? hot : quiet;
    const pauseMs = dice.magnitude(min, max);
    const isQuiet = this.#isBegun && !this.isHot;
    const nextMs = isQuiet
      ? (this.#turnsMs[this.#passed] ?? Number.POSITIVE_INFINITY)
      : Number.POSITIVE_INFINITY;
    const untilHotMs = nextMs - this.#clock.monotonicMs() + dice.magnitude(hot.min, hot.max);
    await clock.sleep(Math.min(pauseMs, untilHotMs));
  }

  /** Turns that are behind us. */
  get #passed(): number {
    const nowMs = this.#clock.monotonicMs();
    let count = 0;
    for (const turnMs of this.#turnsMs) if (turnMs <= nowMs) count += 1;
    return count;
  }
}
