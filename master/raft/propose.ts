import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { becomeFollower, leaderIdOf, send, trackMembers } from "./core.ts";
import { indexAfter } from "./entries.ts";
import { changeMembership, isJoint, isMember } from "./membership.ts";
import type { MembershipChange } from "./membership-change.ts";
import { decodeChange, LEAVE_JOINT, proposalOf } from "./membership-change.ts";
import type { Membership, Proposal, ProposeRequest } from "./messages.ts";
import { NO_MEMBER } from "./messages.ts";
import { isVoter } from "./quorum.ts";
import { advanceCommit, appendProposals } from "./replication.ts";
import { broadcastAppend } from "./send-log.ts";

/** Reason why a proposal was refused. */
export type ProposeRefusal =
  /** No leader is known. */
  | "no-leader"
  /** Another member is the leader. */
  | "not-leader"
  /** `uncommittedBytesMax` would be exceeded. */
  | "overloaded"
  /** A leadership transfer is in progress. */
  | "transferring"
  /** This leader was removed from the membership and has not stepped down yet. */
  | "removed"
  /** The membership change is invalid, or another one is pending. An empty entry replaces it. */
  | "change-not-allowed";

/** Result of a proposal. */
export type ProposeResult =
  /**
   * The entries are in the leader's log from `firstIndex` on, in order, and not yet committed. If
   * an entry of another `term` is applied at one of these indexes, the proposal is lost.
   */
  | { readonly kind: "appended"; readonly firstIndex: LogIndex; readonly term: Term }
  /** Sent to the leader. It may be lost without notice. */
  | { readonly kind: "forwarded" }
  /** The proposal is in no log. */
  | { readonly kind: "refused"; readonly reason: ProposeRefusal };

const EMPTY_PROPOSAL: Proposal = { kind: "normal", data: new Uint8Array(0) };

/** Appends all of `proposals` or none; a follower forwards them if that is enabled. */
export function propose(core: Core, proposals: readonly Proposal[]): ProposeResult {
  assert(proposals.length > 0, "at least one entry is proposed");
  if (core.role.kind === "leader") return proposeAsLeader(core, core.role, proposals);
  const leaderId = leaderIdOf(core);
  if (leaderId === NO_MEMBER) return refuse("no-leader");
  if (!core.options.forwardProposals) return refuse("not-leader");
  send(core, { kind: "propose-request", from: core.id, to: leaderId, proposals });
  return { kind: "forwarded" };
}

/** Processes proposals that a follower forwarded. The follower is not notified of a refusal. */
export function stepProposeRequest(core: Core, message: ProposeRequest): void {
  propose(core, message.proposals);
}

/**
 * Proposes to leave a joint configuration with `autoLeave`; called after entries were applied. If
 * the proposal is refused, the next applied entry triggers it again.
 */
export function proposeLeavingJoint(core: Core, leader: Leader): void {
  if (!core.membership.autoLeave) return;
  if (core.log.appliedIndex < leader.pendingChangeIndex) return;
  propose(core, [proposalOf(LEAVE_JOINT)]);
}

/**
 * Applies a committed membership change. All members apply the same changes in the same order, so
 * they have equal memberships at equal applied indexes.
 *
 * @returns the new membership.
 */
export function applyChange(core: Core, change: MembershipChange): Membership {
  const result = changeMembership(core.appliedMembership, change);
  // A leader proposes only a change that is valid after everything that it has applied.
  assert(result.kind === "changed", "a committed membership change can be applied");
  core.appliedMembership = result.membership;
  // The membership of a received snapshot already includes this change.
  if (core.log.unstable.snapshot !== null) return result.membership;
  core.membership = result.membership;
  const { role, id, membership } = core;
  if (role.kind !== "leader") return membership;
  trackMembers(core, role);
  if (!isVoter(membership, id)) {
    // Without stepping down it stays leader as a non-voter until another is elected: thesis §4.2.2.
    if (core.options.stepDownOnRemoval) becomeFollower(core, core.term, NO_MEMBER);
    return membership;
  }
  if (core.options.settleChanges && !isJoint(membership)) appendSettlingEntry(core, role);
  // The new majority may have committed more entries than the old one; new members are contacted
  // now.
  if (advanceCommit(core, role)) broadcastAppend(core, role, "send-empty");
  else broadcastAppend(core, role, "skip-empty");
  if (!isVoter(membership, role.transferee)) role.transferee = NO_MEMBER;
  return membership;
}

/**
 * Appends the empty entry of `settleChanges`. Removed members may be shut down only after it is
 * committed: then a majority of the remaining members has stored that the change is committed.
 */
function appendSettlingEntry(core: Core, leader: Leader): void {
  const index = appendProposals(core, leader, [EMPTY_PROPOSAL]);
  assert(index !== null, "an entry without data is never refused");
  leader.settledIndex = index;
}

/** Appends proposals to the log of this leader and replicates them. */
function proposeAsLeader(
  core: Core,
  leader: Leader,
  proposals: readonly Proposal[],
): ProposeResult {
  if (!isMember(core.membership, core.id)) return refuse("removed");
  if (leader.transferee !== NO_MEMBER) return refuse("transferring");
  const nextIndex = indexAfter(core.log.lastIndex());
  const before = leader.pendingChangeIndex;
  const admitted = proposals.map((proposal, offset) =>
    admitProposal(core, leader, { proposal, index: indexAfter(nextIndex, offset) }),
  );
  const firstIndex = appendProposals(core, leader, admitted);
  if (firstIndex === null) {
    leader.pendingChangeIndex = before;
    return refuse("overloaded");
  }
  broadcastAppend(core, leader, "send-empty");
  const isAdmitted = admitted.every((proposal, offset) => proposal === proposals[offset]);
  if (!isAdmitted) return refuse("change-not-allowed");
  return { kind: "appended", firstIndex, term: core.term };
}

/** Returns `proposal`, or an empty entry if it is a membership change that is not allowed. */
function admitProposal(
  core: Core,
  leader: Leader,
  candidate: { readonly proposal: Proposal; readonly index: LogIndex },
): Proposal {
  const { proposal, index } = candidate;
  if (proposal.kind === "normal") return proposal;
  const change = decodeChange(proposal);
  if (core.options.validateChanges && !isChangeAllowed(core, leader, change)) return EMPTY_PROPOSAL;
  leader.pendingChangeIndex = index;
  return proposal;
}

/**
 * Returns whether no other change is pending and `change` can be applied to the current membership.
 */
function isChangeAllowed(core: Core, leader: Leader, change: MembershipChange): boolean {
  if (leader.pendingChangeIndex > core.log.appliedIndex) return false;
  return changeMembership(core.membership, change).kind === "changed";
}

function refuse(reason: ProposeRefusal): ProposeResult {
  return { kind: "refused", reason };
}
