import { assert } from "../../shared/base/assert.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { leaderIdOf, send } from "./core.ts";
import type { ReadIndexReply, ReadIndexRequest } from "./messages.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import type { ReadRequest, UnconfirmedRead } from "./pending-reads.ts";
import { broadcastHeartbeat } from "./send-log.ts";

/** Starts a read of this member. @returns false if no leader is known or the limit is reached. */
export function requestRead(core: Core, readId: number): boolean {
  const leaderId = leaderIdOf(core);
  if (core.role.kind === "leader") return acceptRead(core, core.role, { from: core.id, readId });
  if (leaderId === NO_MEMBER) return false;
  send(core, { kind: "read-index-request", from: core.id, to: leaderId, readId });
  return true;
}

/**
 * Accepts a forwarded read. Drops the read if this member is not the leader or the limit is
 * reached: the follower repeats lost reads.
 */
export function stepReadIndexRequest(core: Core, message: ReadIndexRequest): void {
  if (core.role.kind === "leader") {
    acceptRead(core, core.role, { from: message.from, readId: message.readId });
  }
}

/** Delivers the leader's answer to the driver. */
export function stepReadIndexReply(core: Core, message: ReadIndexReply): void {
  const { readId, readIndex } = message;
  core.readStates.push({ readId, readIndex });
}

/** Records the reply to a heartbeat and answers the reads that it confirms. */
export function acknowledgeReads(
  core: Core,
  leader: Leader,
  answer: { readonly from: MemberId; readonly readSequence: number },
): void {
  if (answer.readSequence === 0) return;
  leader.reads.acknowledge(answer.from, answer.readSequence);
  for (const read of leader.reads.takeConfirmed(core.membership)) {
    answerRead(core, read);
  }
}

/** Continues reads that waited for the first entry of the leader's term; called after a commit. */
export function releasePostponedReads(core: Core, leader: Leader): void {
  if (!hasCommittedInTerm(core)) return;
  for (const request of leader.reads.takePostponed()) confirmRead(core, leader, request);
}

/** Accepts a read at the leader. @returns false if the limit of pending reads is reached. */
function acceptRead(core: Core, leader: Leader, request: ReadRequest): boolean {
  if (leader.reads.pendingCount >= core.options.pendingReadsMax) return false;
  if (hasCommittedInTerm(core)) confirmRead(core, leader, request);
  else leader.reads.postpone(request);
  return true;
}

/** Starts a round of heartbeats that confirms the read, unless no confirmation is needed. */
function confirmRead(core: Core, leader: Leader, request: ReadRequest): void {
  const read = { ...request, readIndex: core.log.committedIndex };
  if (core.options.readMode === "lease" || isOnlyVoter(core)) {
    answerRead(core, read);
    return;
  }
  leader.reads.add(read);
  leader.reads.acknowledge(core.id, leader.reads.sequence);
  broadcastHeartbeat(core, leader);
}

/** Delivers a confirmed read to this member or to the follower that requested it. */
function answerRead(core: Core, read: UnconfirmedRead): void {
  const { from, readId, readIndex } = read;
  assert(readIndex > INDEX_ZERO, "a leader that answers reads has committed an entry");
  if (from === core.id) {
    core.readStates.push({ readId, readIndex });
    return;
  }
  const { id, term } = core;
  send(core, { kind: "read-index-reply", from: id, to: from, term, readId, readIndex });
}

/**
 * Returns whether an entry of the current term is committed. The log of a new leader contains all
 * committed entries, but its commit index may be lower than the index of an acknowledged write
 * until such an entry is committed (Raft §8).
 */
function hasCommittedInTerm(core: Core): boolean {
  return core.log.term(core.log.committedIndex) === core.term;
}

function isOnlyVoter(core: Core): boolean {
  const { voters, votersOutgoing } = core.membership;
  return voters.length === 1 && voters[0] === core.id && votersOutgoing.length === 0;
}
