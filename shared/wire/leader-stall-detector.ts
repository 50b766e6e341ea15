import type { Clock, Timer } from "../ports/clock.ts";

export interface LeaderStallOptions {
  readonly clock: Clock;
  /** A leader that owes answers and gives none for so long is in doubt. */
  readonly afterMs: number;
  /** Called while there is doubt, one at a time. Never rejects. */
  readonly suspect: (address: string) => Promise<void>;
}

/**
 * Watches over the answers of a leader.
 *
 * A leader whose process stands still keeps its connections: the system takes bytes for it, and
 * nothing fails. Meanwhile the others elect another one. Time-outs of calls must be long, for a
 * leader that has much to do; so the others are asked long before.
 */
export class LeaderStallDetector {
  readonly #options: LeaderStallOptions;
  #address: string | null = null;
  #inFlight = 0;
  /** Since when nothing was heard although something was asked. */
  #silentSinceMs = 0;
  /** Of the next look. Stays while others are asked: there is one watch at a time. Null: no watch. */
  #timer: Timer | null = null;

  constructor(options: LeaderStallOptions) {
    this.#options = options;
  }

  /** A call was sent to `address`. */
  asked(address: string): void {
    if (address !== this.#address) {
      this.#address = address;
      this.#inFlight = 0;
    }
    if (this.#inFlight === 0) this.#silentSinceMs = this.#options.clock.monotonicMs();
    this.#inFlight += 1;
    if (this.#timer === null) this.#watch();
  }

  /** A call to `address` has ended, with an answer or without. */
  heard(address: string): void {
    if (address !== this.#address || this.#inFlight === 0) return;
    this.#inFlight -= 1;
    this.#silentSinceMs = this.#options.clock.monotonicMs();
  }

  #watch(): void {
    const { clock, afterMs } = this.#options;
    this.#timer = clock.after(afterMs / 2, () => this.#check());
  }

  #check(): void {
    const { clock, afterMs, suspect } = this.#options;
    const address = this.#address;
    if (this.#inFlight === 0 || address === null) {
      this.#timer = null;
      return;
    }
    if (clock.monotonicMs() - this.#silentSinceMs < afterMs) {
      this.#watch();
      return;
    }
    suspect(address).then(
      () => this.#watch(),
      () => this.#watch(),
    );
  }
}
