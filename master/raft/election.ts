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
import { NO_MEMBER } from "./messages.ts";
import { isVoter, quorumVote, votersOf } from "./quorum.ts";
import { appendProposals } from "./replication.ts";
import { broadcastAppend } from "./send-log.ts";
import { transferUnlessVoter } from "./transfer.ts";

const NO_DATA = new Uint8Array(0);

/** A timeout, or the driver's wish; or the leader's, which needs no pre-vote: thesis §3.10. */
export type CampaignReason = "timeout" | "transfer";

/** How many election timeouts a member that has no vote waits for one that has. */
const LAST_RESORT_TIMEOUTS = 10;

/** Stands for election, if this member has a vote: Raft §5.2. */
export function campaign(core: Core, reason: CampaignReason): void {
  if (core.role.kind !== "leader" && isVoter(core.membership, core.id)) {
    tryCampaign(core, reason);
  }
}

/**
 * Stands for election if no leader was heard for long enough.
 *
 * Also a member without a vote does, as a last resort (thesis §4.2.2: it may still be needed). The
 * voters may not have heard that it lost its vote; if its log is longer than theirs, it cannot give
 * them the vote that they wait for, and nobody else could ever be elected. As its own configuration
 * decides, without its vote, this is as safe as any election; with pre-vote it disturbs nobody.
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

function tryCampaign(core: Core, reason: CampaignReason): void {
  // Without its state a member cannot lead.
  if (core.log.unstable.snapshot !== null) return;
  // A change that is committed but not applied may have taken the vote away from us or from others.
  if (mayHaveUnappliedChange(core)) return;
  if (reason === "timeout" && core.options.preVote) startPreVote(core);
  else startElection(core, reason);
}

export function stepVoteRequest(core: Core, message: VoteRequest): void {
  assert(message.term === core.term, "a vote is given in the candidate's term");
  const granted = canVoteFor(core, message) && core.log.isUpToDate(message.last);
  const { id: from, term } = core;
  sendAfterAppend(core, { kind: "vote-reply", from, to: message.from, term, granted });
  if (!granted) return;
  core.electionElapsedTicks = 0;
  core.votedFor = message.from;
}

/**
 * Learners vote too: one may have been promoted and not know it yet, and if the others are gone its
 * vote is needed. A candidate counts only the votes of voters.
 */
export function stepPreVoteRequest(core: Core, message: PreVoteRequest): void {
  const canVote = message.term > core.term || canVoteFor(core, message);
  const granted = canVote && core.log.isUpToDate(message.last);
  if (!granted) {
    rejectPreVote(core, message);
    return;
  }
  // It answers for the term that was asked for, which is not entered here either.
  const { from: to, term } = message;
  sendAfterAppend(core, { kind: "pre-vote-reply", from: core.id, to, term, granted });
}

/** Tells the term that is here, which a candidate of an earlier one then enters. */
export function rejectPreVote(core: Core, message: PreVoteRequest): void {
  const { id: from, term } = core;
  sendAfterAppend(core, { kind: "pre-vote-reply", from, to: message.from, term, granted: false });
}

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
 * Thesis §4.2.3: who hears a leader disregards candidates, so that a member that was removed or cut
 * off cannot depose it.
 */
export function isLeaderLeaseValid(core: Core): boolean {
  const { checkQuorum, electionTicks } = core.options;
  if (!checkQuorum || leaderIdOf(core) === NO_MEMBER) return false;
  return core.electionElapsedTicks < electionTicks;
}

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

function startElection(core: Core, reason: CampaignReason): void {
  becomeCandidate(core);
  const { id: from, term, log } = core;
  const last: EntryPosition = log.last();
  const isTransfer = reason === "transfer";
  for (const to of votersOf(core.membership)) {
    if (to === from) {
      // Its own vote counts once it is durable, like everybody's.
      sendAfterAppend(core, { kind: "vote-reply", from, to, term, granted: true });
    } else {
      send(core, { kind: "vote-request", from, to, term, last, isTransfer });
    }
  }
}

/** Raft §5.2, §8: the entry without data makes everything before it committable. */
function assumeLeadership(core: Core): void {
  const leader = becomeLeader(core);
  const index = appendProposals(core, leader, [{ kind: "normal", data: NO_DATA }]);
  assert(index !== null, "an entry without data is never refused");
  broadcastAppend(core, leader, "send-empty");
  transferUnlessVoter(core, leader);
}

/** Raft §5.4.1: one vote a term, and none while a leader of the term is known. */
function canVoteFor(core: Core, request: VoteRequest | PreVoteRequest): boolean {
  if (core.votedFor === request.from) return true;
  return core.votedFor === NO_MEMBER && leaderIdOf(core) === NO_MEMBER;
}

function countVote(
  core: Core,
  candidate: Candidate | PreCandidate,
  message: VoteReply | PreVoteReply,
): "won" | "lost" | "pending" {
  const { votes } = candidate;
  if (!votes.has(message.from)) votes.set(message.from, message.granted);
  return quorumVote(core.membership, votes);
}

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
