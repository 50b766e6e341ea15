import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/**
 * What becomes of the snapshot that was received and offered to the core: the core accepts it in
 * the turn in which it hears of it, or never.
 */
export class SnapshotOffers {
  #offered: {
    readonly index: LogIndex;
    readonly resolve: (isTaken: boolean) => void;
    isAccepted: boolean;
  } | null = null;
  #idle: Promise<unknown> = Promise.resolve();

  /** Resolves with true when the snapshot stands in place of state and log, false if it never will. */
  offer(index: LogIndex): Promise<boolean> {
    assert(this.#offered === null, "one snapshot is offered at a time");
    const isTaken = new Promise<boolean>((resolve) => {
      this.#offered = { index, resolve, isAccepted: false };
    });
    this.#idle = isTaken;
    return isTaken;
  }

  /** The core asks for the snapshot to be put in place. */
  accept(index: LogIndex): void {
    assert(this.#offered?.index === index, "the core accepts only what was offered");
    this.#offered.isAccepted = true;
  }

  /** The turn in which the core heard of the offer is over. */
  settleTurn(): void {
    if (this.#offered !== null && !this.#offered.isAccepted) this.#settle(false);
  }

  settleInstalled(): void {
    this.#settle(true);
  }

  /** The member stops. What was accepted is not settled: it may stand in place or not. */
  refuseAll(): void {
    this.settleTurn();
  }

  async idle(): Promise<void> {
    if (this.#offered === null) await this.#idle;
  }

  #settle(isTaken: boolean): void {
    const offered = this.#offered;
    assert(offered !== null, "an offer is settled once");
    this.#offered = null;
    offered.resolve(isTaken);
  }
}
