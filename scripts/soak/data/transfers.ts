import type { Journal } from "../journal.ts";

/** Longest time until the first byte: a write may wait for the memory of the servers. */
const BEGIN_MS_MAX = 60_000;
const CHECK_MS = 250;
/** A longer interval between two checks is time in which this process did not run. */
const CHECK_MS_MAX = 500;

/** One write or read in progress. */
export class Transfer {
  readonly name: string;
  /** Time of the last progress, in milliseconds of the watch. */
  progressMs: number;
  bytes = 0;
  isReported = false;
  readonly #watch: Transfers;

  constructor(watch: Transfers, name: string) {
    this.#watch = watch;
    this.name = name;
    this.progressMs = watch.nowMs;
  }

  /** Notes that `bytes` have been transferred in all. */
  progress(bytes: number): void {
    if (bytes === this.bytes) return;
    this.bytes = bytes;
    this.progressMs = this.#watch.nowMs;
  }

  /** Notes that the caller itself has paused until now. */
  resume(): void {
    this.progressMs = this.#watch.nowMs;
  }

  end(): void {
    this.#watch.remove(this);
  }
}

/**
 * Watches the progress of all transfers. A transfer without progress is a violation, unless a fault
 * explains it.
 */
export class Transfers {
  readonly #journal: Journal;
  readonly #stallMsMax: number;
  readonly #active = new Set<Transfer>();
  readonly #timer: NodeJS.Timeout;
  #nowMs = 0;
  #lastCheckMs = performance.now();
  #faultCount = 0;
  /** Time of the watch when the last fault ended. */
  #faultEndMs = 0;
  stallMsMax = 0;
  beginMsMax = 0;

  /** @param stallMsMax longest time without progress while no server is down */
  constructor(journal: Journal, stallMsMax: number) {
    this.#journal = journal;
    this.#stallMsMax = stallMsMax;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
  }

  /** Time in milliseconds in which this process has run. */
  get nowMs(): number {
    return this.#nowMs;
  }

  begin(name: string): Transfer {
    const transfer = new Transfer(this, name);
    this.#active.add(transfer);
    return transfer;
  }

  remove(transfer: Transfer): void {
    this.#active.delete(transfer);
  }

  /** Runs a fault. Transfers may pause until it has ended. */
  async during<Result>(fault: () => Promise<Result>): Promise<Result> {
    this.#faultCount += 1;
    try {
      return await fault();
    } finally {
      this.#faultCount -= 1;
      this.#faultEndMs = this.#nowMs;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const nowMs = performance.now();
    this.#nowMs += Math.min(CHECK_MS_MAX, nowMs - this.#lastCheckMs);
    this.#lastCheckMs = nowMs;
    if (this.#faultCount > 0) return;
    for (const transfer of this.#active) this.#checkOne(transfer);
  }

  #checkOne(transfer: Transfer): void {
    const idleMs = this.#nowMs - Math.max(transfer.progressMs, this.#faultEndMs);
    const hasBegun = transfer.bytes > 0;
    if (hasBegun) this.stallMsMax = Math.max(this.stallMsMax, idleMs);
    else this.beginMsMax = Math.max(this.beginMsMax, idleMs);
    if (idleMs <= (hasBegun ? this.#stallMsMax : BEGIN_MS_MAX) || transfer.isReported) return;
    transfer.isReported = true;
    const { name, bytes } = transfer;
    this.#journal.violation(`${name}: no progress for ${Math.round(idleMs)} ms, at ${bytes} bytes`);
  }
}
