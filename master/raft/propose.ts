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

export type ProposeRefusal =
  /** No leader is known: there may be none. */
  | "no-leader"
  /** Another member leads. */
  | "not-leader"
  /** `uncommittedBytesMax` would be exceeded. */
  | "overloaded"
  /** Leadership is being handed over. */
  | "transferring"
  /** This leader was removed and does not yet step down. */
  | "removed"
  /** The membership cannot be changed so, or not now. An entry without data takes its place. */
  | "change-not-allowed";

export type ProposeResult =
  /**
   * In the leader's log, not yet committed: the entries stand at `firstIndex` and behind, in order.
   * Another entry applied at one of these indexes, one of another `term`, means that it is lost.
   */
  | { readonly kind: "appended"; readonly firstIndex: LogIndex; readonly term: Term }
  /** On its way to the leader. May be lost without a sign. */
  | { readonly kind: "forwarded" }
  /** Not in any log. */
  | { readonly kind: "refused"; readonly reason: ProposeRefusal };

const EMPTY_PROPOSAL: Proposal = { kind: "normal", data: new Uint8Array(0) };

/** All of `proposals` are taken, or none. */
export function propose(core: Core, proposals: readonly Proposal[]): ProposeResult {
  assert(proposals.length > 0, "something is proposed");
  if (core.role.kind === "leader") return proposeAsLeader(core, core.role, proposals);
  const leaderId = leaderIdOf(core);
  if (leaderId === NO_MEMBER) return refuse("no-leader");
  if (!core.options.forwardProposals) return refuse("not-leader");
  send(core, { kind: "propose-request", from: core.id, to: leaderId, proposals });
  return { kind: "forwarded" };
}

/** What a follower passed on. It is not told if nothing becomes of it. */
export function stepProposeRequest(core: Core, message: ProposeRequest): void {
  propose(core, message.proposals);
}

/**
 * Entries were applied. The leader then leaves a joint configuration by itself if it is to; should
 * the proposal be refused, the next entry that is applied brings it up again.
 */
export function proposeLeavingJoint(core: Core, leader: Leader): void {
  if (!core.membership.autoLeave) return;
  if (core.log.appliedIndex < leader.pendingChangeIndex) return;
  propose(core, [proposalOf(LEAVE_JOINT)]);
}

/**
 * The configuration from the moment its entry is applied here. All members apply the same changes
 * in the same order, so they agree on what each makes.
 */
export function applyChange(core: Core, change: MembershipChange): Membership {
  const result = changeMembership(core.appliedMembership, change);
  // A leader proposes only what holds after everything that it has applied.
  assert(result.kind === "changed", "a committed membership change can be applied");
  core.appliedMembership = result.membership;
  // A snapshot that has come holds this change already.
  if (core.log.unstable.snapshot !== null) return result.membership;
  core.membership = result.membership;
  const { role, id, membership } = core;
  if (role.kind !== "leader") return membership;
  trackMembers(core, role);
  if (!isVoter(membership, id)) {
    // Without stepping down it leads on as a non-voter until somebody else is elected: thesis §4.2.2.
    if (core.options.stepDownOnRemoval) becomeFollower(core, core.term, NO_MEMBER);
    return membership;
  }
  if (core.options.settleChanges && !isJoint(membership)) appendSettlingEntry(core, role);
  // The new majority may have more in common than the old one had; new members are told at once.
  if (advanceCommit(core, role)) broadcastAppend(core, role, "send-empty");
  else broadcastAppend(core, role, "skip-empty");
  if (!isVoter(membership, role.transferee)) role.transferee = NO_MEMBER;
  return membership;
}

/** Those that were removed may go only when the others cannot forget that they were. */
function appendSettlingEntry(core: Core, leader: Leader): void {
  const index = appendProposals(core, leader, [EMPTY_PROPOSAL]);
  assert(index !== null, "an entry without data is never refused");
  leader.settledIndex = index;
}

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

/** `proposal`, or an entry without data in place of a membership change that is not allowed. */
function admitProposal(
  core: Core,
  leader: Leader,
  place: { readonly proposal: Proposal; readonly index: LogIndex },
): Proposal {
  const { proposal, index } = place;
  if (proposal.kind === "normal") return proposal;
  const change = decodeChange(proposal);
  if (core.options.validateChanges && !isChangeAllowed(core, leader, change)) return EMPTY_PROPOSAL;
  leader.pendingChangeIndex = index;
  return proposal;
}

function isChangeAllowed(core: Core, leader: Leader, change: MembershipChange): boolean {
  if (leader.pendingChangeIndex > core.log.appliedIndex) return false;
  return changeMembership(core.membership, change).kind === "changed";
}

function refuse(reason: ProposeRefusal): ProposeResult {
  return { kind: "refused", reason };
}
