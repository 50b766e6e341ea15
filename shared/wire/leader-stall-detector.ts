import type { Clock, Timer } from "../ports/clock.ts";

/** Options of `LeaderStallDetector`. */
export interface LeaderStallOptions {
  readonly clock: Clock;
  /** A leader with pending requests counts as stalled after this long without a reply. */
  readonly stallTimeoutMs: number;
  /**
   * Called repeatedly while the leader at `address` is stalled, one call at a time. Never rejects.
   */
  readonly onStalled: (address: string) => Promise<void>;
}

/**
 * Detects a leader that does not reply.
 *
 * A paused process keeps its connections: its system accepts bytes, and no call fails.
 * Meanwhile the other masters elect another leader. Timeouts of calls must be long enough for a
 * busy leader, so the other masters are queried for the leader well before a call times out.
 */
export class LeaderStallDetector {
  readonly #options: LeaderStallOptions;
  #address: string | null = null;
  #inFlight = 0;
  /** Start of the current period with pending requests and without a reply. */
  #silentSinceMs = 0;
  /** Timer of the next check; it also stays set during `onStalled`. Null: no check is scheduled. */
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(options: LeaderStallOptions) {
    this.#options = options;
  }

  /** A call was sent to `address`. */
  onRequest(address: string): void {
    if (address !== this.#address) {
      this.#address = address;
      this.#inFlight = 0;
    }
    if (this.#inFlight === 0) this.#silentSinceMs = this.#options.clock.monotonicMs();
    this.#inFlight += 1;
    if (this.#timer === null) this.#watch();
  }

  /** A call to `address` has ended, with a reply or an error. */
  onReply(address: string): void {
    if (address !== this.#address || this.#inFlight === 0) return;
    this.#inFlight -= 1;
    this.#silentSinceMs = this.#options.clock.monotonicMs();
  }

  /** Stops the checks permanently. A pending timer would keep the process alive until it fires. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #watch(): void {
    if (this.#isStopped) return;
    const { clock, stallTimeoutMs } = this.#options;
    this.#timer = clock.after(stallTimeoutMs / 2, () => this.#check());
  }

  #check(): void {
    const { clock, stallTimeoutMs, onStalled } = this.#options;
    const address = this.#address;
    if (this.#inFlight === 0 || address === null) {
      this.#timer = null;
      return;
    }
    if (clock.monotonicMs() - this.#silentSinceMs < stallTimeoutMs) {
      this.#watch();
      return;
    }
    onStalled(address).then(
      () => this.#watch(),
      () => this.#watch(),
    );
  }
}
