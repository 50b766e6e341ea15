import { AssertionError } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { Env } from "../../shared/ports/env.ts";

/**
 * Runs `step` again and again, each time after a pause. Resolves when `signal` aborts. A step that
 * fails is logged, and the next one follows.
 *
 * @throws {AssertionError} of a step: a bug, so the process stops
 */
export async function repeatStep(
  step: () => Promise<void>,
  options: {
    readonly env: Pick<Env, "clock" | "log">;
    /** Returns the pause before the next step, in milliseconds. */
    readonly pauseMs: () => number;
    readonly signal: AbortSignal;
    /** Names the step in the log: "A comparison of the states". */
    readonly name: string;
  },
): Promise<void> {
  const { env, pauseMs, signal, name } = options;
  while (!signal.aborted) {
    try {
      await env.clock.sleep(pauseMs(), signal);
      await step();
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      if (signal.aborted) return;
      // Losing leadership during a step is normal: the next leader continues the work.
      const isExpected = isAshlarError(error) && error.retry !== "never";
      if (isExpected) env.log.info(`${name} was interrupted`, { error });
      else env.log.error(`${name} failed`, { error });
    }
  }
}
