import { assert } from "../../shared/base/assert.ts";
import { sleepOn } from "../../shared/flow/sleep.ts";
import type { Clock, Timer } from "../../shared/ports/clock.ts";

/** Options of `ProcessClock`. */
export interface ProcessClockOptions {
  /** Rate of the clock relative to the base clock: 1.01 is 1 % fast. Default 1. */
  readonly rate?: number;
  /** Offset of the wall clock of the process. Default 0. */
  readonly wallOffsetMs?: number;
  /** Called before every task of the process. */
  readonly onRun?: () => void;
}

/**
 * The clock of one simulated process, based on the clock of the simulation. The clock drifts, its
 * wall clock can jump, and the process can be paused (SIGSTOP) and killed. A simulated process
 * waits only on this clock. So a killed process never runs again, and a process can be killed at
 * any `await`.
 */
export class ProcessClock implements Clock {
  readonly #base: Clock;
  readonly #rate: number;
  readonly #onRun: () => void;
  #wallOffsetMs: number;
  #state: "running" | "frozen" | "dead" = "running";
  /** Tasks that became due while the process was paused, in order. */
  #late: Array<() => void> = [];

  constructor(base: Clock, options: ProcessClockOptions = {}) {
    const { rate = 1, wallOffsetMs = 0, onRun = () => {} } = options;
    assert(rate > 0, "the rate of a clock is positive");
    this.#base = base;
    this.#rate = rate;
    this.#onRun = onRun;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get isFrozen(): boolean {
    return this.#state === "frozen";
  }

  monotonicMs(): number {
    return this.#base.monotonicMs() * this.#rate;
  }

  wallMs(): number {
    const driftMs = this.#base.monotonicMs() * (this.#rate - 1);
    return Math.floor(this.#base.wallMs() + driftMs + this.#wallOffsetMs);
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
    const timer = this.#base.after(durationMs / this.#rate, () => this.#enter(run));
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

  afterReactions(task: () => void): void {
    this.#base.afterReactions(() => this.#enter(task));
  }

  /** Changes the wall clock, as an administrator or a time server does. */
  jumpWall(differenceMs: number): void {
    this.#wallOffsetMs += differenceMs;
  }

  /** Pauses the process (SIGSTOP). Tasks that become due wait for `thaw`. */
  freeze(): void {
    if (this.#state === "running") this.#state = "frozen";
  }

  /** Resumes the process (SIGCONT) and runs the tasks that are due. */
  thaw(): void {
    if (this.#state !== "frozen") return;
    this.#state = "running";
    const late = this.#late;
    this.#late = [];
    for (const task of late) this.#base.after(0, () => this.#enter(task));
  }

  /** Kills the process: no task of the process runs after this call. */
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
