import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";

/** No member: no vote given, or no leader known. Ids of members start at 1. */
export const NO_MEMBER = 0 as MemberId;
/** Index before the first entry. */
export const INDEX_ZERO = 0 as LogIndex;
/** Term before the first election. */
export const TERM_ZERO = 0 as Term;

/**
 * Index and term of an entry. Two logs that have an entry with the same position are identical up
 * to that entry: Raft §5.3, Log Matching.
 */
export interface EntryPosition {
  readonly index: LogIndex;
  readonly term: Term;
}

/** One entry of the replicated log. Immutable, including the bytes of `data`. */
export interface Entry extends EntryPosition {
  /**
   * `conf-change` holds one membership operation; `conf-change-v2` holds several operations and
   * the transition (see `membership-change.ts`). `normal` entries belong to the state machine.
   */
  readonly kind: EntryKind;
  /** Without a command in the first entry of a leader's term (Raft §8). Entry 1 names the founders. */
  readonly data: Uint8Array;
}

/** Kind of an entry. The names of the membership entries are those of etcd-io/raft. */
export type EntryKind = "normal" | "conf-change" | "conf-change-v2";

/** State that a member keeps on stable storage besides its log: Raft, Figure 2. */
export interface HardState {
  readonly term: Term;
  /** The candidate that received the member's vote in `term`; `NO_MEMBER` if there is none. */
  readonly votedFor: MemberId;
  /** May be lower than the real commit index; a restarted member learns it from the leader. */
  readonly commitIndex: LogIndex;
}

/**
 * The members of the Raft group, as the core uses them and as snapshots store them. Ids in each
 * list ascend. Immutable: a change makes a new membership.
 *
 * Invariants: a learner is in neither list of voters; `learnersNext` are voters of the outgoing
 * majority alone; both it and `autoLeave` are empty unless the membership is joint.
 */
export interface Membership {
  /** Voters of the current configuration; in a joint one, of the configuration that is entered. */
  readonly voters: readonly MemberId[];
  /** Voters of the configuration that is left. Empty unless the configuration is joint. */
  readonly votersOutgoing: readonly MemberId[];
  /** Members that receive the log and do not vote. */
  readonly learners: readonly MemberId[];
  /** Outgoing voters that become learners when the group leaves the joint configuration. */
  readonly learnersNext: readonly MemberId[];
  /** Whether the leader proposes to leave the joint configuration once it is applied. */
  readonly autoLeave: boolean;
}

/** The state after the entry at `index`, which replaces all entries up to it: Raft §7. */
export interface Snapshot extends EntryPosition {
  readonly membership: Membership;
  /**
   * Data of the driver: the state, or a reference to it. The core does not interpret it. Empty in
   * a driver that streams the state separately.
   */
  readonly data: Uint8Array;
}

/** Fields of every message between members. */
interface Addressed {
  readonly from: MemberId;
  readonly to: MemberId;
}

/** Fields of a message that belongs to a term. */
interface InTerm extends Addressed {
  readonly term: Term;
}

/** Asks for a vote in `term`, which the candidate has entered: Raft §5.2. */
export interface VoteRequest extends InTerm {
  readonly kind: "vote-request";
  /** Last entry of the candidate's log: Raft §5.4.1. */
  readonly last: EntryPosition;
  /** Whether the leader requested this election, so that its lease does not block it (§4.2.3). */
  readonly isTransfer: boolean;
}

/** Grants or rejects the vote in `term`. */
export interface VoteReply extends InTerm {
  readonly kind: "vote-reply";
  readonly granted: boolean;
}

/**
 * Asks whether the receiver would grant a vote in `term`. The sender is in an earlier term: §9.6.
 */
export interface PreVoteRequest extends InTerm {
  readonly kind: "pre-vote-request";
  readonly last: EntryPosition;
}

/** Reply to a pre-vote. `term` is the requested term if granted, otherwise the sender's term. */
export interface PreVoteReply extends InTerm {
  readonly kind: "pre-vote-reply";
  readonly granted: boolean;
}

/** Sends the entries after `previous`. The receiver's log must contain `previous`: Raft §5.3. */
export interface AppendRequest extends InTerm {
  readonly kind: "append-request";
  readonly previous: EntryPosition;
  readonly entries: readonly Entry[];
  readonly commitIndex: LogIndex;
}

/** The sender's log matches the leader's up to `matchIndex` and is durable up to there. */
export interface AppendAccepted extends InTerm {
  readonly kind: "append-accepted";
  /** 0 if the message only reports a higher term. */
  readonly matchIndex: LogIndex;
}

