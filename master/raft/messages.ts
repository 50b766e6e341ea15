import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";

/** "No member": nobody voted for, no leader known. Members have ids from 1. */
export const NO_MEMBER = 0 as MemberId;
/** Before the first entry. */
export const INDEX_ZERO = 0 as LogIndex;
/** Before the first election. */
export const TERM_ZERO = 0 as Term;

/** Where an entry stands and which leader put it there. Equal positions hold equal logs: Raft §5.3. */
export interface EntryPosition {
  readonly index: LogIndex;
  readonly term: Term;
}

/** One entry of the replicated log. Never written to after it was made, its bytes included. */
export interface Entry extends EntryPosition {
  /**
   * `conf-change` holds one membership operation, `conf-change-v2` several and the way to leave the
   * joint configuration; see `membership-change.ts`. All else is the state machine's.
   */
  readonly kind: EntryKind;
  /** Empty in the entry with which a leader begins its term (Raft §8). */
  readonly data: Uint8Array;
}

export type EntryKind = "normal" | "conf-change" | "conf-change-v2";

/** What a member must remember over a restart besides its log: Raft, Figure 2. */
export interface HardState {
  readonly term: Term;
  /** Whom the member voted for in `term`; `NO_MEMBER` if for nobody. */
  readonly votedFor: MemberId;
  /** May lag behind what was committed; a restarted member learns the rest from its leader. */
  readonly commitIndex: LogIndex;
}

/** Who takes part, as it stands in a snapshot. Ids in each list ascend. */
export interface Membership {
  /** Voters of the configuration that holds, or (while it is joint) that is being entered. */
  readonly voters: readonly MemberId[];
  /** Voters of the configuration that is being left. Empty unless the configuration is joint. */
  readonly votersOutgoing: readonly MemberId[];
  /** Members that receive the log and do not vote. */
  readonly learners: readonly MemberId[];
  /** Outgoing voters that become learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
  /** Whether the leader itself leaves the joint configuration once it is applied. */
  readonly autoLeave: boolean;
}

/** The state of the log up to `index`, in place of its entries. */
export interface Snapshot extends EntryPosition {
  readonly membership: Membership;
  /**
   * What the driver needs to find or to carry the state itself. The core never looks into it;
   * a driver that streams the state beside the log leaves it empty.
   */
  readonly data: Uint8Array;
}

interface Addressed {
  readonly from: MemberId;
  readonly to: MemberId;
}

interface InTerm extends Addressed {
  readonly term: Term;
}

/** Asks for a vote in `term`, which the candidate has entered: Raft §5.2. */
export interface VoteRequest extends InTerm {
  readonly kind: "vote-request";
  /** The end of the candidate's log: Raft §5.4.1. */
  readonly last: EntryPosition;
  /** The leader asked for this election, so its lease does not stand against it (thesis §4.2.3). */
  readonly isTransfer: boolean;
}

export interface VoteReply extends InTerm {
  readonly kind: "vote-reply";
  readonly granted: boolean;
}

/** Asks whether a vote would be granted in `term`, which the sender has not entered: thesis §9.6. */
export interface PreVoteRequest extends InTerm {
  readonly kind: "pre-vote-request";
  readonly last: EntryPosition;
}

/** `term` is the one asked for if granted, else the sender's own. */
export interface PreVoteReply extends InTerm {
  readonly kind: "pre-vote-reply";
  readonly granted: boolean;
}

/** Entries after `previous`, for a log that matches at `previous`: Raft §5.3. */
export interface AppendRequest extends InTerm {
  readonly kind: "append-request";
  readonly previous: EntryPosition;
  readonly entries: readonly Entry[];
  readonly commitIndex: LogIndex;
}

/** The sender's log matches the leader's up to `matchIndex`, and is durable so far. */
export interface AppendAccepted extends InTerm {
  readonly kind: "append-accepted";
  /** 0 if the sender only wants its higher term to be known. */
  readonly matchIndex: LogIndex;
}

/** The sender's log has no entry at `rejectedIndex` with the term that the leader named. */
export interface AppendRejected extends InTerm {
  readonly kind: "append-rejected";
  readonly rejectedIndex: LogIndex;
  /** The latest position at which the logs may match; term 0 if the sender does not know it. */
  readonly hint: EntryPosition;
}

export interface HeartbeatRequest extends InTerm {
  readonly kind: "heartbeat-request";
  /** Never beyond what the receiver is known to hold. */
  readonly commitIndex: LogIndex;
  /** The latest read that a reply confirms, counted in this term; 0 for none. Thesis §6.4. */
  readonly readSequence: number;
}

export interface HeartbeatReply extends InTerm {
  readonly kind: "heartbeat-reply";
  /** As in the request. */
  readonly readSequence: number;
}

/** The log before `snapshot.index + 1` is gone at the leader: Raft §7. */
export interface SnapshotRequest extends InTerm {
  readonly kind: "snapshot-request";
  readonly snapshot: Snapshot;
}

/** The leader wants the receiver to stand for election at once: thesis §3.10. */
export interface TimeoutNow extends InTerm {
  readonly kind: "timeout-now";
}

/** Asks the leader, through a follower, to hand over to `transferee`. */
export interface TransferRequest extends InTerm {
  readonly kind: "transfer-request";
  readonly transferee: MemberId;
}

/** A proposal on its way from a follower to the leader. Belongs to no term. */
export interface ProposeRequest extends Addressed {
  readonly kind: "propose-request";
  readonly proposals: readonly Proposal[];
}

/** An entry that has no place in the log yet. */
export interface Proposal {
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** Asks the leader for an index that covers all that was committed so far. Belongs to no term. */
export interface ReadIndexRequest extends Addressed {
  readonly kind: "read-index-request";
  /** Unique to the attempt: a request that is repeated gets a new one. */
  readonly readId: number;
}

export interface ReadIndexReply extends InTerm {
  readonly kind: "read-index-reply";
  readonly readId: number;
  readonly readIndex: LogIndex;
}

/** What members say to each other. May be lost, repeated, delayed and reordered. */
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

/** A `StorageAppend` and all before it are durable. */
export interface StorageAppended {
  readonly kind: "storage-appended";
  readonly to: MemberId;
  /** The member's term when it asked. In a later term the log may have been overwritten since. */
  readonly term: Term;
  /** The end of the log when it asked; `null` if no entry was waiting to become durable. */
  readonly last: EntryPosition | null;
  readonly snapshot: Snapshot | null;
}

/** A `StorageApply` is applied. */
export interface StorageApplied {
  readonly kind: "storage-applied";
  readonly to: MemberId;
  readonly entries: readonly Entry[];
}

/** What `RaftNode.step` takes. */
export type Message = PeerMessage | StorageAppended | StorageApplied;

/** Work for the log's writer; see `Ready`. */
export interface StorageAppend {
  /** First: replaces the whole log, and the state. */
  readonly snapshot: Snapshot | null;
  /** Then: replace everything in the log from the index of the first one on. */
  readonly entries: readonly Entry[];
  /** Last; `null` if unchanged since the last one. */
  readonly hardState: HardState | null;
  /** To be delivered once this and every earlier `StorageAppend` is durable. */
  readonly replies: readonly Message[];
}

/** Work for the state machine; see `Ready`. */
export interface StorageApply {
  /** Committed, durable here, in order, without gaps; at least one. */
  readonly entries: readonly Entry[];
  /** To be delivered once they are applied. */
  readonly reply: StorageApplied;
}
