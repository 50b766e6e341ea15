import type { Clock } from "../../../shared/ports/clock.ts";
import type { SimulationRandom } from "./simulation-random.ts";

const FIRST_BUSY_MS = { min: 8_000, max: 15_000 };
const BUSY_MS = { min: 3_000, max: 6_000 };
const QUIET_MS = { min: 60_000, max: 180_000 };
/** Every run ends with a busy phase, so that the last power failure interrupts pending calls. */
const LAST_BUSY_MS = 5_000;

/** Ranges of the random pause before the next action, in milliseconds, by phase. */
export interface PauseRanges {
  readonly busy: { readonly min: number; readonly max: number };
  readonly quiet: { readonly min: number; readonly max: number };
}

/**
 * Alternating busy and quiet phases of a cluster, determined by its seed. Busy phases test faults
 * that overlap. Quiet phases test slow processes: sessions expire, history is reclaimed, scrub
 * passes run and the log is compacted without load.
 */
export class LoadPhases {
  readonly #clock: Clock;
  readonly #random: SimulationRandom;
  /** Times at which a phase ends, ascending. The first phase is busy. */
  #changesMs: readonly number[] = [];
  #isStarted = false;

  constructor(clock: Clock, random: SimulationRandom) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Determines the phases of the next `lengthMs` milliseconds of virtual time. */
  start(lengthMs: number): void {
    const random = this.#random;
    const endMs = this.#clock.monotonicMs() + lengthMs;
    const changes: number[] = [];
    for (let atMs = endMs - lengthMs; atMs < endMs; ) {
      const busy = changes.length === 0 ? FIRST_BUSY_MS : BUSY_MS;
      const { min, max } = changes.length % 2 === 0 ? busy : QUIET_MS;
      atMs += random.uniform(min, max);
      changes.push(atMs);
    }
    const kept = changes.filter((atMs) => atMs < endMs - LAST_BUSY_MS);
    const isBusyAtEnd = kept.length % 2 === 0;
    this.#changesMs = isBusyAtEnd ? kept : [...kept, endMs - LAST_BUSY_MS];
    this.#isStarted = true;
  }

  get isBusy(): boolean {
    return this.#passedCount % 2 === 0;
  }

  /**
   * Sleeps for a random time of the current phase. The next busy phase ends a quiet pause early.
   */
  async pause(clock: Clock, random: SimulationRandom, { busy, quiet }: PauseRanges): Promise<void> {
    const { min, max } = this.isBusy ? busy : quiet;
    const pauseMs = random.logUniform(min, max);
    const isQuiet = this.#isStarted && !this.isBusy;
    const nextBusyMs = isQuiet
      ? (this.#changesMs[this.#passedCount] ?? Number.POSITIVE_INFINITY)
      : Number.POSITIVE_INFINITY;
    const busyPauseMs = random.logUniform(busy.min, busy.max);
    const untilBusyMs = nextBusyMs - this.#clock.monotonicMs() + busyPauseMs;
    await clock.sleep(Math.min(pauseMs, untilBusyMs));
  }

  /** The number of phases that have ended. */
  get #passedCount(): number {
    const nowMs = this.#clock.monotonicMs();
    let count = 0;
    for (const atMs of this.#changesMs) if (atMs <= nowMs) count += 1;
    return count;
  }
}
