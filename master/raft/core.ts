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

/** What a member is at the moment: Raft §5.1. What belongs to one role ends with it. */
export type Role = Follower | PreCandidate | Candidate | Leader;

export interface Follower {
  readonly kind: "follower";
  /** `NO_MEMBER` until the leader of the term is heard. */
  leaderId: MemberId;
}

/** Asks whether it would be elected, in a term that it has not entered: thesis §9.6. */
export interface PreCandidate {
  readonly kind: "pre-candidate";
  /** Only the first answer of a member counts. */
  readonly votes: Map<MemberId, boolean>;
}

export interface Candidate {
  readonly kind: "candidate";
  /** Only the first answer of a member counts. */
  readonly votes: Map<MemberId, boolean>;
}

export interface Leader {
  readonly kind: "leader";
  heartbeatElapsedTicks: number;
  /** One for each member of the configuration, and for a leader that has left it not for itself. */
  readonly progress: Map<MemberId, Progress>;
  /**
   * No membership change is proposed before this index is applied: one that is not applied may stand
   * there. At most one may be under way, or two majorities could decide apart (thesis §4.1).
   */
  pendingChangeIndex: LogIndex;
  /** The entry behind the last change that was applied in this leadership; 0 before: `settleChanges`. */
  settledIndex: LogIndex;
  /** Data of entries that are not applied yet, as far as this leader appended them. */
  uncommittedBytes: number;
  /** Who is to take over; `NO_MEMBER` if nobody is. Thesis §3.10. */
  transferee: MemberId;
  readonly reads: PendingReads;
}

/** A read may be served once the state shows `readIndex`: Raft §8. */
export interface ReadState {
  readonly readId: number;
  readonly readIndex: LogIndex;
}

/**
 * All that a member is and knows. The functions around it are the rules of Raft; `RaftNode` is the
 * way in for a driver.
 */
export interface Core {
  readonly id: MemberId;
  readonly options: ResolvedOptions;
  readonly log: CoreLog;
  term: Term;
  /** In `term`. Changes from `NO_MEMBER` once, or a term could have two leaders. */
  votedFor: MemberId;
  role: Role;
  /** Holds now: as of the last change that was applied here, or of a snapshot that has come. */
  membership: Membership;
  /**
   * As of the entries that are applied. Differs from `membership` only while a snapshot waits to
   * become durable: entries from before it may still be applied meanwhile.
   */
  appliedMembership: Membership;
  /** Since the leader was heard, a vote was given, or (at a leader) quorums were last checked. */
  electionElapsedTicks: number;
  /** Drawn anew for every role: Raft §5.2. */
  electionTimeoutTicks: number;
  /** May leave at once. */
  outbox: PeerMessage[];
  /** Promises that must not be seen before what they promise is durable, also those to itself. */
  afterAppend: Message[];
  readStates: ReadState[];
  nextReadId: number;
}

/** A member as it was when it stopped, or a new one. It begins as a follower: Raft §5.2. */
export function createCore(given: RaftOptions): Core {
  const options = resolveOptions(given);
  const log = new CoreLog(options);
  const initial = options.storage.initialState();
  const { hardState } = initial;
  // The commit index is not synced for its own sake: the state may be ahead of what it says.
  log.commitTo(maxIndex(hardState.commitIndex, options.appliedIndex));
  if (options.appliedIndex > INDEX_ZERO) log.appliedTo(options.appliedIndex, 0);
  const membership = checkedMembership(initial.membership);
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
    // Answers to the reads of an earlier run may still be on their way: start where it did not.
    nextReadId: 1 + Math.floor(options.random() * 2 ** 50),
  };
  resetElectionTimer(core);
  return core;
}

export function leaderIdOf(core: Core): MemberId {
  if (core.role.kind === "leader") return core.id;
  return core.role.kind === "follower" ? core.role.leaderId : NO_MEMBER;
}

/** Sends at once. */
export function send(core: Core, message: PeerMessage): void {
  assert(message.from === core.id, "a member speaks for itself");
  assert(message.to !== core.id, "what a member tells itself waits until it is durable");
  assert(message.to !== NO_MEMBER, "a message has a receiver");
  core.outbox.push(message);
}

/**
 * Sends once everything that is known now is durable. Raft, Figure 2: term, vote and entries are on
 * stable storage before they are answered for. Also refusals wait, as they may tell of them.
 */
export function sendAfterAppend(core: Core, message: PeerMessage): void {
  assert(message.from === core.id, "a member speaks for itself");
  core.afterAppend.push(message);
}

export function becomeFollower(core: Core, term: Term, leaderId: MemberId): void {
  enterTerm(core, term);
  core.role = { kind: "follower", leaderId };
  resetElectionTimer(core);
}

/** Changes neither term nor vote, so that nobody is disturbed by an election that cannot be won. */
export function becomePreCandidate(core: Core): void {
  assert(core.role.kind !== "leader", "a leader does not stand for election");
  core.role = { kind: "pre-candidate", votes: new Map() };
}

export function becomeCandidate(core: Core): void {
  assert(core.role.kind !== "leader", "a leader does not stand for election");
  enterTerm(core, (core.term + 1) as Term);
  core.votedFor = core.id;
  core.role = { kind: "candidate", votes: new Map() };
  resetElectionTimer(core);
}

/** The caller appends the entry that begins the term. */
export function becomeLeader(core: Core): Leader {
  assert(core.role.kind === "candidate", "only a candidate is elected");
  const lastIndex = core.log.lastIndex();
  const leader: Leader = {
    kind: "leader",
    heartbeatElapsedTicks: 0,
    progress: new Map(),
    // A change may stand anywhere in the log; to wait for all of it is cheaper than to look.
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

/** Follows a change of the configuration. */
export function trackMembers(core: Core, leader: Leader): void {
  const lastIndex = core.log.lastIndex();
  const members = membersOf(core.membership);
  syncProgress(leader.progress, members, { lastIndex, limits: inflightLimits(core) });
}

/** The members that a leader tracks, by ascending id, so that runs repeat. */
export function trackedMembers(leader: Leader): readonly (readonly [MemberId, Progress])[] {
  return [...leader.progress].sort(([left], [right]) => left - right);
}

function enterTerm(core: Core, term: Term): void {
  assert(term >= core.term, "terms never go back");
  if (term === core.term) return;
  core.term = term;
  core.votedFor = NO_MEMBER;
}

/** Raft §5.2: timeouts differ, so that split votes are rare and do not repeat. */
function resetElectionTimer(core: Core): void {
  const { electionTicks, random } = core.options;
  core.electionElapsedTicks = 0;
  core.electionTimeoutTicks = electionTicks + Math.floor(random() * electionTicks);
}

function inflightLimits(core: Core): InflightLimits {
  const { inflightMessagesMax, inflightBytesMax } = core.options;
  return { messagesMax: inflightMessagesMax, bytesMax: inflightBytesMax };
}
