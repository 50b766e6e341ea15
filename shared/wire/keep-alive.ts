import type { Clock, Timer } from "../ports/clock.ts";

/** Options of `KeepAlive`. */
export interface KeepAliveOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  /** Sends a ping. */
  readonly ping: () => void;
  /** The peer sent no bytes, or accepted no bytes, for too long. Called once. */
  readonly onDead: (reason: string) => void;
  /** Returns whether reading is paused. If so, the absence of received bytes proves nothing. */
  readonly isReadingPaused: () => boolean;
  /**
   * Returns a number that changes with every finished write, or null while no write is in progress.
   */
  readonly writeProgress: () => number | null;
  /**
   * The connection is closed after this long without a finished write, while one is in progress.
   */
  readonly stallTimeoutMs: number;
}

/**
 * Detects a peer that is gone without closing the connection: its machine lost power, or a firewall
 * dropped the connection's state. A silent peer is pinged after one interval and counts as dead
 * after two more.
 */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #timer: Timer | null = null;
  #lastReceivedMs: number;
  #hasReceived = false;
  #silentIntervals = 0;
  #writeProgress: number | null = null;
  #progressMs: number;
  #isStopped = false;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#lastReceivedMs = options.clock.monotonicMs();
    this.#progressMs = this.#lastReceivedMs;
    this.#wait();
  }

  /** Bytes arrived from the peer. */
  onBytes(): void {
    this.#hasReceived = true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #wait(): void {
    const { clock, intervalMs } = this.#options;
    this.#timer = clock.after(intervalMs, () => {
      // The common case needs no wait.
      if (this.#hasReceived) {
        this.#check();
        return;
      }
      // Read the bytes that the system has buffered first: after a stall of this process, timers
      // run before I/O. Do not mistake a local stall for silence of the peer. `yieldTurn` does not
      // reject.
      clock.yieldTurn().then(
        () => this.#check(),
        () => {},
      );
    });
  }

  #check(): void {
    if (this.#isStopped) return;
    const { clock, ping, onDead, isReadingPaused, stallTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#stalledMs(nowMs) >= stallTimeoutMs) {
      onDead(`it has accepted no bytes for ${Math.round(this.#stalledMs(nowMs))} ms`);
      return;
    }
    if (this.#hasReceived || isReadingPaused()) {
      this.#hasReceived = false;
      this.#lastReceivedMs = nowMs;
      this.#silentIntervals = 0;
    } else {
      this.#silentIntervals += 1;
    }
    if (this.#silentIntervals >= 3) {
      onDead(`it has sent no bytes for ${Math.round(nowMs - this.#lastReceivedMs)} ms`);
      return;
    }
    if (this.#silentIntervals > 0) ping();
    this.#wait();
  }

  #stalledMs(nowMs: number): number {
    const progress = this.#options.writeProgress();
    if (progress === null || progress !== this.#writeProgress) this.#progressMs = nowMs;
    this.#writeProgress = progress;
    return nowMs - this.#progressMs;
  }
}
