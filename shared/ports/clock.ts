/** The only source of time. Real in `main.ts`, simulated in tests. */
export interface Clock {
  /** Milliseconds since an arbitrary start. Never goes back. For timeouts and durations. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch. May jump either way. Only for what a person reads. */
  wallMs(): number;
  /** Resolves after `durationMs`. Rejects with the signal's reason if `signal` aborts first. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
  /** Calls `task` once after `durationMs`, unless the returned timer is cancelled before. Cheap. */
  after(durationMs: number, task: () => void): Timer;
  /** Resolves after what is already queued (I/O, other tasks) had its turn: for long computations. */
  yieldTurn(): Promise<void>;
}

export interface Timer {
  /** Does nothing if the task has run. */
  cancel(): void;
}
