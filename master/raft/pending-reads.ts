import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { VoterSets } from "./quorum.ts";
import { quorumIndex } from "./quorum.ts";

/** The member that requested a read, and the id that it gave to the read. */
export interface ReadRequest {
  readonly from: MemberId;
  readonly readId: number;
}

/** A read whose index is known and that waits for the confirmation of the leader. */
export interface UnconfirmedRead extends ReadRequest {
  /** Commit index when the leader accepted the read. */
  readonly readIndex: LogIndex;
}

/**
 * Reads that a leader has accepted in its term, in order, until a quorum has confirmed that it was
 * still the leader *after* it accepted them (thesis §6.4).
 *
 * A heartbeat carries the count of all reads accepted so far. One round therefore confirms all of
 * them, and a reply confirms only reads that were accepted before its heartbeat was sent. The count
 * is valid for one term: replies of an earlier term are ignored.
 */
export class PendingReads {
  /** Reads that wait until the first entry of the leader's term is committed. */
  #postponed: ReadRequest[] = [];
  readonly #unconfirmed: UnconfirmedRead[] = [];
  #confirmedCount = 0;
  /** The highest count in the replies of each member. */
  readonly #acknowledged = new Map<MemberId, number>();

  get pendingCount(): number {
    return this.#postponed.length + this.#unconfirmed.length;
  }

  /** Count for the next heartbeats; 0 if no read waits for confirmation. */
  get sequence(): number {
    return this.#unconfirmed.length === 0 ? 0 : this.acceptedCount;
  }

  /** Number of reads of this term that were accepted for confirmation so far. */
  get acceptedCount(): number {
    return this.#confirmedCount + this.#unconfirmed.length;
  }

  /** Keeps a read until the first entry of the term is committed. */
  postpone(request: ReadRequest): void {
    this.#postponed.push(request);
  }

  /** Removes and returns the postponed reads. */
  takePostponed(): readonly ReadRequest[] {
    const postponed = this.#postponed;
    this.#postponed = [];
    return postponed;
  }

  /** Adds a read that needs confirmation. */
  add(read: UnconfirmedRead): void {
    this.#unconfirmed.push(read);
  }

  /** Records that `from` replied to a heartbeat with the count `sequence`. */
  acknowledge(from: MemberId, sequence: number): void {
    assert(sequence <= this.acceptedCount, "a reply confirms only reads that were accepted");
    this.#acknowledged.set(from, Math.max(sequence, this.#acknowledged.get(from) ?? 0));
  }

  /** Removes and returns the reads that a quorum of `voters` has confirmed. */
  takeConfirmed(voters: VoterSets): readonly UnconfirmedRead[] {
    const acknowledgedCount: number = quorumIndex(
      voters,
      (id) => this.#acknowledged.get(id) as LogIndex | undefined,
    );
    const count = acknowledgedCount - this.#confirmedCount;
    if (count <= 0) return [];
    this.#confirmedCount = acknowledgedCount;
    return this.#unconfirmed.splice(0, count);
  }
}
