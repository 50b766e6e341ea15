import { assert } from "../../shared/base/assert.ts";
import type { Term } from "../../shared/base/ids.ts";
import type { Candidate, Core, PreCandidate } from "./core.ts";
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  leaderIdOf,
  send,
  sendAfterAppend,
} from "./core.ts";
import { indexAfter } from "./entries.ts";
import type {
  EntryPosition,
  PreVoteReply,
  PreVoteRequest,
  VoteReply,
  VoteRequest,
} from "./messages.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import { isVoter, quorumVote, votersOf } from "./quorum.ts";
import { appendProposals } from "./replication.ts";
import { broadcastAppend } from "./send-log.ts";
import { transferUnlessVoter } from "./transfer.ts";

const NO_DATA = new Uint8Array(0);

/**
 * Reason of an election. `timeout`: the election timeout, or `RaftNode.campaign`. `transfer`: a
 * leadership transfer, without pre-vote (thesis §3.10).
 */
export type CampaignReason = "timeout" | "transfer";

/** Number of election timeouts after which a member without a vote campaigns. */
const LAST_RESORT_TIMEOUTS = 10;

/** Starts an election if this member has a vote: Raft §5.2. */
export function campaign(core: Core, reason: CampaignReason): void {
  if (core.role.kind !== "leader" && isVoter(core.membership, core.id)) {
    tryCampaign(core, reason);
  }
}

/**
 * Starts an election if no message of a leader arrived during the election timeout.
 *
 * As a last resort, a member without a vote campaigns too (thesis §4.2.2). The other members may
 * not know yet that this member lost its vote, and may need its vote. If its log is longer than
 * their logs, this member cannot vote for them, and no other member could ever win. The election is
 * as safe as any other: the membership of this member decides it, without a vote of this member.
 * Pre-vote ensures that the campaign does not depose a working leader.
 */
export function campaignIfDue(core: Core): void {
  const { membership, electionElapsedTicks, electionTimeoutTicks, options } = core;
  const hasVote = isVoter(membership, core.id);
  const timeoutTicks = electionTimeoutTicks * (hasVote ? 1 : LAST_RESORT_TIMEOUTS);
  if (electionElapsedTicks < timeoutTicks) return;
  const knowsVoters = membership.voters.length > 0;
  if (!hasVote && !(options.preVote && knowsVoters)) return;
  core.electionElapsedTicks = 0;
  tryCampaign(core, "timeout");
}

/** Starts an election unless the state of this member forbids it. */
function tryCampaign(core: Core, reason: CampaignReason): void {
  // A member that waits for a snapshot has no state, so it cannot lead.
  if (core.log.unstable.snapshot !== null) return;
  if (core.hasOtherHistory) return;
  // A change that is committed and not applied may have removed voters, including this member.
  if (mayHaveUnappliedChange(core)) return;
  if (reason === "timeout" && core.options.preVote) startPreVote(core);
  else startElection(core, reason);
}

/** Grants the vote to a candidate whose log is up to date: Raft §5.4.1. */
export function stepVoteRequest(core: Core, message: VoteRequest): void {
  assert(message.term === core.term, "a vote is granted in the candidate's term");
  const granted = canVoteFor(core, message) && core.log.isUpToDate(message.last);
  const { id: from, term } = core;
  sendAfterAppend(core, { kind: "vote-reply", from, to: message.from, term, granted });
  if (!granted) return;
  core.electionElapsedTicks = 0;
  core.votedFor = message.from;
}

/**
 * Replies to a pre-vote request. Learners reply too: a learner may have been promoted without
 * knowing it yet, and its vote may be needed. A candidate counts only the votes of voters.
 */
export function stepPreVoteRequest(core: Core, message: PreVoteRequest): void {
  const canVote = message.term > core.term || canVoteFor(core, message);
  const granted = canVote && core.log.isUpToDate(message.last);
  if (!granted) {
    rejectPreVote(core, message);
    return;
  }
  // The reply carries the requested term, which this member does not enter either.
  const { from: to, term } = message;
  sendAfterAppend(core, { kind: "pre-vote-reply", from: core.id, to, term, granted });
}

/** Replies with the current term, which a candidate of an earlier term then enters. */
export function rejectPreVote(core: Core, message: PreVoteRequest): void {
  const { id: from, term } = core;
  sendAfterAppend(core, { kind: "pre-vote-reply", from, to: message.from, term, granted: false });
}

