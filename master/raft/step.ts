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

/** Messages that only the leader of a term sends. */
type LeaderMessage = AppendRequest | HeartbeatRequest | SnapshotRequest;
/** Messages that only the leader of a term processes. */
type MessageToLeader = AppendAccepted | AppendRejected | HeartbeatReply | TransferRequest;
/** Messages that belong to no term. */
type TermlessMessage = Extract<PeerMessage, { kind: "propose-request" | "read-index-request" }>;
/** Messages that belong to a term. */
type TermMessage = Exclude<PeerMessage, TermlessMessage>;

/** Advances the logical clock by one tick. */
export function tick(core: Core): void {
  core.electionElapsedTicks += 1;
  if (core.role.kind === "leader") {
    tickLeader(core, core.role);
  } else {
    campaignIfDue(core);
  }
}

/** Processes one message: the rules for all members (Raft, Figure 2), then those of its kind. */
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

/** Advances the applied index after entries were applied or a snapshot was installed. */
function appliedTo(core: Core, applied: StorageApplied | StorageAppended): void {
  if (applied.kind === "storage-applied") {
    const last = applied.entries.at(-1);
    assert(last !== undefined, "an apply has at least one entry");
    // A snapshot may have advanced the applied index further.
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

/** Checks the quorum once in each election timeout and sends heartbeats. */
function tickLeader(core: Core, leader: Leader): void {
  leader.heartbeatElapsedTicks += 1;
  if (core.electionElapsedTicks >= core.options.electionTicks) {
    core.electionElapsedTicks = 0;
    if (core.options.checkQuorum) checkQuorum(core, leader);
    if (core.role.kind !== "leader") return;
    // Thesis §3.10: a transfer that takes longer has failed; proposals are accepted again.
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

/** Enters the later term of a message: Raft §5.1. @returns false if the message must be ignored. */
function acceptLaterTerm(core: Core, message: TermMessage): boolean {
  switch (message.kind) {
    case "pre-vote-request":
      // A pre-vote does not change the term: the sender has not entered it either.
      return !isLeaderLeaseValid(core);
    case "vote-request":
      if (!message.isTransfer && isLeaderLeaseValid(core)) return false;
      becomeFollower(core, message.term, NO_MEMBER);
      return true;
    case "pre-vote-reply":
      // A granted pre-vote carries the requested term, which is entered only with the election.
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

/** Processes a message of an earlier term: Raft §5.1. */
function stepFromEarlierTerm(core: Core, message: TermMessage): void {
  const { checkQuorum: checksQuorum, preVote } = core.options;
  switch (message.kind) {
    case "append-request":
    case "heartbeat-request":
      // This member has a later term than the leader, e.g. after a partition. The other members
      // ignore its candidacy because of their leases, and this member ignores the leader. The reply
      // reports the later term, so that the leader steps down. Otherwise this member could never
      // rejoin.
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

/** Follows the leader of the current term and processes its message: Raft §5.2. */
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
 * Processes the completion of a log write.
 *
 * In a later term than that of the append, the entries may have been overwritten, and then
 * overwritten again by equal entries whose write is still pending (the ABA race of etcd-io/raft).
 * Therefore only completions of the current term count. Any `StorageAppend` of the current term
 * covers all entries up to its end, so ignoring the others loses nothing. A snapshot always counts:
 * it is committed, and no later term can revert it.
 */
function stepStorageAppended(core: Core, message: StorageAppended): void {
  assert(message.to === core.id, "the completion belongs to this member");
  assert(message.term <= core.term, "the term never decreases");
  if (message.last !== null && message.term === core.term) {
    core.log.unstable.stableTo(message.last);
  }
  if (message.snapshot !== null) appliedTo(core, message);
}

/** Processes the completion of an apply. */
function stepStorageApplied(core: Core, message: StorageApplied): void {
  assert(message.to === core.id, "the completion belongs to this member");
  appliedTo(core, message);
  if (core.role.kind === "leader") {
    reduceUncommitted(core.role, payloadSizeBytes(message.entries));
  }
}
