import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { send, sendAfterAppend } from "./core.ts";
import { checkedMembership, isMember } from "./membership.ts";
import type { Snapshot, SnapshotRequest } from "./messages.ts";
import { INDEX_ZERO } from "./messages.ts";
import type { Progress } from "./progress.ts";

/**
 * Sends a snapshot to a member that needs compacted entries (Raft §7).
 *
 * @returns false if no suitable snapshot is ready, or if the member is inactive: a snapshot is too
 *   large to send to a member that may be down. The next heartbeat reply triggers another attempt.
 */
export function sendSnapshot(core: Core, to: MemberId, progress: Progress): boolean {
  if (!progress.isRecentlyActive) return false;
  const result = core.log.snapshot();
  if (result.kind === "unavailable") return false;
  const { snapshot } = result;
  assert(snapshot.index > INDEX_ZERO, "a snapshot contains an entry");
  // The member ignores a snapshot from before it was added, because it is not a member in it.
  if (!isMember(checkedMembership(snapshot.membership), to)) return false;
  progress.becomeSnapshot(snapshot.index);
  send(core, { kind: "snapshot-request", from: core.id, to, term: core.term, snapshot });
  return true;
}

/** Processes the driver's report about the snapshot that it sent to `id`. */
export function reportSnapshot(
  leader: Leader,
  id: MemberId,
  outcome: "delivered" | "failed",
): void {
  const progress = leader.progress.get(id);
  if (progress?.state.kind !== "snapshot") return;
  if (outcome === "delivered") progress.becomeProbe();
  else progress.snapshotFailed();
  // Delivered: the acknowledgement follows. Failed: the next heartbeat reply triggers a new
  // attempt.
  progress.isPaused = true;
}

/** Installs a snapshot of the leader. Acknowledges the snapshot when it is durable. */
export function handleSnapshotRequest(core: Core, message: SnapshotRequest): void {
  const { id, term } = core;
  const matchIndex = restore(core, message.snapshot);
  sendAfterAppend(core, { kind: "append-accepted", from: id, to: message.from, term, matchIndex });
}

/**
 * Replaces the log by the snapshot if the log does not contain it already.
 *
 * @returns the index up to which the log matches the leader's log afterwards
 */
function restore(core: Core, snapshot: Snapshot): LogIndex {
  const { log } = core;
  assert(core.role.kind === "follower", "only a follower installs a snapshot");
  if (snapshot.index <= log.committedIndex) return log.committedIndex;
  const membership = checkedMembership(snapshot.membership);
  // The snapshot was meant for another member, or for an earlier incarnation of this one.
  if (!isMember(membership, core.id)) return log.committedIndex;
  if (log.matches(snapshot)) {
    // The log contains these entries already: only the commit index advances.
    log.commitTo(snapshot.index);
    return log.committedIndex;
  }
  log.restore(snapshot);
  core.membership = membership;
  return log.lastIndex();
}
