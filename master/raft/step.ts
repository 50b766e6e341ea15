import { assert, unreachable } from "../../shared/base/assert.ts";
import type { Core, Leader } from "./core.ts";
import { becomeFollower } from "./core.ts";
import {
  campaign,
  campaignIfDue,
  isLeaderLeaseValid,
  rejectPreVote,
  stepPreVoteReply,
  stepPreVoteRequest,
  stepVoteReply,
  stepVoteRequest,
} from "./election.ts";
import { entriesSizeBytes, maxIndex, payloadSizeBytes } from "./entries.ts";
import { handleAppendRequest, handleHeartbeat, sendTerm } from "./follow.ts";
import { checkedMembership } from "./membership.ts";
import type {
  AppendAccepted,
  AppendRejected,
  AppendRequest,
  HeartbeatReply,
  HeartbeatRequest,
  Message,
  PeerMessage,
  SnapshotRequest,
  StorageAppended,
  StorageApplied,
  TransferRequest,
} from "./messages.ts";
import { NO_MEMBER } from "./messages.ts";
import { proposeLeavingJoint, stepProposeRequest } from "./propose.ts";
import { stepReadIndexReply, stepReadIndexRequest } from "./read-index.ts";
import {
  checkQuorum,
  reduceUncommitted,
  stepAppendAccepted,
  stepAppendRejected,
  stepHeartbeatReply,
} from "./replication.ts";
import { broadcastHeartbeat } from "./send-log.ts";
import { handleSnapshotRequest } from "./snapshot.ts";
import { transferLeadership, transferUnlessVoter } from "./transfer.ts";

/** What only the leader of a term sends. */
type LeaderMessage = AppendRequest | HeartbeatRequest | SnapshotRequest;
/** What only the leader of a term makes use of. */
type MessageToLeader = AppendAccepted | AppendRejected | HeartbeatReply | TransferRequest;
/** What stands outside of all terms. */
type TermlessMessage = Extract<PeerMessage, { kind: "propose-request" | "read-index-request" }>;
type TermMessage = Exclude<PeerMessage, TermlessMessage>;

/** Time passes. */
export function tick(core: Core): void {
  core.electionElapsedTicks += 1;
  if (core.role.kind === "leader") {
    tickLeader(core, core.role);
  } else {
    campaignIfDue(core);
  }
}

/** The rules for all members (Raft, Figure 2), then those for the kind of message. */
export function step(core: Core, message: Message): void {
  switch (message.kind) {
    case "storage-appended":
      stepStorageAppended(core, message);
      return;
    case "storage-applied":
      stepStorageApplied(core, message);
      return;
    case "propose-request":
      stepProposeRequest(core, message);
      return;
    case "read-index-request":
      stepReadIndexRequest(core, message);
      return;
    default:
      stepInTerm(core, message);
  }
}

/** Entries, or a snapshot, were applied up to the log's new `appliedIndex`. */
function appliedTo(core: Core, applied: StorageApplied | StorageAppended): void {
  if (applied.kind === "storage-applied") {
    const last = applied.entries.at(-1);
    assert(last !== undefined, "something was applied");
    // A snapshot may have overtaken them.
    const index = maxIndex(last.index, core.log.appliedIndex);
    core.log.appliedTo(index, entriesSizeBytes(applied.entries));
  } else if (applied.snapshot !== null) {
    core.log.unstable.stableSnapshotTo(applied.snapshot.index);
    core.appliedMembership = checkedMembership(applied.snapshot.membership);
    if (applied.snapshot.index > core.log.appliedIndex) {
      core.log.appliedTo(applied.snapshot.index, 0);
    }
  }
  if (core.role.kind === "leader") proposeLeavingJoint(core, core.role);
}

function tickLeader(core: Core, leader: Leader): void {
  leader.heartbeatElapsedTicks += 1;
  if (core.electionElapsedTicks >= core.options.electionTicks) {
    core.electionElapsedTicks = 0;
    if (core.options.checkQuorum) checkQuorum(core, leader);
    if (core.role.kind !== "leader") return;
    // Thesis §3.10: a transfer that takes longer has failed; proposals are taken again.
    leader.transferee = NO_MEMBER;
    transferUnlessVoter(core, leader);
  }
  if (leader.heartbeatElapsedTicks < core.options.heartbeatTicks) return;
  leader.heartbeatElapsedTicks = 0;
  broadcastHeartbeat(core, leader);
}

function stepInTerm(core: Core, message: TermMessage): void {
  if (message.term < core.term) {
    stepFromEarlierTerm(core, message);
    return;
  }
  if (message.term > core.term && !acceptLaterTerm(core, message)) return;
  stepInCurrentTerm(core, message);
}

