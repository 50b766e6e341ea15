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
 * Appends proposals to the leader's own log. The leader's acknowledgement waits until its own disk
 * has the entries; it counts like that of any other member (thesis §10.2.1).
 *
 * @returns the first new index; `null` if `uncommittedBytesMax` is exceeded: nothing was appended.
 */
export function appendProposals(
  core: Core,
  leader: Leader,
  proposals: readonly Proposal[],
): LogIndex | null {
  const sizeBytes = payloadSizeBytes(proposals);
  const isOverLimit = leader.uncommittedBytes + sizeBytes > core.options.uncommittedBytesMax;
  // Empty entries are never refused, nor is a large entry while no other entry is uncommitted.
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

/** Subtracts applied entries. Entries of earlier leaders were not counted, so it stops at 0. */
export function reduceUncommitted(leader: Leader, sizeBytes: number): void {
  leader.uncommittedBytes = Math.max(0, leader.uncommittedBytes - sizeBytes);
}

/** Advances the commit index: Raft §5.3, §5.4.2. @returns whether it has changed. */
export function advanceCommit(core: Core, leader: Leader): boolean {
  const index = quorumIndex(core.membership, (id) => leader.progress.get(id)?.matchIndex);
  return core.log.commitIfInTerm(index, core.term);
}

/** Steps down if no quorum has replied during the last election timeout: thesis §6.2. */
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

/** Advances the progress of a member and the commit index, then sends further entries. */
export function stepAppendAccepted(core: Core, leader: Leader, message: AppendAccepted): void {
  const { from, matchIndex } = message;
  const progress = leader.progress.get(from);
  if (progress === undefined) return;
  progress.isRecentlyActive = true;
  assert(matchIndex <= core.log.lastIndex(), "a member acknowledges only entries of this log");
  const isNews = progress.acknowledge(matchIndex);
  // An old acknowledgement still shows that the logs match at the probed index.
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
  // The window may have room for several requests.
  while (sendAppend(core, { to: from, progress, whenEmpty: "skip-empty" }));
  if (from === leader.transferee && progress.matchIndex === core.log.lastIndex()) {
    sendTimeoutNow(core, from);
  }
}

/** Changes the state of replication after an acknowledgement. */
function resumeReplication(core: Core, progress: Progress, matchIndex: LogIndex): void {
  switch (progress.state.kind) {
    case "probe":
      progress.becomeReplicate();
      return;
    case "snapshot":
      // The member has some snapshot from which the leader's log can continue.
      if (indexAfter(progress.matchIndex) < core.log.firstIndex()) return;
      progress.becomeProbe();
      progress.becomeReplicate();
      return;
    case "replicate":
      progress.inflights.freeTo(matchIndex);
      return;
  }
}

/** Moves the next index back to the hint of the member and sends a new probe: Raft §5.3. */
export function stepAppendRejected(core: Core, leader: Leader, message: AppendRejected): void {
  const { from, rejectedIndex, hint } = message;
  const progress = leader.progress.get(from);
  if (progress === undefined) return;
  progress.isRecentlyActive = true;
  // Skip whole terms: an entry with a later term than the hint's cannot be in the member's log.
  const nextMatch =
    hint.term === TERM_ZERO ? hint : core.log.latestPossibleMatch(hint.index, hint.term);
  if (!progress.reject(rejectedIndex, nextMatch.index)) return;
  if (progress.state.kind === "replicate") progress.becomeProbe();
  sendAppend(core, { to: from, progress, whenEmpty: "send-empty" });
}

/** Resumes replication to an active member and confirms reads. */
export function stepHeartbeatReply(core: Core, leader: Leader, message: HeartbeatReply): void {
  const { from, readSequence } = message;
  const progress = leader.progress.get(from);
  if (progress === undefined) return;
  progress.isRecentlyActive = true;
  progress.isPaused = false;
  // Requests may have been lost. A new request, even an empty one, restarts replication.
  if (progress.matchIndex < core.log.lastIndex() || progress.state.kind === "probe") {
    sendAppend(core, { to: from, progress, whenEmpty: "send-empty" });
  }
  acknowledgeReads(core, leader, { from, readSequence });
}
