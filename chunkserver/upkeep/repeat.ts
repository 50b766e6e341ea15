import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";

/** Dependencies of `repeat`. */
export interface RepeatDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Schedule of a repeated task. */
export interface RepeatOptions {
  /** Name of the task in log lines: "Scrub". */
  readonly name: string;
  /**
   * Returns the delay from the end of one run to the start of the next, in milliseconds. `repeat`
   * varies the delay by up to 10 % in both directions.
   */
  readonly intervalMs: () => number;
  readonly signal: AbortSignal;
}

const RETRY = { delayMsMin: 200, delayMsMax: 5_000 };

/**
 * Runs `task` repeatedly until the signal aborts. After an AshlarError the task is retried with a
 * jittered delay of at most 5 s. Any other error is a bug: the returned promise rejects with it.
 */
export async function repeat(
  deps: RepeatDeps,
  options: RepeatOptions,
  task: () => Promise<void>,
): Promise<void> {
  const { clock, random, log } = deps;
  const { signal, name } = options;
  let failures = 0;
  while (!signal.aborted) {
    let delayMs: number;
    try {
      await task();
      delayMs = options.intervalMs() * (0.9 + random.fraction() * 0.2);
      if (failures > 0) log.info(`${name} works again`, { failures });
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!isAshlarError(error)) throw error;
      failures += 1;
      delayMs = nextDelayMs(failures, RETRY, random.fraction());
      // Log failures 1, 2, 4, 8, …: a cluster without a leader must not fill the log.
      if ((failures & (failures - 1)) === 0) {
        log.warn(`${name} failed`, { failures, ...factsOf(error) });
      }
    }
    await pause(clock, delayMs, signal);
  }
}

function factsOf({ code, message: reason, hint }: AshlarError): Record<string, string> {
  return hint === undefined ? { code, reason } : { code, reason, hint };
}

/** Resolves after `durationMs`, or when the signal aborts. */
export async function pause(clock: Clock, durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(durationMs, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
