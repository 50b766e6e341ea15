import { assert } from "../base/assert.ts";

/** How long to wait between attempts. */
export interface RetryPolicy {
  /** Upper bound of the first delay. */
  readonly delayMsMin: number;
  /** Upper bound of every delay. */
  readonly delayMsMax: number;
}

/**
 * The delay before the next attempt, after `attempt` failed ones (at least 1). The bound doubles
 * with every attempt; `fraction` in [0, 1) picks a place in its upper half, so that callers that
 * failed together do not come back together and none comes back at once.
 */
export function nextDelayMs(attempt: number, policy: RetryPolicy, fraction: number): number {
  assert(attempt >= 1, "a delay follows a failed attempt");
  assert(fraction >= 0 && fraction < 1, "a fraction is in [0, 1)");
  const boundMs = Math.min(policy.delayMsMax, policy.delayMsMin * 2 ** Math.min(attempt - 1, 30));
  return boundMs * (0.5 + fraction / 2);
}
