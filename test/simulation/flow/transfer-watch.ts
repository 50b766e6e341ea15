import type { VirtualClock } from "../../support/virtual-clock.ts";
import { Violation } from "../cluster/violation.ts";

/** Longest time without progress of a transfer that has begun, while nothing hinders it. */
const STALL_MS_MAX = 20_000;
/** Longest time until the first byte: a write waits for the memory of its servers. */
const BEGIN_MS_MAX = 120_000;

/** A write or read in progress. */
export interface Transfer {
  /** The client of the transfer. */
  readonly host: string;
  readonly text: string;
  bytes: number;
  progressMs: number;
  /** Whether its own caller pauses. */
  isPaused: boolean;
}

/** Finds transfers that could move and do not. */
export class TransferWatch {
  readonly #clock: VirtualClock;
  readonly #active = new Set<Transfer>();
  /** The last time at which a fault could hinder a transfer. */
  #hinderedMs = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  begin(host: string, text: string): Transfer {
    const transfer = {
      host,
      text,
      bytes: 0,
      progressMs: this.#clock.monotonicMs(),
      isPaused: false,
    };
    this.#active.add(transfer);
    return transfer;
  }

  progress(transfer: Transfer, bytes: number): void {
    transfer.bytes = bytes;
    transfer.progressMs = this.#clock.monotonicMs();
  }

  end(transfer: Transfer): void {
    this.#active.delete(transfer);
  }

  /** Ends all transfers of a client that was killed. */
  endAllOf(host: string): void {
    for (const transfer of this.#active) if (transfer.host === host) this.#active.delete(transfer);
  }

  /** Notes that a fault hinders transfers now. */
  noteFault(): void {
    this.#hinderedMs = this.#clock.monotonicMs();
  }

  /** @throws {Violation} with the first transfer that has not moved for too long */
  check(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const { text, bytes, progressMs, isPaused } of this.#active) {
      if (isPaused) continue;
      const idleMs = nowMs - Math.max(progressMs, this.#hinderedMs);
      if (idleMs <= (bytes > 0 ? STALL_MS_MAX : BEGIN_MS_MAX)) continue;
      throw new Violation(`${text} has not moved for ${Math.round(idleMs)} ms, at ${bytes} bytes`);
    }
  }
}