/** Counts a vote and ends the election when it is decided. */
export function stepVoteReply(core: Core, candidate: Candidate, message: VoteReply): void {
  switch (countVote(core, candidate, message)) {
    case "won":
      assumeLeadership(core);
      return;
    case "lost":
      becomeFollower(core, core.term, NO_MEMBER);
      return;
    case "pending":
      return;
  }
}

/** Counts a pre-vote; a candidate that would win starts the election. */
export function stepPreVoteReply(core: Core, candidate: PreCandidate, message: PreVoteReply): void {
  switch (countVote(core, candidate, message)) {
    case "won":
      startElection(core, "timeout");
      return;
    case "lost":
      becomeFollower(core, core.term, NO_MEMBER);
      return;
    case "pending":
      return;
  }
}

/**
 * Returns whether a leader has been active within the election timeout. Candidates are ignored
 * then, so that a removed or partitioned member cannot depose the leader: thesis §4.2.3.
 */
export function isLeaderLeaseValid(core: Core): boolean {
  const { checkQuorum, electionTicks } = core.options;
  if (!checkQuorum || leaderIdOf(core) === NO_MEMBER) return false;
  return core.electionElapsedTicks < electionTicks;
}

/** Asks all voters whether they would grant a vote in the next term: thesis §9.6. */
function startPreVote(core: Core): void {
  becomePreCandidate(core);
  const { id: from, log } = core;
  const term = (core.term + 1) as Term;
  const last = log.last();
  for (const to of votersOf(core.membership)) {
    if (to === from) {
      sendAfterAppend(core, { kind: "pre-vote-reply", from, to, term, granted: true });
    } else {
      send(core, { kind: "pre-vote-request", from, to, term, last });
    }
  }
}

/** Enters the next term and asks all voters for their vote: Raft §5.2. */
function startElection(core: Core, reason: CampaignReason): void {
  becomeCandidate(core);
  const { id: from, term, log } = core;
  const last: EntryPosition = log.last();
  const isTransfer = reason === "transfer";
  for (const to of votersOf(core.membership)) {
    if (to === from) {
      // The own vote counts only once it is durable, like every vote.
      sendAfterAppend(core, { kind: "vote-reply", from, to, term, granted: true });
    } else {
      send(core, { kind: "vote-request", from, to, term, last, isTransfer });
    }
  }
}

/**
 * Starts a leader's term. The entry, which has no command, makes all earlier entries committable:
 * Raft §5.2, §8. The first entry of a group names its founders.
 */
function assumeLeadership(core: Core): void {
  const isFirst = core.log.lastIndex() === INDEX_ZERO;
  const data = isFirst ? core.options.foundingData() : NO_DATA;
  const leader = becomeLeader(core);
  const index = appendProposals(core, leader, [{ kind: "normal", data }]);
  assert(index !== null, "the first entry of a term is never refused");
  broadcastAppend(core, leader, "send-empty");
  transferUnlessVoter(core, leader);
}

/**
 * Returns whether this member may vote for the candidate: one vote for each term, and no vote while
 * the leader of the term is known (Raft §5.2).
 */
function canVoteFor(core: Core, request: VoteRequest | PreVoteRequest): boolean {
  if (core.votedFor === request.from) return true;
  return core.votedFor === NO_MEMBER && leaderIdOf(core) === NO_MEMBER;
}

/** Records the first reply of a voter and evaluates the election. */
function countVote(
  core: Core,
  candidate: Candidate | PreCandidate,
  message: VoteReply | PreVoteReply,
): "won" | "lost" | "pending" {
  const { votes } = candidate;
  if (!votes.has(message.from)) votes.set(message.from, message.granted);
  return quorumVote(core.membership, votes);
}

/**
 * Returns whether a committed entry that is not applied may be a membership change (etcd #12359).
 */
function mayHaveUnappliedChange(core: Core): boolean {
  const { log, options } = core;
  const toIndex = indexAfter(log.committedIndex);
  let fromIndex = indexAfter(log.appliedIndex);
  while (fromIndex < toIndex) {
    const page = log.slice({ fromIndex, toIndex }, options.applyingBytesMax);
    if (page.kind !== "entries") return true;
    assert(page.entries.length > 0, "a page has an entry");
    if (page.entries.some((entry) => entry.kind !== "normal")) return true;
    fromIndex = indexAfter(fromIndex, page.entries.length);
  }
  return false;
}
