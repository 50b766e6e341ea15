import { assert } from "../../shared/base/assert.ts";
import { sleepOn } from "../../shared/flow/sleep.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";

export interface ProcessClockOptions {
  /** How fast this process's time runs: 1.01 gains 1 %. Default 1. */
  readonly rate?: number;
  /** What its calendar is ahead, in milliseconds. Default 0. */
  readonly wallOffsetMs?: number;
  /** Called before anything runs in the process. */
  readonly onRun?: () => void;
}

/**
 * The time of one process on the clock of a simulated world: it drifts, its calendar jumps, it can
 * be stopped for a while (SIGSTOP) and it can die. All that a simulated process waits for comes
 * through it, so a process that is dead never does anything again: it can die at any `await`.
 */
export class ProcessClock implements Clock {
  readonly #world: Clock;
  readonly #rate: number;
  readonly #onRun: () => void;
  #wallOffsetMs: number;
  #state: "running" | "frozen" | "dead" = "running";
  /** What fell due while the process was stopped, in order. */
  #late: Array<() => void> = [];

  constructor(world: Clock, options: ProcessClockOptions = {}) {
    const { rate = 1, wallOffsetMs = 0, onRun = () => {} } = options;
    assert(rate > 0, "time passes");
    this.#world = world;
    this.#rate = rate;
    this.#onRun = onRun;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get isFrozen(): boolean {
    return this.#state === "frozen";
  }

  monotonicMs(): number {
    return this.#world.monotonicMs() * this.#rate;
  }

  wallMs(): number {
    const driftMs = this.#world.monotonicMs() * (this.#rate - 1);
    return Math.floor(this.#world.wallMs() + driftMs + this.#wallOffsetMs);
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, durationMs, signal);
  }

  after(durationMs: number, task: () => void): Timer {
    assert(durationMs >= 0, "a duration is not negative");
    let isCancelled = false;
    const run = (): void => {
      if (!isCancelled) task();
    };
    const timer = this.#world.after(durationMs / this.#rate, () => this.#enter(run));
    return {
      cancel: () => {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  yieldTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.after(0, resolve);
    });
  }

  /** The calendar is set, by a person or a time server. */
  jumpWall(differenceMs: number): void {
    this.#wallOffsetMs += differenceMs;
  }

  /** The process stands still; what falls due waits for `thaw`. */
  freeze(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  thaw(): void {
    if (this.#state !== "frozen") return;
    this.#state = "running";
    const late = this.#late;
    this.#late = [];
    for (const task of late) this.#world.after(0, () => this.#enter(task));
  }

  /** Nothing of this process runs any more. */
  kill(): void {
    this.#state = "dead";
    this.#late = [];
  }

  #enter(task: () => void): void {
    if (this.#state === "running") {
      this.#onRun();
      task();
    } else if (this.#state === "frozen") this.#late.push(task);
  }
}
