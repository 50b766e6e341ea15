import { assert } from "../../shared/base/assert.ts";
import type { MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { leaderIdOf, send } from "./core.ts";
import type { ReadIndexReply, ReadIndexRequest } from "./messages.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import type { ReadRequest, UnconfirmedRead } from "./pending-reads.ts";
import { broadcastHeartbeat } from "./send-log.ts";

/** Takes a read of this member's own. @returns false if there is nobody to ask, or no room. */
export function requestRead(core: Core, readId: number): boolean {
  const leaderId = leaderIdOf(core);
  if (core.role.kind === "leader") return acceptRead(core, core.role, { from: core.id, readId });
  if (leaderId === NO_MEMBER) return false;
  send(core, { kind: "read-index-request", from: core.id, to: leaderId, readId });
  return true;
}

/** A read that a follower passed on. What cannot be served is dropped: it asks again, anew. */
export function stepReadIndexRequest(core: Core, message: ReadIndexRequest): void {
  if (core.role.kind === "leader") {
    acceptRead(core, core.role, { from: message.from, readId: message.readId });
  }
}

export function stepReadIndexReply(core: Core, message: ReadIndexReply): void {
  const { readId, readIndex } = message;
  core.readStates.push({ readId, readIndex });
}

/** A heartbeat was answered. */
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

/** Something was committed: reads that waited for the leader's first entry may go on. */
export function releasePostponedReads(core: Core, leader: Leader): void {
  if (!hasCommittedInTerm(core)) return;
  for (const request of leader.reads.takePostponed()) confirmRead(core, leader, request);
}

function acceptRead(core: Core, leader: Leader, request: ReadRequest): boolean {
  if (leader.reads.pendingCount >= core.options.pendingReadsMax) return false;
  if (hasCommittedInTerm(core)) confirmRead(core, leader, request);
  else leader.reads.postpone(request);
  return true;
}

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

function answerRead(core: Core, read: UnconfirmedRead): void {
  const { from, readId, readIndex } = read;
  assert(readIndex > INDEX_ZERO, "a leader that serves reads has committed an entry");
  if (from === core.id) {
    core.readStates.push({ readId, readIndex });
    return;
  }
  const { id, term } = core;
  send(core, { kind: "read-index-reply", from: id, to: from, term, readId, readIndex });
}

/**
 * A new leader holds all committed entries but does not know which they are until one of its own
 * term is committed (Raft §8); before, its commit index may lie behind what was acknowledged.
 */
function hasCommittedInTerm(core: Core): boolean {
  return core.log.term(core.log.committedIndex) === core.term;
}

function isOnlyVoter(core: Core): boolean {
  const { voters, votersOutgoing } = core.membership;
  return voters.length === 1 && voters[0] === core.id && votersOutgoing.length === 0;
}
