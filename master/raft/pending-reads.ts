import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { VoterSets } from "./quorum.ts";
import { quorumIndex } from "./quorum.ts";

/** Who asked, and with which id: the answer goes there. */
export interface ReadRequest {
  readonly from: MemberId;
  readonly readId: number;
}

/** A read whose answer is known but not yet allowed. */
export interface UnconfirmedRead extends ReadRequest {
  /** What was committed when the leader took the read. */
  readonly readIndex: LogIndex;
}

/**
 * Reads that a leader has taken in its term, in order, until a quorum has shown that it was still
 * the leader *after* it took them (thesis §6.4).
 *
 * A heartbeat carries the count of all reads taken so far, so one round confirms all of them, and an
 * answer can only confirm reads that were there when its heartbeat left. The count ends with the
 * term, and so do late answers.
 */
export class PendingReads {
  /** Waiting for the first entry of the leader's term to be committed. */
  #postponed: ReadRequest[] = [];
  readonly #unconfirmed: UnconfirmedRead[] = [];
  #confirmedCount = 0;
  /** The last count that each member has answered. */
  readonly #acknowledged = new Map<MemberId, number>();

  get pendingCount(): number {
    return this.#postponed.length + this.#unconfirmed.length;
  }

  /** For the next heartbeats; 0 if no read waits for them. */
  get sequence(): number {
    return this.#unconfirmed.length === 0 ? 0 : this.#confirmedCount + this.#unconfirmed.length;
  }

  postpone(request: ReadRequest): void {
    this.#postponed.push(request);
  }

  /** Reads whose time has come. */
  takePostponed(): readonly ReadRequest[] {
    const postponed = this.#postponed;
    this.#postponed = [];
    return postponed;
  }

  add(read: UnconfirmedRead): void {
    this.#unconfirmed.push(read);
  }

  acknowledge(from: MemberId, sequence: number): void {
    assert(
      sequence <= this.#confirmedCount + this.#unconfirmed.length,
      "only what was asked is answered",
    );
    this.#acknowledged.set(from, Math.max(sequence, this.#acknowledged.get(from) ?? 0));
  }

  /** Reads that `voters` have confirmed by now. */
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
