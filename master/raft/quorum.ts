import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import { minIndex } from "./entries.ts";

/** Voters of which any two majorities share one. */
export type Majority = ReadonlySet<MemberId>;

/**
 * The voters that decide. While the configuration is joint, both majorities must agree (Raft §6);
 * otherwise `outgoing` is empty, and an empty majority agrees to everything.
 */
export interface Quorum {
  readonly incoming: Majority;
  readonly outgoing: Majority;
}

export type VoteResult = "won" | "lost" | "pending";

/** The highest index that a majority has reached; infinite for an empty one. */
export function majorityIndex(
  voters: Majority,
  indexOf: (voter: MemberId) => LogIndex | undefined,
): LogIndex {
  if (voters.size === 0) return Number.POSITIVE_INFINITY as LogIndex;
  const indexes = Array.from(voters, (voter) => indexOf(voter) ?? (0 as LogIndex));
  indexes.sort((left, right) => right - left);
  const quorumSize = Math.floor(voters.size / 2) + 1;
  return indexes[quorumSize - 1] as LogIndex;
}

/** The highest index that both majorities have reached. */
export function quorumIndex(
  quorum: Quorum,
  indexOf: (voter: MemberId) => LogIndex | undefined,
): LogIndex {
  const incomingIndex = majorityIndex(quorum.incoming, indexOf);
  const outgoingIndex = majorityIndex(quorum.outgoing, indexOf);
  return minIndex(incomingIndex, outgoingIndex);
}

/** A voter that is not in `votes` has not voted yet. */
export function majorityVote(voters: Majority, votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  if (voters.size === 0) return "won";
  let grantedCount = 0;
  let missingCount = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) grantedCount += 1;
    if (vote === undefined) missingCount += 1;
  }
  const quorumSize = Math.floor(voters.size / 2) + 1;
  if (grantedCount >= quorumSize) return "won";
  return grantedCount + missingCount >= quorumSize ? "pending" : "lost";
}

/** Won if both majorities are won, lost if either is. */
export function quorumVote(quorum: Quorum, votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  const incoming = majorityVote(quorum.incoming, votes);
  const outgoing = majorityVote(quorum.outgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
}

export function isVoter(quorum: Quorum, id: MemberId): boolean {
  return quorum.incoming.has(id) || quorum.outgoing.has(id);
}

/** All who vote, by ascending id. */
export function votersOf(quorum: Quorum): readonly MemberId[] {
  return sortedIds([...quorum.incoming, ...quorum.outgoing]);
}

/** Without repetition, ascending. */
export function sortedIds(ids: Iterable<MemberId>): readonly MemberId[] {
  return [...new Set(ids)].sort((left, right) => left - right);
}
