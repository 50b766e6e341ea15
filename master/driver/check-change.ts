import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress, MembershipChangeRequest } from "../consensus.ts";
import type { Membership } from "../raft/messages.ts";
import type { ProgressStatus } from "../raft/raft.ts";
import { memberIdsOf } from "./membership-record.ts";

/** Maximum number of members. Equal to the limit of `members` in the config. */
const MEMBERS_MAX = 9;
/**
 * A member that lacks at most this many entries counts as caught up. The limit is not 0 because
 * under load a follower always lacks some entries.
 */
const LAG_ENTRIES_MAX = 5_000;

/** The membership and the replication progress against which the leader checks a change. */
export interface ChangeContext {
  readonly membership: Membership;
  readonly members: readonly MemberAddress[];
  readonly leaderId: MemberId;
  readonly lastIndex: LogIndex;
  readonly progress: readonly ProgressStatus[];
}

/**
 * Checks that `change` is consistent with the membership and leaves at least one voter.
 *
 * @throws {AshlarError} INVALID_ARGUMENT, CHANGE_UNDER_WAY, ALREADY_EXISTS, MEMBER_UNKNOWN,
 *   MEMBER_BEHIND, MAJORITY_AT_RISK
 */
export function checkChange(context: ChangeContext, change: MembershipChangeRequest): void {
  const { add, promote, remove } = change;
  if (add.length + promote.length + remove.length === 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot change the members: expected at least one member to add, promote or remove",
    );
  }
  const named = [...add.map(({ id }) => id), ...promote, ...remove];
  if (new Set(named).size !== named.length) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      "Cannot change the members: expected each member once",
    );
  }
  if (context.membership.votersOutgoing.length > 0) throw changeInProgress();
  for (const member of add) checkAdded(context, member);
  for (const id of promote) checkPromoted(context, id);
  for (const id of remove) requireKnown(context, id);
  if (context.members.length + add.length > MEMBERS_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot add a member: expected at most ${MEMBERS_MAX} members: the cluster has ${context.members.length}`,
    );
  }
  if (votersAfter(context.membership, change).length === 0) {
    throw new AshlarError(
      "MAJORITY_AT_RISK",
      "Cannot remove the last voter: the cluster could commit nothing",
      { hint: "Add another master first: ashlar master add ID=HOST:PORT" },
    );
  }
}

function votersAfter(
  { voters }: Membership,
  { promote, remove }: Pick<MembershipChangeRequest, "promote" | "remove">,
): readonly MemberId[] {
  return [...voters, ...promote].filter((id) => !remove.includes(id));
}

/**
 * Returns the voters after `change` that have not answered within the last election timeout, if the
 * other voters are not a majority. Returns no ids if the others are a majority.
 */
export function votersMissingForMajority(
  context: ChangeContext,
  change: MembershipChangeRequest,
): readonly MemberId[] {
  const voters = votersAfter(context.membership, change);
  const silent = voters.filter((id) => id !== context.leaderId && !isActive(context, id));
  const activeCount = voters.length - silent.length;
  return activeCount > voters.length / 2 ? [] : silent;
}

/** Returns the error for a change after which the `silent` members are needed for a majority. */
export function majorityAtRisk(silent: readonly MemberId[]): AshlarError {
  return new AshlarError(
    "MAJORITY_AT_RISK",
    `Cannot change the members: expected a majority of the voters to answer: no answer from member ${silent.join(", ")}`,
    {
      hint: "Start the silent masters or remove them first. ashlar master status shows which masters answer",
    },
  );
}

/** Returns the error for a change that is requested while another one is in progress. */
export function changeInProgress(): AshlarError {
  return new AshlarError(
    "CHANGE_UNDER_WAY",
    "Cannot change the members: another change is in progress",
  );
}

/**
 * Checks that member `id` is a voter that has caught up, so that it can become the leader.
 *
 * @throws {AshlarError} MEMBER_UNKNOWN, INVALID_ARGUMENT, MEMBER_BEHIND
 */
export function checkSuccessor(context: ChangeContext, id: MemberId): void {
  requireKnown(context, id);
  if (!context.membership.voters.includes(id)) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot transfer leadership to member ${id}: it has no vote`,
      {
        hint: "The member is a learner: repeat ashlar master add to give it a vote",
      },
    );
  }
  requireCaughtUp(context, id, `Cannot transfer leadership to member ${id}`);
}

/**
 * Returns the active voter with the highest matchIndex, apart from the leader and the members in
 * `without`. Null if no such voter exists.
 */
export function bestSuccessor(
  context: ChangeContext,
  without: readonly MemberId[],
): MemberId | null {
  const { voters } = context.membership;
  const [best] = context.progress
    .filter(({ id }) => id !== context.leaderId && voters.includes(id) && !without.includes(id))
    .filter(({ isRecentlyActive }) => isRecentlyActive)
    .sort((left, right) => right.matchIndex - left.matchIndex);
  return best?.id ?? null;
}

function checkAdded({ members }: ChangeContext, { id, address }: MemberAddress): void {
  const same = members.find((each) => each.id === id || each.address === address);
  if (same === undefined) return;
  throw new AshlarError(
    "ALREADY_EXISTS",
    `Cannot add member ${id} at ${address}: the cluster already has member ${same.id} at ${same.address}`,
    { hint: `Remove it first: ashlar master remove ${same.id}`, details: { memberId: same.id } },
  );
}

function checkPromoted(context: ChangeContext, id: MemberId): void {
  requireKnown(context, id);
  if (context.membership.voters.includes(id)) {
    throw new AshlarError(
      "ALREADY_EXISTS",
      `Cannot give member ${id} a vote: it already has a vote`,
    );
  }
  requireCaughtUp(context, id, `Cannot give member ${id} a vote`);
}

function requireKnown({ membership }: ChangeContext, id: MemberId): void {
  const known = memberIdsOf(membership);
  if (known.includes(id)) return;
  throw new AshlarError(
    "MEMBER_UNKNOWN",
    `No such member: ${id}: the members are ${known.join(", ")}`,
    { hint: "ashlar master status" },
  );
}

function requireCaughtUp(context: ChangeContext, id: MemberId, action: string): void {
  if (id === context.leaderId) return;
  const { lastIndex } = context;
  const progress = context.progress.find((each) => each.id === id);
  const matchIndex = progress?.matchIndex ?? 0;
  const isFollowing = progress?.state.kind === "replicate" && isActive(context, id);
  if (isFollowing && lastIndex - matchIndex <= LAG_ENTRIES_MAX) return;
  throw new AshlarError(
    "MEMBER_BEHIND",
    `${action}: it has the log up to index ${matchIndex}, the leader up to ${lastIndex}`,
    {
      details: { matchIndex, lastIndex },
      hint: "ashlar master status shows its progress",
    },
  );
}

function isActive({ progress }: ChangeContext, id: MemberId): boolean {
  return progress.find((each) => each.id === id)?.isRecentlyActive ?? false;
}
