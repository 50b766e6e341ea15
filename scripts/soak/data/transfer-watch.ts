/** Longest times without progress while no fault explains them, in milliseconds. */
export interface TransferLimits {
  /** Of a transfer that has begun. */
  readonly stallMsMax: number;
  /** Until the first byte: a write may wait for the memory of the servers. */
  readonly beginMsMax: number;
}

/** A transfer that has not moved for too long. */
export interface StalledTransfer {
  readonly transfer: Transfer;
  readonly idleMs: number;
}

/** One write or read in progress. */
export class Transfer {
  /** The process of the transfer. Empty if there is one process. */
  readonly owner: string;
  readonly name: string;
  /** Time of the last progress, in milliseconds of the watch. */
  progressMs: number;
  bytes = 0;
  /** Whether the caller itself pauses. */
  isPaused = false;
  /** Whether `stalled` has returned it. */
  isReported = false;
  readonly #watch: TransferWatch;

  constructor(watch: TransferWatch, owner: string, name: string) {
    this.#watch = watch;
    this.owner = owner;
    this.name = name;
    this.progressMs = watch.nowMs;
  }

  /** Notes that `bytes` have been transferred in all. */
  progress(bytes: number): void {
    if (bytes === this.bytes) return;
    this.bytes = bytes;
    this.progressMs = this.#watch.nowMs;
  }

  /** Runs a pause of the caller itself. */
  async pause(sleep: () => Promise<unknown>): Promise<void> {
    this.isPaused = true;
    await sleep();
    this.isPaused = false;
    this.progressMs = this.#watch.nowMs;
  }

  end(): void {
    this.#watch.remove(this);
  }
}

/** Finds transfers that could move and do not. */
export class TransferWatch {
  readonly #limits: TransferLimits;
  readonly #clock: { readonly nowMs: number };
  readonly #active = new Set<Transfer>();
  /** The last time at which a fault could hinder a transfer. */
  #hinderedMs = 0;
  /** Longest time without progress of a transfer that had begun. */
  stallMsMax = 0;
  /** Longest time until the first byte. */
  beginMsMax = 0;

  constructor(limits: TransferLimits, clock: { readonly nowMs: number }) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.nowMs;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  begin(owner: string, name: string): Transfer {
    const transfer = new Transfer(this, owner, name);
    this.#active.add(transfer);
    return transfer;
  }

  /** Used by `Transfer.end`. */
  remove(transfer: Transfer): void {
    this.#active.delete(transfer);
  }

  /** Ends all transfers of a process that was killed. */
  endAllOf(owner: string): void {
    for (const transfer of this.#active) if (transfer.owner === owner) this.remove(transfer);
  }

  /** Notes that a fault hinders transfers until now. */
  noteFault(): void {
    this.#hinderedMs = this.nowMs;
  }

  /** Returns the transfers that have not moved for too long, each one once. */
  stalled(): readonly StalledTransfer[] {
    const stalled: StalledTransfer[] = [];
    for (const transfer of this.#active) {
      if (transfer.isPaused) continue;
      const idleMs = this.nowMs - Math.max(transfer.progressMs, this.#hinderedMs);
      const hasBegun = transfer.bytes > 0;
      if (hasBegun) this.stallMsMax = Math.max(this.stallMsMax, idleMs);
      else this.beginMsMax = Math.max(this.beginMsMax, idleMs);
      const limitMs = hasBegun ? this.#limits.stallMsMax : this.#limits.beginMsMax;
      if (idleMs <= limitMs || transfer.isReported) continue;
      transfer.isReported = true;
      stalled.push({ transfer, idleMs });
    }
    return stalled;
  }
}

/** Describes a transfer that has not moved. */
export function describeStalled({ transfer, idleMs }: StalledTransfer): string {
  return `${transfer.name}: no progress for ${Math.round(idleMs)} ms, at ${transfer.bytes} bytes`;
}
