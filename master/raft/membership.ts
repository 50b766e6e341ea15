import { assert, unreachable } from "../../shared/base/assert.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { ChangeOperation, MembershipChange } from "./membership-change.ts";
import type { Membership } from "./messages.ts";
import { NO_MEMBER } from "./messages.ts";
import { isVoter, sortedIds } from "./quorum.ts";

/** Reason why a change cannot be applied to a membership. */
export type ChangeRefusal =
  | "already-joint"
  | "not-joint"
  | "no-voters-yet"
  | "no-voters-left"
  | "needs-joint";

/** Result of a membership change. */
export type ChangeResult =
  | { readonly kind: "changed"; readonly membership: Membership }
  | { readonly kind: "refused"; readonly reason: ChangeRefusal };

/** Returns whether a joint configuration is in effect: both majorities must agree (Raft §6). */
export function isJoint(membership: Membership): boolean {
  return membership.votersOutgoing.length > 0;
}

/** Returns whether `id` is a voter or a learner. */
export function isMember(membership: Membership, id: MemberId): boolean {
  return isVoter(membership, id) || membership.learners.includes(id);
}

/** Returns all members that receive the log, by ascending id. */
export function membersOf(membership: Membership): readonly MemberId[] {
  const { voters, votersOutgoing, learners } = membership;
  return sortedIds([...voters, ...votersOutgoing, ...learners]);
}

/** Returns the membership after `change`: Raft §6. */
export function changeMembership(membership: Membership, change: MembershipChange): ChangeResult {
  if (change.kind === "v1") return changeSimple(membership, [change.operation]);
  const { operations, transition } = change;
  if (transition === "auto" && operations.length === 0) return leaveJoint(membership);
  // A single operation needs no joint configuration: thesis §4.1.
  if (transition === "auto" && operations.length === 1) {
    return changeSimple(membership, operations);
  }
  return enterJoint(membership, operations, { autoLeave: transition !== "explicit" });
}

/**
 * Applies `operations` without a joint configuration. At most one voter may be added or removed:
 * then every old majority shares a voter with every new one (thesis §4.1).
 */
export function changeSimple(
  membership: Membership,
  operations: readonly ChangeOperation[],
): ChangeResult {
  if (isJoint(membership)) return refuse("already-joint");
  const draft = draftOf(membership);
  for (const operation of operations) applyOperation(draft, operation);
  if (draft.voters.size === 0) return refuse("no-voters-left");
  if (differenceCount(new Set(membership.voters), draft.voters) > 1) return refuse("needs-joint");
  return finish(draft);
}

/** Enters a joint configuration: both the old and the new majority must agree (Raft §6). */
export function enterJoint(
  membership: Membership,
  operations: readonly ChangeOperation[],
  options: { readonly autoLeave: boolean },
): ChangeResult {
  if (isJoint(membership)) return refuse("already-joint");
  if (membership.voters.length === 0) return refuse("no-voters-yet");
  const draft = draftOf(membership);
  for (const voter of draft.voters) draft.votersOutgoing.add(voter);
  for (const operation of operations) applyOperation(draft, operation);
  if (draft.voters.size === 0) return refuse("no-voters-left");
  return finish({ ...draft, autoLeave: options.autoLeave });
}

/** Leaves the joint configuration: from then on the new majority decides alone. */
export function leaveJoint(membership: Membership): ChangeResult {
  if (!isJoint(membership)) return refuse("not-joint");
  const draft = draftOf(membership);
  for (const id of draft.learnersNext) draft.learners.add(id);
  draft.learnersNext.clear();
  draft.votersOutgoing.clear();
  return finish({ ...draft, autoLeave: false });
}

/** Asserts the invariants of `Membership`. @returns the membership. */
export function checkedMembership(membership: Membership): Membership {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = membership;
  for (const id of learners) assert(!isVoter(membership, id), "a learner does not vote");
  for (const id of learnersNext) {
    assert(votersOutgoing.includes(id), "a next learner is an outgoing voter");
    assert(!voters.includes(id), "a next learner is not an incoming voter");
  }
  if (!isJoint(membership)) {
    assert(learnersNext.length === 0, "only a joint membership has next learners");
    assert(!autoLeave, "only a joint membership can be left");
  }
  return membership;
}

/** A membership that is being changed. */
interface Draft {
  readonly voters: Set<MemberId>;
  readonly votersOutgoing: Set<MemberId>;
  readonly learners: Set<MemberId>;
  readonly learnersNext: Set<MemberId>;
  readonly autoLeave: boolean;
}

function draftOf(membership: Membership): Draft {
  return {
    voters: new Set(membership.voters),
    votersOutgoing: new Set(membership.votersOutgoing),
    learners: new Set(membership.learners),
    learnersNext: new Set(membership.learnersNext),
    autoLeave: membership.autoLeave,
  };
}

function finish(draft: Draft): ChangeResult {
  const membership = checkedMembership({
    voters: sortedIds(draft.voters),
    votersOutgoing: sortedIds(draft.votersOutgoing),
    learners: sortedIds(draft.learners),
    learnersNext: sortedIds(draft.learnersNext),
    autoLeave: draft.autoLeave,
  });
  return { kind: "changed", membership };
}

function refuse(reason: ChangeRefusal): ChangeResult {
  return { kind: "refused", reason };
}

/** Applies one operation. Adding a member again or removing an unknown member changes nothing. */
function applyOperation(draft: Draft, operation: ChangeOperation): void {
  const { memberId } = operation;
  // A driver cancels an operation by setting its member to NO_MEMBER, as in etcd-io/raft.
  if (memberId === NO_MEMBER) return;
  switch (operation.kind) {
    case "add-voter":
      removeMember(draft, memberId);
      draft.voters.add(memberId);
      return;
    case "add-learner":
      removeMember(draft, memberId);
      // A member that still votes in the outgoing majority cannot be a learner yet.
      if (draft.votersOutgoing.has(memberId)) draft.learnersNext.add(memberId);
      else draft.learners.add(memberId);
      return;
    case "remove":
      removeMember(draft, memberId);
      return;
    case "update":
      return;
    default:
      unreachable(operation.kind);
  }
}

/** Removes `id` from the incoming configuration. An outgoing voter keeps its vote until the end. */
function removeMember(draft: Draft, id: MemberId): void {
  draft.voters.delete(id);
  draft.learners.delete(id);
  draft.learnersNext.delete(id);
}

function differenceCount(left: ReadonlySet<MemberId>, right: ReadonlySet<MemberId>): number {
  const onlyLeft = Array.from(left).filter((id) => !right.has(id));
  const onlyRight = Array.from(right).filter((id) => !left.has(id));
  return onlyLeft.length + onlyRight.length;
}
