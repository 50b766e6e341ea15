import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

/** The outcome of a snapshot that was offered to the core. */
export type OfferOutcome =
  /** The snapshot has replaced the state and the log. */
  | "installed"
  /** The core did not accept it. Nothing has changed. */
  | "refused"
  /** The disk failed during the installation: the snapshot may be installed or not. */
  | "failed";

/**
 * The received snapshot that is offered to the core. The core accepts a snapshot in the turn in which
 * it receives the offer, or never.
 */
export class SnapshotOffers {
  #offered: {
    readonly index: LogIndex;
    readonly resolve: (outcome: OfferOutcome) => void;
    isAccepted: boolean;
  } | null = null;

  /** Records an offer. Resolves with its outcome. */
  offer(index: LogIndex): Promise<OfferOutcome> {
    assert(this.#offered === null, "at most one snapshot is offered");
    return new Promise((resolve) => {
      this.#offered = { index, resolve, isAccepted: false };
    });
  }

  /** Records that the core accepts the snapshot and requests its installation. */
  accept(index: LogIndex): void {
    assert(this.#offered?.index === index, "the core accepts the offered snapshot only");
    this.#offered.isAccepted = true;
  }

  /** Ends the offer as refused, after the turn with the offer or when no further turn runs. */
  refuseUnlessAccepted(): void {
    if (this.#offered !== null && !this.#offered.isAccepted) this.#settle("refused");
  }

  /** Ends the offer as installed. */
  noteInstalled(): void {
    this.#settle("installed");
  }

  /** Ends the offer as failed, because the disk failed or the member stops. */
  fail(): void {
    if (this.#offered !== null) this.#settle("failed");
  }

  #settle(outcome: OfferOutcome): void {
    this.#offered?.resolve(outcome);
    this.#offered = null;
  }
}
