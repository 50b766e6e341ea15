import { assert, unreachable } from "../../shared/base/assert.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { ChangeOperation, MembershipChange } from "./membership-change.ts";
import type { Membership } from "./messages.ts";
import { NO_MEMBER } from "./messages.ts";
import type { Quorum } from "./quorum.ts";
import { isVoter, sortedIds } from "./quorum.ts";

/**
 * Who takes part. Never changed: a change makes a new one.
 *
 * Invariants: no learner votes, in neither majority; `learnersNext` are voters of the outgoing
 * majority alone; both it and `autoLeave` are empty unless the configuration is joint.
 */
export interface Configuration {
  readonly voters: Quorum;
  readonly learners: ReadonlySet<MemberId>;
  readonly learnersNext: ReadonlySet<MemberId>;
  readonly autoLeave: boolean;
}

export type ChangeRefusal =
  | "already-joint"
  | "not-joint"
  | "no-voters-yet"
  | "no-voters-left"
  | "needs-joint";

export type ChangeResult =
  | { readonly kind: "changed"; readonly configuration: Configuration }
  | { readonly kind: "refused"; readonly reason: ChangeRefusal };

export function isJoint(configuration: Configuration): boolean {
  return configuration.voters.outgoing.size > 0;
}

/** Whether `id` takes part in any way. */
export function isMember(configuration: Configuration, id: MemberId): boolean {
  return isVoter(configuration.voters, id) || configuration.learners.has(id);
}

/** All who receive the log, by ascending id. */
export function membersOf(configuration: Configuration): readonly MemberId[] {
  const { incoming, outgoing } = configuration.voters;
  return sortedIds([...incoming, ...outgoing, ...configuration.learners]);
}

/** What `change` makes of `configuration`: Raft §6. */
export function changeConfiguration(
  configuration: Configuration,
  change: MembershipChange,
): ChangeResult {
  if (change.kind === "v1") return changeSimply(configuration, [change.operation]);
  const { operations, transition } = change;
  if (transition === "auto" && operations.length === 0) return leaveJoint(configuration);
  // A single operation needs no joint configuration: thesis §4.1.
  if (transition === "auto" && operations.length === 1) {
    return changeSimply(configuration, operations);
  }
  return enterJoint(configuration, operations, { autoLeave: transition !== "explicit" });
}

/** Without a joint configuration, so at most one voter may come or go: thesis §4.1. */
export function changeSimply(
  configuration: Configuration,
  operations: readonly ChangeOperation[],
): ChangeResult {
  if (isJoint(configuration)) return refuse("already-joint");
  const draft = draftOf(configuration);
  for (const operation of operations) applyOperation(draft, operation);
  if (draft.incoming.size === 0) return refuse("no-voters-left");
  if (differenceCount(configuration.voters.incoming, draft.incoming) > 1) {
    return refuse("needs-joint");
  }
  return finish(draft);
}

/** From here on the old and the new majority must both agree: Raft §6. */
export function enterJoint(
  configuration: Configuration,
  operations: readonly ChangeOperation[],
  options: { readonly autoLeave: boolean },
): ChangeResult {
  if (isJoint(configuration)) return refuse("already-joint");
  if (configuration.voters.incoming.size === 0) return refuse("no-voters-yet");
  const draft = draftOf(configuration);
  for (const voter of draft.incoming) draft.outgoing.add(voter);
  for (const operation of operations) applyOperation(draft, operation);
  if (draft.incoming.size === 0) return refuse("no-voters-left");
  return finish({ ...draft, autoLeave: options.autoLeave });
}

/** The new majority decides alone. */
export function leaveJoint(configuration: Configuration): ChangeResult {
  if (!isJoint(configuration)) return refuse("not-joint");
  const draft = draftOf(configuration);
  for (const id of draft.learnersNext) draft.learners.add(id);
  draft.learnersNext.clear();
  draft.outgoing.clear();
  return finish({ ...draft, autoLeave: false });
}

/** The configuration that a snapshot holds. */
export function configurationOf(membership: Membership): Configuration {
  return checked({
    voters: {
      incoming: new Set(membership.voters),
      outgoing: new Set(membership.votersOutgoing),
    },
    learners: new Set(membership.learners),
    learnersNext: new Set(membership.learnersNext),
    autoLeave: membership.autoLeave,
  });
}

export function membershipOf(configuration: Configuration): Membership {
  return {
    voters: sortedIds(configuration.voters.incoming),
    votersOutgoing: sortedIds(configuration.voters.outgoing),
    learners: sortedIds(configuration.learners),
    learnersNext: sortedIds(configuration.learnersNext),
    autoLeave: configuration.autoLeave,
  };
}

interface Draft {
  readonly incoming: Set<MemberId>;
  readonly outgoing: Set<MemberId>;
  readonly learners: Set<MemberId>;
  readonly learnersNext: Set<MemberId>;
  readonly autoLeave: boolean;
}

function draftOf(configuration: Configuration): Draft {
  return {
    incoming: new Set(configuration.voters.incoming),
    outgoing: new Set(configuration.voters.outgoing),
    learners: new Set(configuration.learners),
    learnersNext: new Set(configuration.learnersNext),
    autoLeave: configuration.autoLeave,
  };
}

function finish(draft: Draft): ChangeResult {
  const { incoming, outgoing, learners, learnersNext, autoLeave } = draft;
  const voters = { incoming, outgoing };
  const configuration = checked({ voters, learners, learnersNext, autoLeave });
  return { kind: "changed", configuration };
}

function refuse(reason: ChangeRefusal): ChangeResult {
  return { kind: "refused", reason };
}

/** Operations on members that are there already, or not there at all, change nothing. */
function applyOperation(draft: Draft, operation: ChangeOperation): void {
  const { memberId } = operation;
  // A driver takes an operation back by clearing its member.
  if (memberId === NO_MEMBER) return;
  switch (operation.kind) {
    case "add-voter":
      withdraw(draft, memberId);
      draft.incoming.add(memberId);
      return;
    case "add-learner":
      withdraw(draft, memberId);
      // Who still votes in the outgoing majority cannot be a learner yet.
      if (draft.outgoing.has(memberId)) draft.learnersNext.add(memberId);
      else draft.learners.add(memberId);
      return;
    case "remove":
      withdraw(draft, memberId);
      return;
    case "update":
      return;
    default:
      unreachable(operation.kind);
  }
}

/** `id` has no part in the configuration that is being made. */
function withdraw(draft: Draft, id: MemberId): void {
  draft.incoming.delete(id);
  draft.learners.delete(id);
  draft.learnersNext.delete(id);
}

function differenceCount(left: ReadonlySet<MemberId>, right: ReadonlySet<MemberId>): number {
  const onlyLeft = Array.from(left).filter((id) => !right.has(id));
  const onlyRight = Array.from(right).filter((id) => !left.has(id));
  return onlyLeft.length + onlyRight.length;
}

function checked(configuration: Configuration): Configuration {
  const { voters, learners, learnersNext, autoLeave } = configuration;
  for (const id of learners) assert(!isVoter(voters, id), "a learner does not vote");
  for (const id of learnersNext) {
    assert(voters.outgoing.has(id), "a learner to be votes in the outgoing majority");
    assert(!voters.incoming.has(id), "a learner to be does not vote in the incoming majority");
  }
  if (!isJoint(configuration)) {
    assert(learnersNext.size === 0, "learners wait only for a joint configuration to end");
    assert(!autoLeave, "only a joint configuration can be left");
  }
  return configuration;
}
