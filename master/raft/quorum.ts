import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import { minIndex } from "./entries.ts";
import type { Membership } from "./messages.ts";

/**
 * The voters of a membership. While it is joint, a decision needs a majority of `voters` and a
 * majority of `votersOutgoing` (Raft §6). Otherwise `votersOutgoing` is empty, and an empty set
 * agrees to every decision.
 */
export type VoterSets = Pick<Membership, "voters" | "votersOutgoing">;

/** Result of an election so far. `pending`: the votes that are missing can still decide it. */
export type VoteResult = "won" | "lost" | "pending";

/** Returns the highest index that a majority of `voters` has reached; infinity for no voters. */
export function majorityIndex(
  voters: readonly MemberId[],
  indexOf: (voter: MemberId) => LogIndex | undefined,
): LogIndex {
  if (voters.length === 0) return Number.POSITIVE_INFINITY as LogIndex;
  const indexes = voters.map((voter) => indexOf(voter) ?? (0 as LogIndex));
  indexes.sort((left, right) => right - left);
  const quorumSize = Math.floor(voters.length / 2) + 1;
  return indexes[quorumSize - 1] as LogIndex;
}

/** Returns the highest index that both majorities have reached. */
export function quorumIndex(
  { voters, votersOutgoing }: VoterSets,
  indexOf: (voter: MemberId) => LogIndex | undefined,
): LogIndex {
  const incomingIndex = majorityIndex(voters, indexOf);
  const outgoingIndex = majorityIndex(votersOutgoing, indexOf);
  return minIndex(incomingIndex, outgoingIndex);
}

/** Counts the votes of `voters`. A voter that is not in `votes` has not voted yet. */
export function majorityVote(
  voters: readonly MemberId[],
  votes: ReadonlyMap<MemberId, boolean>,
): VoteResult {
  if (voters.length === 0) return "won";
  let grantedCount = 0;
  let missingCount = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) grantedCount += 1;
    if (vote === undefined) missingCount += 1;
  }
  const quorumSize = Math.floor(voters.length / 2) + 1;
  if (grantedCount >= quorumSize) return "won";
  return grantedCount + missingCount >= quorumSize ? "pending" : "lost";
}

/** Counts the votes of both sets: won if both are won, lost if either is lost. */
export function quorumVote(
  { voters, votersOutgoing }: VoterSets,
  votes: ReadonlyMap<MemberId, boolean>,
): VoteResult {
  const incoming = majorityVote(voters, votes);
  const outgoing = majorityVote(votersOutgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
}

/** Returns whether `id` votes in either set. */
export function isVoter({ voters, votersOutgoing }: VoterSets, id: MemberId): boolean {
  return voters.includes(id) || votersOutgoing.includes(id);
}

/** Returns the voters of both sets, by ascending id. */
export function votersOf({ voters, votersOutgoing }: VoterSets): readonly MemberId[] {
  return sortedIds([...voters, ...votersOutgoing]);
}

/** Returns the distinct ids, ascending. */
export function sortedIds(ids: Iterable<MemberId>): readonly MemberId[] {
  return [...new Set(ids)].sort((left, right) => left - right);
}
