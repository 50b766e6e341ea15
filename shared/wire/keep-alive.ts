import type { Clock, Timer } from "../ports/clock.ts";

export interface KeepAliveOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly ping: () => void;
  /** The peer has not been heard of for too long. */
  readonly onSilent: (silentMs: number) => void;
  /** This end does not read at the moment: silence proves nothing. */
  readonly isExcused: () => boolean;
}

/**
 * Finds out that the peer is gone although nobody said so: its machine lost power, or a firewall
 * forgot the connection. A silent peer is pinged after one interval and given up after two more.
 */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #timer: Timer | null = null;
  #heardMs: number;
  #hasHeard = false;
  #silentIntervals = 0;
  #isStopped = false;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#heardMs = options.clock.monotonicMs();
    this.#wait();
  }

  /** Bytes came from the peer. */
  heard(): void {
    this.#hasHeard = true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #wait(): void {
    const { clock, intervalMs } = this.#options;
    this.#timer = clock.after(intervalMs, () => {
      // What the system holds for us is read first: after a stall of our own, timers come before I/O.
      clock.yieldTurn().then(() => this.#judge(), this.#options.onSilent);
    });
  }

  #judge(): void {
    if (this.#isStopped) return;
    const { clock, ping, onSilent, isExcused } = this.#options;
    if (this.#hasHeard || isExcused()) {
      this.#hasHeard = false;
      this.#heardMs = clock.monotonicMs();
      this.#silentIntervals = 0;
    } else {
      this.#silentIntervals += 1;
    }
    if (this.#silentIntervals >= 3) {
      onSilent(clock.monotonicMs() - this.#heardMs);
      return;
    }
    if (this.#silentIntervals > 0) ping();
    this.#wait();
  }
}
