import type { Clock, Timer } from "../ports/clock.ts";

export interface KeepAliveOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly ping: () => void;
  /** The peer was not heard of for too long, or took nothing of what it was sent. */
  readonly onDead: (reason: string) => void;
  /** This end does not read at the moment: silence proves nothing. */
  readonly isExcused: () => boolean;
  /** Changes with every write that is done; null while nothing is being written. */
  readonly writeProgress: () => number | null;
  /** A peer that takes no bytes for so long is as good as gone. */
  readonly stallTimeoutMs: number;
}

/**
 * Finds out that the peer is gone although nobody said so: its machine lost power, or a firewall
 * forgot the connection. A silent peer is pinged after one interval and given up after two more.
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

  /** Bytes came from the peer. */
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
      // Most often there is nothing to wait for.
      if (this.#hasReceived) {
        this.#check();
        return;
      }
      // What the system holds for us is read first: after a stall of our own, timers come before I/O.
      // It does not reject.
      clock.yieldTurn().then(
        () => this.#check(),
        () => {},
      );
    });
  }

  #check(): void {
    if (this.#isStopped) return;
    const { clock, ping, onDead, isExcused, stallTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#stalledMs(nowMs) >= stallTimeoutMs) {
      onDead(`it has taken no bytes for ${Math.round(this.#stalledMs(nowMs))} ms`);
      return;
    }
    if (this.#hasReceived || isExcused()) {
      this.#hasReceived = false;
      this.#lastReceivedMs = nowMs;
      this.#silentIntervals = 0;
    } else {
      this.#silentIntervals += 1;
    }
    if (this.#silentIntervals >= 3) {
      onDead(`it has been silent for ${Math.round(nowMs - this.#lastReceivedMs)} ms`);
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
