import { isAshlarError } from "../../shared/base/errors.ts";
import { nextDelayMs } from "../../shared/flow/retry.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Random } from "../../shared/ports/random.ts";

export interface RepeatWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface RepeatOptions {
  /** What is done, for the log: "Scrub". */
  readonly what: string;
  /** Between the end of one run and the next one's beginning, give or take a tenth. */
  readonly intervalMs: () => number;
  readonly signal: AbortSignal;
}

const RETRY = { delayMsMin: 200, delayMsMax: 5_000 };

/**
 * Runs `task` again and again until the signal aborts. A failure of the world is logged and tried
 * again after a jittered delay, at most 5 s; a bug ends the loop: the returned promise rejects.
 */
export async function repeat(
  world: RepeatWorld,
  options: RepeatOptions,
  task: () => Promise<void>,
): Promise<void> {
  const { clock, random, log } = world;
  const { signal, what } = options;
  let failures = 0;
  while (!signal.aborted) {
    let delayMs: number;
    try {
      await task();
      delayMs = options.intervalMs() * (0.9 + random.fraction() * 0.2);
      if (failures > 0) log.info(`${what} works again`, { failures });
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!isAshlarError(error)) throw error;
      failures += 1;
      delayMs = nextDelayMs(failures, RETRY, random.fraction());
      // The first one, then ever more seldom: a cluster without leader must not fill the log.
      if ((failures & (failures - 1)) === 0) {
        log.warn(`${what} failed`, { failures, code: error.code, reason: error.message });
      }
    }
    await pause(clock, delayMs, signal);
  }
}

/** Sleeps until the time is over or the signal aborts, whatever comes first. */
export async function pause(clock: Clock, durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(durationMs, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
