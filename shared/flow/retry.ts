import { assert } from "../base/assert.ts";

/** Bounds of the delays between attempts. */
export interface RetryPolicy {
  /** Upper bound of the first delay. */
  readonly delayMsMin: number;
  /** Upper bound of every delay. */
  readonly delayMsMax: number;
}

/**
 * Returns the delay before the next attempt, after `attempt` failed ones (at least 1).
 *
 * The bound doubles with every attempt. `fraction` in [0, 1) selects a delay in the upper half of
 * the bound: callers that failed at the same time do not retry at the same time, and no caller
 * retries immediately.
 */
export function nextDelayMs(attempt: number, policy: RetryPolicy, fraction: number): number {
  assert(attempt >= 1, "a delay follows a failed attempt");
  assert(fraction >= 0 && fraction < 1, "a fraction is in [0, 1)");
  const boundMs = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** Math.min(attempt - 1, 30));
  return boundMs * (0.5 + fraction / 2);
}