/** The sender's log has no entry at `rejectedIndex` with the term of the request's `previous`. */
export interface AppendRejected extends InTerm {
  readonly kind: "append-rejected";
  readonly rejectedIndex: LogIndex;
  /**
   * The latest position at which the logs may match; term 0 if the sender does not know the term.
   */
  readonly hint: EntryPosition;
}

/** Shows that the leader is alive, advances the commit index and confirms reads. */
export interface HeartbeatRequest extends InTerm {
  readonly kind: "heartbeat-request";
  /** At most the index up to which the receiver's log is known to match. */
  readonly commitIndex: LogIndex;
  /** Number of the latest read that a reply confirms, counted in this term; 0 for none: §6.4. */
  readonly readSequence: number;
}

/** Acknowledges a heartbeat. */
export interface HeartbeatReply extends InTerm {
  readonly kind: "heartbeat-reply";
  /** Copied from the request. */
  readonly readSequence: number;
}

/** Sends a snapshot, because the leader has compacted its log up to `snapshot.index`: Raft §7. */
export interface SnapshotRequest extends InTerm {
  readonly kind: "snapshot-request";
  readonly snapshot: Snapshot;
}

/** Requests that the transferee starts an election immediately: thesis §3.10. */
export interface TimeoutNow extends InTerm {
  readonly kind: "timeout-now";
}

/** Asks the leader to transfer leadership to `transferee`. Sent by a follower. */
export interface TransferRequest extends InTerm {
  readonly kind: "transfer-request";
  readonly transferee: MemberId;
}

/** Proposals that a follower forwards to the leader. Belongs to no term. */
export interface ProposeRequest extends Addressed {
  readonly kind: "propose-request";
  readonly proposals: readonly Proposal[];
}

/** An entry without index and term. */
export interface Proposal {
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** Asks the leader for a read index: at least its commit index. Belongs to no term. */
export interface ReadIndexRequest extends Addressed {
  readonly kind: "read-index-request";
  /** Unique for each attempt: a repeated request has a new id. */
  readonly readId: number;
}

/** Answers a `ReadIndexRequest` after a quorum has confirmed the leader. */
export interface ReadIndexReply extends InTerm {
  readonly kind: "read-index-reply";
  readonly readId: number;
  readonly readIndex: LogIndex;
}

/** A message between two members. May be lost, repeated, delayed and reordered. */
export type PeerMessage =
  | VoteRequest
  | VoteReply
  | PreVoteRequest
  | PreVoteReply
  | AppendRequest
  | AppendAccepted
  | AppendRejected
  | HeartbeatRequest
  | HeartbeatReply
  | SnapshotRequest
  | TimeoutNow
  | TransferRequest
  | ProposeRequest
  | ReadIndexRequest
  | ReadIndexReply;

/** Reports that a `StorageAppend` and all earlier ones are durable. */
export interface StorageAppended {
  readonly kind: "storage-appended";
  readonly to: MemberId;
  /** Term of the member when it issued the append. In a later term the log may have changed. */
  readonly term: Term;
  /** Last entry of the log at that time; `null` if no entry was waiting to become durable. */
  readonly last: EntryPosition | null;
  readonly snapshot: Snapshot | null;
}

/** Reports that a `StorageApply` is applied. */
export interface StorageApplied {
  readonly kind: "storage-applied";
  readonly to: MemberId;
  readonly entries: readonly Entry[];
}

/** Input of `RaftNode.step`. */
export type Message = PeerMessage | StorageAppended | StorageApplied;

/** Work for the log writer; see `Ready`. */
export interface StorageAppend {
  /** First step: replace the whole log and the state by the snapshot. `null` if there is none. */
  readonly snapshot: Snapshot | null;
  /** Second step: replace all entries of the log from the index of the first one on. */
  readonly entries: readonly Entry[];
  /** Last step: write the hard state. `null` if it is unchanged since the last append. */
  readonly hardState: HardState | null;
  /** Messages that are delivered once this and every earlier `StorageAppend` is durable. */
  readonly replies: readonly Message[];
}

/** Work for the state machine; see `Ready`. */
export interface StorageApply {
  /** At least one entry. All are committed, durable on this member, in order and without gaps. */
  readonly entries: readonly Entry[];
  /** The message that is delivered once the entries are applied. */
  readonly reply: StorageApplied;
}
