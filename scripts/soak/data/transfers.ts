import type { Journal } from "../journal.ts";
import { describeStalled, type Transfer, TransferWatch } from "./transfer-watch.ts";

/** Longest time until the first byte. */
const BEGIN_MS_MAX = 60_000;
const CHECK_MS = 250;
/** A longer interval between two checks is time in which this process did not run. */
const CHECK_MS_MAX = 500;

/**
 * Watches the progress of all transfers of this process. A transfer without progress is a violation, unless a
 * fault explains it.
 */
export class Transfers {
  readonly #journal: Journal;
  readonly #watch: TransferWatch;
  readonly #timer: NodeJS.Timeout;
  /** Time in milliseconds in which this process has run. */
  nowMs = 0;
  #lastCheckMs = performance.now();
  #faultCount = 0;

  /** @param stallMsMax longest time without progress while no server is down */
  constructor(journal: Journal, stallMsMax: number) {
    this.#journal = journal;
    this.#watch = new TransferWatch({ stallMsMax, beginMsMax: BEGIN_MS_MAX }, this);
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
  }

  get stallMsMax(): number {
    return this.#watch.stallMsMax;
  }

  get beginMsMax(): number {
    return this.#watch.beginMsMax;
  }

  begin(name: string): Transfer {
    return this.#watch.begin("", name);
  }

  /** Runs a fault. Transfers may pause until it has ended. */
  async during<Result>(fault: () => Promise<Result>): Promise<Result> {
    this.#faultCount += 1;
    try {
      return await fault();
    } finally {
      this.#faultCount -= 1;
      this.#watch.noteFault();
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const nowMs = performance.now();
    this.nowMs += Math.min(CHECK_MS_MAX, nowMs - this.#lastCheckMs);
    this.#lastCheckMs = nowMs;
    if (this.#faultCount > 0) return;
    for (const each of this.#watch.stalled()) this.#journal.violation(describeStalled(each));
  }
}
