import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { MemberAddress, MembershipChangeRequest } from "../consensus.ts";
import type { Membership } from "../raft/messages.ts";
import type { ProgressStatus } from "../raft/raft.ts";
import { idsOf } from "./membership-record.ts";

/** As many as a config may name. */
const MEMBERS_MAX = 9;
/** A member that lacks no more than this has caught up: under load nobody is ever quite there. */
const LAG_ENTRIES_MAX = 5_000;

/** What a change is held against. */
export interface GroupFacts {
  readonly membership: Membership;
  readonly members: readonly MemberAddress[];
  readonly leaderId: MemberId;
  readonly lastIndex: LogIndex;
  readonly progress: readonly ProgressStatus[];
}

/** Whether `change` names what is there and leaves a cluster. @throws {AshlarError} */
export function checkChange(facts: GroupFacts, change: MembershipChangeRequest): void {
  const { add, promote, remove } = change;
  if (add.length + promote.length + remove.length === 0) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot change the members: nothing is asked for");
  }
  const named = [...add.map(({ id }) => id), ...promote, ...remove];
  if (new Set(named).size !== named.length) {
    throw new AshlarError("INVALID_ARGUMENT", "Cannot change the members: one is named twice");
  }
  if (facts.membership.votersOutgoing.length > 0) throw changeUnderWay();
  for (const member of add) checkAdded(facts, member);
  for (const id of promote) checkPromoted(facts, id);
  for (const id of remove) requireKnown(facts, id);
  if (facts.members.length + add.length > MEMBERS_MAX) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot add a member: expected at most ${MEMBERS_MAX}: there are ${facts.members.length}`,
    );
  }
  if (votersAfter(facts.membership, change).length === 0) {
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
export function silentMajority(
  facts: GroupFacts,
  change: MembershipChangeRequest,
): readonly MemberId[] {
  const voters = votersAfter(facts.membership, change);
  const silent = voters.filter((id) => id !== facts.leaderId && !isActive(facts, id));
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

export function changeUnderWay(): AshlarError {
  return new AshlarError(
    "CHANGE_UNDER_WAY",
    "Cannot change the members: another change is not done yet",
  );
}

/** @throws {AshlarError} MEMBER_UNKNOWN, INVALID_ARGUMENT, MEMBER_BEHIND */
export function checkHeir(facts: GroupFacts, id: MemberId): void {
  requireKnown(facts, id);
  if (!facts.membership.voters.includes(id)) {
    throw new AshlarError("INVALID_ARGUMENT", `Cannot transfer to member ${id}: it has no vote`, {
      hint: "It is still catching up: ashlar master add finishes what it began",
    });
  }
  requireCaughtUp(facts, id, `Cannot transfer to member ${id}`);
}

/** The voter that lacks least, of those that answer; null if there is none. */
export function bestHeir(facts: GroupFacts, without: readonly MemberId[]): MemberId | null {
  const { voters } = facts.membership;
  const [best] = facts.progress
    .filter(({ id }) => id !== facts.leaderId && voters.includes(id) && !without.includes(id))
    .filter(({ isRecentlyActive }) => isRecentlyActive)
    .sort((left, right) => right.matchIndex - left.matchIndex);
  return best?.id ?? null;
}

function checkAdded({ members }: GroupFacts, { id, address }: MemberAddress): void {
  const same = members.find((each) => each.id === id || each.address === address);
  if (same === undefined) return;
  throw new AshlarError(
    "ALREADY_EXISTS",
    `Cannot add member ${id} at ${address}: member ${same.id} at ${same.address} is there already`,
    { hint: `ashlar master remove ${same.id} takes it out first`, details: { memberId: same.id } },
  );
}

function checkPromoted(facts: GroupFacts, id: MemberId): void {
  requireKnown(facts, id);
  if (facts.membership.voters.includes(id)) {
    throw new AshlarError("ALREADY_EXISTS", `Cannot give member ${id} a vote: it has one`);
  }
  requireCaughtUp(facts, id, `Cannot give member ${id} a vote`);
}

function requireKnown({ membership }: GroupFacts, id: MemberId): void {
  const known = idsOf(membership);
  if (known.includes(id)) return;
  throw new AshlarError(
    "MEMBER_UNKNOWN",
    `Cannot find member ${id}: the members are ${known.join(", ")}`,
    { hint: "ashlar master status" },
  );
}

function requireCaughtUp(facts: GroupFacts, id: MemberId, what: string): void {
  if (id === facts.leaderId) return;
  const { lastIndex } = facts;
  const progress = facts.progress.find((each) => each.id === id);
  const matchIndex = progress?.matchIndex ?? 0;
  const isFollowing = progress?.state.kind === "replicate" && isActive(facts, id);
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

function isActive({ progress }: GroupFacts, id: MemberId): boolean {
  return progress.find((each) => each.id === id)?.isRecentlyActive ?? false;
}
