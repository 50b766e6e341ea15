import type { LogIndex, MemberId, Term } from "../shared/base/ids.ts";

/** Consensus, as the rest of the master uses it. Implemented by the driver. */
export interface Consensus {
  /**
   * Appends a command to the log. Resolves with the outcome of the state machine once the command
   * is committed (durable on a majority) and applied on this member.
   *
   * @throws {AshlarError} NOT_LEADER (details.leaderAddress if known), OVERLOADED: the command is
   *   not in the log. COMMIT_UNKNOWN: the leadership or the process ended before the command was
   *   applied.
   */
  propose(command: Uint8Array): Promise<Applied>;
  /**
   * Resolves when the state of this member includes every write that was acknowledged before the
   * call (ReadIndex, Raft thesis §6.4). Calls of the same turn share one round of heartbeats.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER, DEADLINE_EXCEEDED; CANCELLED if the caller went away
   */
  confirmRead(timeoutMs: number, caller?: Caller): Promise<LogIndex>;
  /**
   * Resolves when the state includes `index`.
   *
   * @throws {AshlarError} DEADLINE_EXCEEDED; CANCELLED if the caller went away
   */
  waitApplied(index: LogIndex, timeoutMs: number, caller?: Caller): Promise<void>;
  /** Returns this member's view of the group. */
  status(): ConsensusStatus;
  /** Returns the applied membership; on the leader with the replication progress of each member. */
  membership(): MembershipStatus;
  /**
   * Changes the membership, through a joint configuration if necessary (Raft §6). Resolves with the
   * index of the change once the new configuration is committed and no longer joint.
   *
   * The leader connects to an added member first. An added member is a learner: promote it once it
   * has caught up. A leader that must remove itself transfers leadership; the caller then asks the
   * new leader.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER; CHANGE_UNDER_WAY; ALREADY_EXISTS; MEMBER_UNKNOWN;
   *   MEMBER_BEHIND; MAJORITY_AT_RISK; MEMBER_UNREACHABLE, WRONG_IDENTITY, WRONG_CLUSTER: of a
   *   member to add. COMMIT_UNKNOWN: check the membership.
   */
  changeMembers(change: MembershipChangeRequest): Promise<LogIndex>;
  /**
   * Transfers leadership to `to`, or for null to the most up-to-date voter. Resolves with the new
   * leader, which is this member if `to` names it.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER, MEMBER_UNKNOWN, MEMBER_BEHIND, INVALID_ARGUMENT
   */
  transferLeadership(to: MemberId | null): Promise<MemberId>;
  /** Calls `listener` on every change of this member's role or of the leader it knows. */
  onChange(listener: (status: ConsensusStatus) => void): void;
}

/** The caller of a wait. */
export interface Caller {
  /** Whether the caller no longer waits. The wait then ends at the next tick, and frees its memory. */
  readonly isAborted: boolean;
}

/** A member of the Raft group and where it listens. */
export interface MemberAddress {
  readonly id: MemberId;
  /** "host:port". */
  readonly address: string;
}

/** A command that is committed and applied. */
export interface Applied {
  readonly index: LogIndex;
  /** Result of `StateMachine.apply`. */
  readonly outcome: unknown;
}

/** The messages of a member are refused, and replication with it makes no progress. */
export interface ReplicationRefusal {
  /** Time since the first refused message after the last progress. */
  readonly forMs: number;
  /** The expected and the actual value, as a part of a sentence. */
  readonly reason: string;
}

/** A disk of a member that has no space. */
export interface DiskFull {
  /**
   * - `log`: the member takes no part until it is restarted.
   * - `state`: the member stores entries in its log only. If it leads, it refuses every change.
   */
  readonly kind: "log" | "state";
  readonly reason: string;
}

/** View of one member of its group. */
export interface ConsensusStatus {
  readonly memberId: MemberId;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly term: Term;
  readonly leaderId: MemberId | null;
  readonly leaderAddress: string | null;
  /**
   * Whether this member leads and has applied an entry of its term, so that its state is current.
   */
  readonly isReady: boolean;
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly members: readonly MemberAddress[];
  /**
   * Membership of this master itself. `joining`: not added yet. `removed`: removed from the group,
   * by its own log or by the report of a peer.
   */
  readonly memberPhase: "member" | "joining" | "removed";
  /**
   * Why this master, a founder with an empty directory, does not take part in the group yet. Null
   * if it does.
   */
  readonly waitingReason: string | null;
  /**
   * Why this member refuses the messages of its leader, and so does not follow it. Null if it does not
   * refuse them.
   */
  readonly refusal: ReplicationRefusal | null;
  /** Null if the disk of this member has space. */
  readonly diskFull: DiskFull | null;
  /** Known addresses of all masters. */
  readonly masters: readonly string[];
  /** Addresses of those masters that are learners, as of the applied entries. */
  readonly learners: readonly string[];
}

/**
 * A requested change of the members. The driver converts it to one `MembershipChange`, which is an
 * entry of the log.
 */
export interface MembershipChangeRequest {
  /** New members, which become learners. */
  readonly add: readonly MemberAddress[];
  /** Learners that become voters. */
  readonly promote: readonly MemberId[];
  /** Members to remove. */
  readonly remove: readonly MemberId[];
}

/** The members of the group and the state of a pending change. */
export interface MembershipStatus {
  /**
   * Whether a change is pending: both majorities must agree, or the remaining members may still
   * need the removed members (docs/decisions/0007).
   */
  readonly isJoint: boolean;
  /** The members, by ascending id. */
  readonly members: readonly MemberStatus[];
}

/** Status of one member of the group. */
export interface MemberStatus {
  readonly id: MemberId;
  readonly address: string;
  /** `leaving`: votes until the pending change is complete. */
  readonly vote: "voter" | "learner" | "leaving";
  /** Replication progress. Null on a follower, and for the leader itself. */
  readonly progress: {
    /**
     * `probe`: the matching index is searched; `snapshot`: a snapshot is sent; `replicate`: normal.
     */
    readonly state: "probe" | "replicate" | "snapshot";
    /** Index up to which the member's log matches the leader's and is durable. */
    readonly matchIndex: LogIndex;
    /** Whether a message of the member arrived within the last election timeout. */
    readonly isActive: boolean;
    /** Why the messages of the member are refused. Null if they are not. */
    readonly refusal: ReplicationRefusal | null;
  } | null;
}
