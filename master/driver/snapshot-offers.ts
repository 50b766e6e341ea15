import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** What became of a snapshot that was offered to the core. */
export type OfferOutcome =
  /** It stands in place of the state and of the log. */
  | "installed"
  /** The core could not use it: nothing has changed. */
  | "refused"
  /** The disk failed while it was put in place: it may stand there or not. */
  | "failed";

/**
 * The snapshot that was received and offered to the core, which accepts it in the turn in which it
 * hears of it, or never.
 */
export class SnapshotOffers {
  #offered: {
    readonly index: LogIndex;
    readonly resolve: (outcome: OfferOutcome) => void;
    isAccepted: boolean;
  } | null = null;

  offer(index: LogIndex): Promise<OfferOutcome> {
    assert(this.#offered === null, "one snapshot is offered at a time");
    return new Promise((resolve) => {
      this.#offered = { index, resolve, isAccepted: false };
    });
  }

  /** The core asks for the snapshot to be put in place. */
  accept(index: LogIndex): void {
    assert(this.#offered?.index === index, "the core accepts only what was offered");
    this.#offered.isAccepted = true;
  }

  /** The turn in which the core heard of the offer is over, or no turn will come any more. */
  refuseUnlessAccepted(): void {
    if (this.#offered !== null && !this.#offered.isAccepted) this.#settle("refused");
  }

  /** What was accepted is in place. */
  noteInstalled(): void {
    this.#settle("installed");
  }

  /** Whatever was accepted could not be put in place. */
  fail(): void {
    if (this.#offered !== null) this.#settle("failed");
  }

  #settle(outcome: OfferOutcome): void {
    this.#offered?.resolve(outcome);
    this.#offered = null;
  }
}
