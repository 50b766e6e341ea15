import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import { indexAfter, maxIndex } from "./entries.ts";
import type { InflightLimits } from "./inflights.ts";
import { CoreLog } from "./log.ts";
import { checkedMembership, membersOf } from "./membership.ts";
import type { Membership, Message, PeerMessage } from "./messages.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import type { RaftOptions, ResolvedOptions } from "./options.ts";
import { resolveOptions } from "./options.ts";
import { PendingReads } from "./pending-reads.ts";
import { Progress, syncProgress } from "./progress.ts";

/** Current role of a member: Raft §5.1. The state of a role is discarded when the role ends. */
export type Role = Follower | PreCandidate | Candidate | Leader;

/**
 * A member that follows the leader of its term or waits for an election. Learners are followers.
 */
export interface Follower {
  readonly kind: "follower";
  /** `NO_MEMBER` until a message of the leader of the term arrives. */
  leaderId: MemberId;
}

/** A member that asks whether it would win an election, before it enters the next term: §9.6. */
export interface PreCandidate {
  readonly kind: "pre-candidate";
  /** Pre-votes by member: only the first reply of each counts. */
  readonly votes: Map<MemberId, boolean>;
}

/** A member that asks for votes in its term: Raft §5.2. */
export interface Candidate {
  readonly kind: "candidate";
  /** Votes by member: only the first reply of each counts. */
  readonly votes: Map<MemberId, boolean>;
}

/** The member that replicates its log to the other members: Raft §5.3. */
export interface Leader {
  readonly kind: "leader";
  heartbeatElapsedTicks: number;
  /** Replication progress of each member. Without this leader if it was removed. */
  readonly progress: Map<MemberId, Progress>;
  /**
   * The last index that may hold a membership change. A new change is proposed only after this
   * index is applied. At most one change may be pending, or two disjoint majorities could each
   * decide (thesis §4.1).
   */
  pendingChangeIndex: LogIndex;
  /**
   * Index of the entry appended after the last applied change (`settleChanges`). 0 if there was no
   * change.
   */
  settledIndex: LogIndex;
  /** Payload bytes of entries that this leader appended and that are not applied yet. */
  uncommittedBytes: number;
  /** Target of the current leadership transfer; `NO_MEMBER` if there is none. Thesis §3.10. */
  transferee: MemberId;
  readonly reads: PendingReads;
}

/** A confirmed read. The driver may serve it once the state includes `readIndex`: Raft §8. */
export interface ReadState {
  readonly readId: number;
  readonly readIndex: LogIndex;
}

/**
 * The complete state of one member. The functions of this folder that take it implement the rules
 * of Raft; `RaftNode` is the interface for a driver.
 */
export interface Core {
  readonly id: MemberId;
  readonly options: ResolvedOptions;
  readonly log: CoreLog;
  term: Term;
  /**
   * The vote in `term`. Set at most once for each term: a second vote could elect a second leader.
   */
  votedFor: MemberId;
  role: Role;
  /** Current membership: after the last change that was applied, or of a received snapshot. */
  membership: Membership;
  /**
   * The membership after the applied entries. Differs from `membership` only while a snapshot waits
   * to become durable. During that time earlier entries may still be applied.
   */
  appliedMembership: Membership;
  /**
   * Ticks since a message of the leader, since a granted vote, or (leader) since the quorum check.
   */
  electionElapsedTicks: number;
  /** Drawn again on every change of role: Raft §5.2. */
  electionTimeoutTicks: number;
  /** Messages that can be sent immediately. */
  outbox: PeerMessage[];
  /**
   * Replies that must wait until the state they report is durable, including those to this member.
   */
  afterAppend: Message[];
  readStates: ReadState[];
  nextReadId: number;
  /** The first read of this run. Replies to reads of an earlier run may still arrive. */
  readonly firstReadId: number;
  /** The commit index when this member entered its term, or when it started. */
  committedBefore: LogIndex;
  /**
   * Whether a leader has shown that it lacks entries that this member has acknowledged, although the terms
   * agree. Then this member follows no leader, and does not campaign: it could replace the only copy of
   * these entries.
   */
  hasOtherHistory: boolean;
}

/** Creates a member from its stored state. A member starts as a follower: Raft §5.2. */
export function createCore(given: RaftOptions): Core {
  const options = resolveOptions(given);
  const log = new CoreLog(options);
  const initial = options.storage.initialState();
  const { hardState } = initial;
  // A new commit index alone is not synced, so the applied index may be higher.
  log.commitTo(maxIndex(hardState.commitIndex, options.appliedIndex));
  if (options.appliedIndex > INDEX_ZERO) log.appliedTo(options.appliedIndex, 0);
  const membership = checkedMembership(initial.membership);
  // Replies to reads of an earlier run may still arrive, so ids must differ between runs.
  const firstReadId = 1 + Math.floor(options.random() * 2 ** 50);
  const core: Core = {
    id: options.id,
    options,
    log,
    term: hardState.term,
    votedFor: hardState.votedFor,
    role: { kind: "follower", leaderId: NO_MEMBER },
    membership,
    appliedMembership: membership,
    electionElapsedTicks: 0,
    electionTimeoutTicks: options.electionTicks,
    outbox: [],
    afterAppend: [],
    readStates: [],
    nextReadId: firstReadId,
    firstReadId,
    committedBefore: log.committedIndex,
    hasOtherHistory: false,
  };
  resetElectionTimer(core);
  return core;
}

