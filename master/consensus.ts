import type { LogIndex, MemberId, Term } from "../shared/base/ids.ts";

/** What the rest of the master needs of consensus. Implemented by the driver. */
export interface Consensus {
  /**
   * Puts a command into the log. Resolves once it is committed (durable on a majority) and applied
   * here, with what the state machine answered.
   *
   * @throws {AshlarError} NOT_LEADER (details.leaderAddress if known), OVERLOADED: not in the log.
   *   COMMIT_UNKNOWN: leadership or the process was lost while it was under way.
   */
  propose(command: Uint8Array): Promise<Applied>;
  /**
   * Resolves when this member's state shows everything that was acknowledged before the call
   * (ReadIndex, Raft thesis §6.4). Calls of one turn share one round.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER, DEADLINE_EXCEEDED
   */
  confirmRead(timeoutMs: number): Promise<LogIndex>;
  /** Resolves when the state shows `index`. @throws {AshlarError} DEADLINE_EXCEEDED */
  waitApplied(index: LogIndex, timeoutMs: number): Promise<void>;
  status(): ConsensusStatus;
  /** Who takes part, as this member has applied it; the leader's says how far each has come. */
  membership(): MembershipStatus;
  /**
   * One change of the membership, through a joint configuration where it needs one (Raft §6).
   * Resolves with the index of its entry once the new configuration holds alone. Whoever is added
   * is reached first, and becomes a learner: give it its vote once it has caught up. A leader
   * that is to remove itself hands over, and the next one is to be asked.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER; CHANGE_UNDER_WAY; ALREADY_EXISTS; MEMBER_UNKNOWN;
   *   MEMBER_BEHIND; MAJORITY_AT_RISK; MEMBER_UNREACHABLE, WRONG_IDENTITY, WRONG_CLUSTER of whoever is to
   *   be added. COMMIT_UNKNOWN: look at the membership.
   */
  changeMembers(change: MembershipChangeRequest): Promise<LogIndex>;
  /**
   * Hands leadership to `to`, or to the voter that lacks least for null. Resolves with the new
   * leader, this member if it is the one that was asked for.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER, MEMBER_UNKNOWN, MEMBER_BEHIND, INVALID_ARGUMENT
   */
  transferLeadership(to: MemberId | null): Promise<MemberId>;
  /** Calls `listener` on every change of this member's role or of the leader it knows. */
  onChange(listener: (status: ConsensusStatus) => void): void;
}

/** A member of the Raft group and where it listens. */
export interface MemberAddress {
  readonly id: MemberId;
  /** "host:port". */
  readonly address: string;
}

export interface Applied {
  readonly index: LogIndex;
  readonly outcome: unknown;
}

export interface ConsensusStatus {
  readonly memberId: MemberId;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly term: Term;
  readonly leaderId: MemberId | null;
  readonly leaderAddress: string | null;
  /** True once a leader has applied an entry of its own term: from then on its state is current. */
  readonly isReady: boolean;
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly members: readonly MemberAddress[];
  /**
   * Whether this master counts: not before it was added (`joining`), and not after it was removed,
   * of which a peer may have told it.
   */
  readonly memberPhase: "member" | "joining" | "removed";
  /** Addresses of all masters, as far as this one knows. */
  readonly masters: readonly string[];
}

/** What one entry changes. */
export interface MembershipChangeRequest {
  /** They become learners. */
  readonly add: readonly MemberAddress[];
  /** Learners that get a vote. */
  readonly promote: readonly MemberId[];
  readonly remove: readonly MemberId[];
}

export interface MembershipStatus {
  /**
   * A change is half done: two majorities must agree, or those that stay may still need the others
   * (docs/decisions/0007).
   */
  readonly isJoint: boolean;
  /** By ascending id. */
  readonly members: readonly MemberStatus[];
}

export interface MemberStatus {
  readonly id: MemberId;
  readonly address: string;
  /** `leaving` votes only until the change that is under way is done. */
  readonly vote: "voter" | "learner" | "leaving";
  /** At a leader, of the others. */
  readonly progress: {
    /** `probe`: looking for where the logs match; `snapshot`: being sent the state; `replicate`: following. */
    readonly state: "probe" | "replicate" | "snapshot";
    readonly matchIndex: LogIndex;
    /** It was heard within the last election timeout. */
    readonly isActive: boolean;
  } | null;
}
