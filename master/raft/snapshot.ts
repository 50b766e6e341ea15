import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { send, sendAfterAppend } from "./core.ts";
import { checkedMembership, isMember } from "./membership.ts";
import type { Snapshot, SnapshotRequest } from "./messages.ts";
import { INDEX_ZERO } from "./messages.ts";
import type { Progress } from "./progress.ts";

/**
 * Sends the state in place of entries that are compacted away: Raft §7.
 *
 * @returns false if there is no snapshot that fits at the moment, or the member is silent: a snapshot
 *   is much to send to someone who may be gone. It is tried again when the member answers a heartbeat.
 */
export function sendSnapshot(core: Core, to: MemberId, progress: Progress): boolean {
  if (!progress.isRecentlyActive) return false;
  const result = core.log.snapshot();
  if (result.kind === "unavailable") return false;
  const { snapshot } = result;
  assert(snapshot.index > INDEX_ZERO, "a snapshot holds something");
  // From before it was added: it would take it for somebody else's.
  if (!isMember(checkedMembership(snapshot.membership), to)) return false;
  progress.becomeSnapshot(snapshot.index);
  send(core, { kind: "snapshot-request", from: core.id, to, term: core.term, snapshot });
  return true;
}

/** What the driver says became of a snapshot that it was to carry to `id`. */
export function reportSnapshot(
  leader: Leader,
  id: MemberId,
  outcome: "delivered" | "failed",
): void {
  const progress = leader.progress.get(id);
  if (progress?.state.kind !== "snapshot") return;
  if (outcome === "delivered") progress.becomeProbe();
  else progress.snapshotFailed();
  // Delivered: its acknowledgement will come. Failed: wait for a heartbeat before the next attempt.
  progress.isPaused = true;
}

/** At a follower of the sender. */
export function handleSnapshotRequest(core: Core, message: SnapshotRequest): void {
  const { id, term } = core;
  const matchIndex = restore(core, message.snapshot);
  sendAfterAppend(core, { kind: "append-accepted", from: id, to: message.from, term, matchIndex });
}

/** @returns the index up to which this log matches the leader's then. */
function restore(core: Core, snapshot: Snapshot): LogIndex {
  const { log } = core;
  assert(core.role.kind === "follower", "only a follower takes a snapshot");
  if (snapshot.index <= log.committedIndex) return log.committedIndex;
  const membership = checkedMembership(snapshot.membership);
  // It was meant for somebody else, or for an earlier life of this member.
  if (!isMember(membership, core.id)) return log.committedIndex;
  if (log.matches(snapshot)) {
    // The entries are here: only that they are committed is news.
    log.commitTo(snapshot.index);
    return log.committedIndex;
  }
  log.restore(snapshot);
  core.membership = membership;
  return log.lastIndex();
}