/** Returns the leader of the current term, or `NO_MEMBER` if it is unknown. */
export function leaderIdOf(core: Core): MemberId {
  if (core.role.kind === "leader") return core.id;
  return core.role.kind === "follower" ? core.role.leaderId : NO_MEMBER;
}

/** Sends `message` immediately. */
export function send(core: Core, message: PeerMessage): void {
  assert(message.from === core.id, "the sender of a message is this member");
  assert(message.to !== core.id, "a message to this member waits until its state is durable");
  assert(message.to !== NO_MEMBER, "a message has a receiver");
  core.outbox.push(message);
}

/**
 * Sends `message` once the current state is durable. Raft, Figure 2: term, vote and entries are on
 * stable storage before a reply reports them. Rejections wait too, because they carry the term.
 */
export function sendAfterAppend(core: Core, message: PeerMessage): void {
  assert(message.from === core.id, "the sender of a message is this member");
  core.afterAppend.push(message);
}

/** Enters `term` as a follower of `leaderId` (`NO_MEMBER`: not known yet). */
export function becomeFollower(core: Core, term: Term, leaderId: MemberId): void {
  enterTerm(core, term);
  core.role = { kind: "follower", leaderId };
  resetElectionTimer(core);
}

/** Changes neither term nor vote, so an election that cannot be won does not depose a leader. */
export function becomePreCandidate(core: Core): void {
  assert(core.role.kind !== "leader", "a leader does not campaign");
  core.role = { kind: "pre-candidate", votes: new Map() };
}

/** Enters the next term and votes for itself: Raft §5.2. */
export function becomeCandidate(core: Core): void {
  assert(core.role.kind !== "leader", "a leader does not campaign");
  enterTerm(core, (core.term + 1) as Term);
  core.votedFor = core.id;
  core.role = { kind: "candidate", votes: new Map() };
  resetElectionTimer(core);
}

/** Becomes leader of the current term. The caller appends the first entry of the term. */
export function becomeLeader(core: Core): Leader {
  assert(core.role.kind === "candidate", "only a candidate becomes leader");
  const lastIndex = core.log.lastIndex();
  const leader: Leader = {
    kind: "leader",
    heartbeatElapsedTicks: 0,
    progress: new Map(),
    // The log may contain a change. Waiting for the whole log is cheaper than searching it.
    pendingChangeIndex: lastIndex,
    settledIndex: INDEX_ZERO,
    uncommittedBytes: 0,
    transferee: NO_MEMBER,
    reads: new PendingReads(),
  };
  for (const id of membersOf(core.membership)) {
    const isSelf = id === core.id;
    const progress = new Progress({
      matchIndex: isSelf ? lastIndex : INDEX_ZERO,
      nextIndex: indexAfter(lastIndex),
      isRecentlyActive: isSelf,
      limits: inflightLimits(core),
    });
    if (isSelf) progress.becomeReplicate();
    leader.progress.set(id, progress);
  }
  core.role = leader;
  resetElectionTimer(core);
  return leader;
}

/** Updates the leader's progress entries after a membership change. */
export function trackMembers(core: Core, leader: Leader): void {
  const lastIndex = core.log.lastIndex();
  const members = membersOf(core.membership);
  syncProgress(leader.progress, members, { lastIndex, limits: inflightLimits(core) });
}

/** Returns the members that a leader tracks, by ascending id: the order makes runs repeatable. */
export function trackedMembers(leader: Leader): readonly (readonly [MemberId, Progress])[] {
  return [...leader.progress].sort(([left], [right]) => left - right);
}

function enterTerm(core: Core, term: Term): void {
  assert(term >= core.term, "the term never decreases");
  if (term === core.term) return;
  core.term = term;
  core.votedFor = NO_MEMBER;
  core.committedBefore = core.log.committedIndex;
}

/** Draws a new timeout. Random timeouts make split votes rare: Raft §5.2. */
function resetElectionTimer(core: Core): void {
  const { electionTicks, random } = core.options;
  core.electionElapsedTicks = 0;
  core.electionTimeoutTicks = electionTicks + Math.floor(random() * electionTicks);
}

function inflightLimits(core: Core): InflightLimits {
  const { inflightMessagesMax, inflightBytesMax } = core.options;
  return { messagesMax: inflightMessagesMax, bytesMax: inflightBytesMax };
}
