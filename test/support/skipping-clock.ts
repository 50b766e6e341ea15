import { SystemClock } from "../../shared/platform/system-clock.ts";

/**
 * The system clock with a monotonic time that a test moves forward. Pending timers keep the time
 * that they have left, as if they were late.
 */
export class SkippingClock extends SystemClock {
  #skippedMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.#skippedMs;
  }

  /** Moves the monotonic time forward. */
  skip(durationMs: number): void {
    this.#skippedMs += durationMs;
  }
}
