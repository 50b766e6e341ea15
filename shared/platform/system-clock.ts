import { performance } from "node:perf_hooks";
import { nextTick } from "node:process";
import { assert } from "../base/assert.ts";
import { sleepOn } from "../flow/sleep.ts";
import type { Clock, Timer } from "../ports/clock.ts";

/** Longest delay of setTimeout, which fires immediately for a longer delay. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** The clock of the machine. */
export class SystemClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, durationMs, signal);
  }

  after(durationMs: number, task: () => void): Timer {
    assert(durationMs >= 0, "a duration is not negative");
    if (durationMs > TIMEOUT_MS_MAX) return afterLong(durationMs, task);
    const timeout = setTimeout(task, durationMs);
    return { cancel: () => clearTimeout(timeout) };
  }

  yieldTurn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  afterReactions(task: () => void): void {
    // A tick that is queued by another tick runs before the reactions. One that is queued by a reaction
    // runs when none is left.
    queueMicrotask(() => nextTick(task));
  }
}

/** Waits in several timeouts of at most TIMEOUT_MS_MAX. Never fires for an infinite duration. */
function afterLong(durationMs: number, task: () => void): Timer {
  let remainingMs = durationMs;
  let timeout: NodeJS.Timeout;
  const waitOn = (): void => {
    const pieceMs = Math.min(remainingMs, TIMEOUT_MS_MAX);
    remainingMs -= pieceMs;
    timeout = setTimeout(remainingMs > 0 ? waitOn : task, pieceMs);
  };
  waitOn();
  return { cancel: () => clearTimeout(timeout) };
}
