import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { becomeFollower, sendAfterAppend } from "./core.ts";
import { indexAfter, payloadSizeBytes } from "./entries.ts";
import type {
  AppendAccepted,
  AppendRejected,
  Entry,
  HeartbeatReply,
  Proposal,
} from "./messages.ts";
import { NO_MEMBER, TERM_ZERO } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { quorumIndex, quorumVote } from "./quorum.ts";
import { acknowledgeReads, releasePostponedReads } from "./read-index.ts";
import { broadcastAppend, sendAppend } from "./send-log.ts";
import { sendTimeoutNow } from "./transfer.ts";

/** The leader's side of replication: Raft §5.3. */

/**
 * Appends to the leader's own log. Its acknowledgement to itself waits for its own disk like
 * everybody's: it counts for no more than another member's.
 *
 * @returns the first new index, or `null` if too much is uncommitted; then nothing was appended.
 */
export function appendProposals(
  core: Core,
  leader: Leader,
  proposals: readonly Proposal[],
): LogIndex | null {
  const sizeBytes = payloadSizeBytes(proposals);
  const isOverLimit = leader.uncommittedBytes + sizeBytes > core.options.uncommittedBytesMax;
  // Entries without data are never refused, nor is a single large one when nothing else is waiting.
  if (isOverLimit && leader.uncommittedBytes > 0 && sizeBytes > 0) return null;
  leader.uncommittedBytes += sizeBytes;
  const firstIndex = indexAfter(core.log.lastIndex());
  const { id, term } = core;
  const entries = proposals.map(
    ({ kind, data }, offset): Entry => ({
      index: indexAfter(firstIndex, offset),
      term,
      kind,
      data,
    }),
  );
  const matchIndex = core.log.append(entries);
  sendAfterAppend(core, { kind: "append-accepted", from: id, to: id, term, matchIndex });
  return firstIndex;
}

/** Entries left the uncommitted part of the log. What an earlier leader appended was not counted. */
export function reduceUncommitted(leader: Leader, sizeBytes: number): void {
  leader.uncommittedBytes = Math.max(0, leader.uncommittedBytes - sizeBytes);
}

/** Raft §5.3, §5.4.2. @returns whether more is committed. */
export function advanceCommit(core: Core, leader: Leader): boolean {
  const index = quorumIndex(core.membership, (id) => leader.progress.get(id)?.matchIndex);
  return core.log.commitIfInTerm(index, core.term);
}

/** Thesis §6.2: a leader that a quorum did not answer for an election timeout steps down. */
export function checkQuorum(core: Core, leader: Leader): void {
  const active = new Map<MemberId, boolean>();
  for (const [id, progress] of leader.progress) active.set(id, progress.isRecentlyActive);
  if (quorumVote(core.membership, active) !== "won") {
    becomeFollower(core, core.term, NO_MEMBER);
    return;
  }
  for (const [id, progress] of leader.progress) {
    if (id !== core.id) progress.isRecentlyActive = false;
  }
}

export function stepAppendAccepted(core: Core, leader: Leader, message: AppendAccepted): void {
  const { from, matchIndex } = message;
  const progress = leader.progress.get(from);
  if (progress === undefined) return;
  progress.isRecentlyActive = true;
  assert(matchIndex <= core.log.lastIndex(), "nobody acknowledges what was not sent");
  const isNews = progress.acknowledge(matchIndex);
  // An old acknowledgement still shows that a probe has reached a log that matches.
  const isProbeAnswered = progress.state.kind === "probe" && progress.matchIndex === matchIndex;
  if (!isNews && !isProbeAnswered) return;
  resumeReplication(core, progress, matchIndex);
  if (advanceCommit(core, leader)) {
    releasePostponedReads(core, leader);
    broadcastAppend(core, leader, "send-empty");
  } else if (from !== core.id && progress.canBumpCommit(core.log.committedIndex)) {
    sendAppend(core, { to: from, progress, whenEmpty: "send-empty" });
  }
  if (from === core.id) return;
  // The window may have room for several requests now.
  while (sendAppend(core, { to: from, progress, whenEmpty: "skip-empty" }));
  if (from === leader.transferee && progress.matchIndex === core.log.lastIndex()) {
    sendTimeoutNow(core, from);
  }
}

function resumeReplication(core: Core, progress: Progress, matchIndex: LogIndex): void {
  switch (progress.state.kind) {
    case "probe":
      progress.becomeReplicate();
      return;
    case "snapshot":
      // Any state from which the log leads on will do, wherever it came from.
      if (indexAfter(progress.matchIndex) < core.log.firstIndex()) return;
      progress.becomeProbe();
      progress.becomeReplicate();
      return;
    case "replicate":
      progress.inflights.freeTo(matchIndex);
      return;
  }
}

export function stepAppendRejected(core: Core, leader: Leader, message: AppendRejected): void {
  const { from, rejectedIndex, hint } = message;
  const progress = leader.progress.get(from);
  if (progress === undefined) return;
  progress.isRecentlyActive = true;
  // Skip whole terms: an entry of ours with a later term than the hint's cannot be in that log.
  const nextMatch =
    hint.term === TERM_ZERO ? hint : core.log.latestPossibleMatch(hint.index, hint.term);
  if (!progress.reject(rejectedIndex, nextMatch.index)) return;
  if (progress.state.kind === "replicate") progress.becomeProbe();
  sendAppend(core, { to: from, progress, whenEmpty: "send-empty" });
}

export function stepHeartbeatReply(core: Core, leader: Leader, message: HeartbeatReply): void {
  const { from, readSequence } = message;
  const progress = leader.progress.get(from);
  if (progress === undefined) return;
  progress.isRecentlyActive = true;
  progress.isPaused = false;
  // Requests may have been lost: this one, if need be an empty one, gets replication going again.
  if (progress.matchIndex < core.log.lastIndex() || progress.state.kind === "probe") {
    sendAppend(core, { to: from, progress, whenEmpty: "send-empty" });
  }
  acknowledgeReads(core, leader, { from, readSequence });
}
