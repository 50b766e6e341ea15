import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress, MembershipChangeRequest } from "../consensus.ts";
import type { Membership } from "../raft/messages.ts";
import type { ProgressStatus } from "../raft/raft.ts";
import { memberIdsOf } from "./membership-record.ts";

/** As many as a config may name. */
const MEMBERS_MAX = 9;
/** A member that lacks no more than this has caught up: under load nobody is ever quite there. */
const LAG_ENTRIES_MAX = 5_000;

/** What a change is held against. */
export interface ChangeContext {
  readonly membership: Membership;
  readonly members: readonly MemberAddress[];
  readonly leaderId: MemberId;
  readonly lastIndex: LogIndex;
  readonly progress: readonly ProgressStatus[];
}

/** Whether `change` names what is there and leaves a cluster. @throws {AshlarError} */
export function checkChange(context: ChangeContext, change: MembershipChangeRequest): void {
  const { add, promote, remove } = change;
  if (add.length + promote.length + remove.length === 0) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot change the members: nothing is asked for");
  }
  const named = [...add.map(({ id }) => id), ...promote, ...remove];
  if (new Set(named).size !== named.length) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot change the members: one is named twice");
  }
  if (context.membership.votersOutgoing.length > 0) throw changeInProgress();
  for (const member of add) checkAdded(context, member);
  for (const id of promote) checkPromoted(context, id);
  for (const id of remove) requireKnown(context, id);
  if (context.members.length + add.length > MEMBERS_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot add a member: expected at most ${MEMBERS_MAX}: there are ${context.members.length}`,
    );
  }
  if (votersAfter(context.membership, change).length === 0) {
    throw new AshlarError(
      "MAJORITY_AT_RISK",
      "Cannot remove the last member that votes: nobody would be left to decide",
      { hint: "Add another one first: ashlar master add ID=HOST:PORT" },
    );
  }
}

function votersAfter(
  { voters }: Membership,
  { promote, remove }: Pick<MembershipChangeRequest, "promote" | "remove">,
): readonly MemberId[] {
  return [...voters, ...promote].filter((id) => !remove.includes(id));
}

/** The voters after `change` that were not heard lately, if they leave no majority; else none. */
export function votersMissingForMajority(
  context: ChangeContext,
  change: MembershipChangeRequest,
): readonly MemberId[] {
  const voters = votersAfter(context.membership, change);
  const silent = voters.filter((id) => id !== context.leaderId && !isActive(context, id));
  const heardCount = voters.length - silent.length;
  return heardCount > voters.length / 2 ? [] : silent;
}

export function majorityAtRisk(silent: readonly MemberId[]): AshlarError {
  return new AshlarError(
    "MAJORITY_AT_RISK",
    `Cannot change the members so: member ${silent.join(", ")} does not answer, and without it no majority would be left`,
    { hint: "Bring it back, or remove it first; ashlar master status says who answers" },
  );
}

export function changeInProgress(): AshlarError {
  return new AshlarError(
    "CHANGE_UNDER_WAY",
    "Cannot change the members: another change is not done yet",
  );
}

/** @throws {AshlarError} MEMBER_UNKNOWN, INVALID_ARGUMENT, MEMBER_BEHIND */
export function checkSuccessor(context: ChangeContext, id: MemberId): void {
  requireKnown(context, id);
  if (!context.membership.voters.includes(id)) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot transfer to member ${id}: it has no vote`, {
      hint: "It is still catching up: ashlar master add finishes what it began",
    });
  }
  requireCaughtUp(context, id, `Cannot transfer to member ${id}`);
}

/** The voter that lacks least, of those that answer; null if there is none. */
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
    `Cannot add member ${id} at ${address}: member ${same.id} at ${same.address} is there already`,
    { hint: `ashlar master remove ${same.id} takes it out first`, details: { memberId: same.id } },
  );
}

function checkPromoted(context: ChangeContext, id: MemberId): void {
  requireKnown(context, id);
  if (context.membership.voters.includes(id)) {
    throw new AshlarError("ALREADY_EXISTS", `Cannot give member ${id} a vote: it has one`);
  }
  requireCaughtUp(context, id, `Cannot give member ${id} a vote`);
}

function requireKnown({ membership }: ChangeContext, id: MemberId): void {
  const known = memberIdsOf(membership);
  if (known.includes(id)) return;
  throw new AshlarError(
    "MEMBER_UNKNOWN",
    `Cannot find member ${id}: the members are ${known.join(", ")}`,
    { hint: "ashlar master status" },
  );
}

function requireCaughtUp(context: ChangeContext, id: MemberId, what: string): void {
  if (id === context.leaderId) return;
  const { lastIndex } = context;
  const progress = context.progress.find((each) => each.id === id);
  const matchIndex = progress?.matchIndex ?? 0;
  const isFollowing = progress?.state.kind === "replicate" && isActive(context, id);
  if (isFollowing && lastIndex - matchIndex <= LAG_ENTRIES_MAX) return;
  throw new AshlarError(
    "MEMBER_BEHIND",
    `${what}: it has the log up to index ${matchIndex}, the leader's ends at ${lastIndex}`,
    {
      details: { matchIndex, lastIndex },
      hint: "ashlar master status shows how it catches up",
    },
  );
}

function isActive({ progress }: ChangeContext, id: MemberId): boolean {
  return progress.find((each) => each.id === id)?.isRecentlyActive ?? false;
}
