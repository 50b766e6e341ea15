/** The only source of time. `main.ts` passes the real clock, tests a simulated one. */
export interface Clock {
  /** Milliseconds since an arbitrary start. Never decreases. For timeouts and durations. */
  monotonicMs(): number;
  /**
   * Milliseconds since the Unix epoch. May jump in either direction. Only for times that people
   * read.
   */
  wallMs(): number;
  /** Resolves after `durationMs`. Rejects with the signal's reason if `signal` aborts first. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
  /** Calls `task` once after `durationMs`, unless the returned timer is cancelled first. Cheap. */
  after(durationMs: number, task: () => void): Timer;
  /** Resolves after the I/O and tasks that are already queued have run. For long computations. */
  yieldTurn(): Promise<void>;
  /**
   * Calls `task` once when no promise reaction is left: after those that are queued and all that they
   * queue. It is still the same turn of the event loop, without I/O and timers in between.
   */
  afterReactions(task: () => void): void;
}

/** A pending task of `Clock.after`. */
export interface Timer {
  /** Cancels the task. Has no effect if the task has run. */
  cancel(): void;
}