/** Raft §5.1: a later term ends ours. @returns false if the message is to be disregarded. */
function acceptLaterTerm(core: Core, message: TermMessage): boolean {
  switch (message.kind) {
    case "pre-vote-request":
      // The sender has not entered the term either.
      return !isLeaderLeaseValid(core);
    case "vote-request":
      if (!message.isTransfer && isLeaderLeaseValid(core)) return false;
      becomeFollower(core, message.term, NO_MEMBER);
      return true;
    case "pre-vote-reply":
      // Granted, it is for the term that we asked for and will enter only when elected.
      if (!message.granted) becomeFollower(core, message.term, NO_MEMBER);
      return true;
    case "append-request":
    case "heartbeat-request":
    case "snapshot-request":
      becomeFollower(core, message.term, message.from);
      return true;
    default:
      becomeFollower(core, message.term, NO_MEMBER);
      return true;
  }
}

function stepFromEarlierTerm(core: Core, message: TermMessage): void {
  const { checkQuorum: checksQuorum, preVote } = core.options;
  switch (message.kind) {
    case "append-request":
    case "heartbeat-request":
      // A member that came back with a later term is stuck: with leases it is not heard as a
      // candidate, and it does not hear this leader. Its term makes the leader step down.
      if (checksQuorum || preVote) sendTerm(core, message.from);
      return;
    case "pre-vote-request":
      rejectPreVote(core, message);
      return;
    default:
  }
}

function stepInCurrentTerm(core: Core, message: TermMessage): void {
  switch (message.kind) {
    case "append-request":
    case "heartbeat-request":
    case "snapshot-request":
      stepFromLeader(core, message);
      return;
    case "vote-request":
      stepVoteRequest(core, message);
      return;
    case "pre-vote-request":
      stepPreVoteRequest(core, message);
      return;
    case "vote-reply":
      if (core.role.kind === "candidate") stepVoteReply(core, core.role, message);
      return;
    case "pre-vote-reply":
      if (core.role.kind === "pre-candidate") stepPreVoteReply(core, core.role, message);
      return;
    case "append-accepted":
    case "append-rejected":
    case "heartbeat-reply":
    case "transfer-request":
      if (core.role.kind === "leader") stepToLeader(core, core.role, message);
      return;
    case "timeout-now":
      if (core.role.kind === "follower") campaign(core, "transfer");
      return;
    case "read-index-reply":
      if (core.role.kind === "follower") stepReadIndexReply(core, message);
      return;
    default:
      unreachable(message);
  }
}

function stepToLeader(core: Core, leader: Leader, message: MessageToLeader): void {
  switch (message.kind) {
    case "append-accepted":
      stepAppendAccepted(core, leader, message);
      return;
    case "append-rejected":
      stepAppendRejected(core, leader, message);
      return;
    case "heartbeat-reply":
      stepHeartbeatReply(core, leader, message);
      return;
    case "transfer-request":
      transferLeadership(core, leader, message.transferee);
      return;
    default:
      unreachable(message);
  }
}

/** Raft §5.2: who hears the leader of its term follows it. */
function stepFromLeader(core: Core, message: LeaderMessage): void {
  assert(core.role.kind !== "leader", "a term has one leader");
  if (core.role.kind === "follower") {
    core.role.leaderId = message.from;
    core.electionElapsedTicks = 0;
  } else {
    becomeFollower(core, message.term, message.from);
  }
  switch (message.kind) {
    case "append-request":
      handleAppendRequest(core, message);
      return;
    case "heartbeat-request":
      handleHeartbeat(core, message);
      return;
    case "snapshot-request":
      handleSnapshotRequest(core, message);
      return;
    default:
      unreachable(message);
  }
}

/**
 * News from the log's writer.
 *
 * In a later term than the writer was asked in, the entries may have been overwritten, and then
 * overwritten again by the same ones, whose write is still under way (etcd-io/raft calls it the ABA
 * race). So only the news of this term counts: any `StorageAppend` of this term speaks for all
 * entries up to its end, so nothing is lost by dropping the others. A snapshot is committed, and no
 * term can take it back.
 */
function stepStorageAppended(core: Core, message: StorageAppended): void {
  assert(message.to === core.id, "a member hears its own storage");
  assert(message.term <= core.term, "terms never go back");
  if (message.last !== null && message.term === core.term) {
    core.log.unstable.stableTo(message.last);
  }
  if (message.snapshot !== null) appliedTo(core, message);
}

function stepStorageApplied(core: Core, message: StorageApplied): void {
  assert(message.to === core.id, "a member hears its own storage");
  appliedTo(core, message);
  if (core.role.kind === "leader") {
    reduceUncommitted(core.role, payloadSizeBytes(message.entries));
  }
}
