import type { MemberId } from "../../shared/base/ids.ts";
import type { Core } from "./core.ts";
import { send, sendAfterAppend } from "./core.ts";
import { minIndex } from "./entries.ts";
import type { AppendRequest, HeartbeatRequest } from "./messages.ts";
import { INDEX_ZERO } from "./messages.ts";

/** The follower's side of replication: Raft §5.3. */

/** Appends the leader's entries on a follower, or rejects them with a hint. */
export function handleAppendRequest(core: Core, message: AppendRequest): void {
  const { log, id, term } = core;
  const { from: to, previous, entries, commitIndex } = message;
  if (previous.index < log.committedIndex) {
    // An old request: committed entries match the leader's log in any case.
    const matchIndex = log.committedIndex;
    sendAfterAppend(core, { kind: "append-accepted", from: id, to, term, matchIndex });
    return;
  }
  const matchIndex = log.appendFromLeader(previous, entries);
  if (matchIndex !== null) {
    log.commitTo(minIndex(commitIndex, matchIndex));
    sendAfterAppend(core, { kind: "append-accepted", from: id, to, term, matchIndex });
    return;
  }
  const hint = log.latestPossibleMatch(minIndex(previous.index, log.lastIndex()), previous.term);
  const rejectedIndex = previous.index;
  sendAfterAppend(core, { kind: "append-rejected", from: id, to, term, rejectedIndex, hint });
}

/** Advances the commit index of a follower and acknowledges the heartbeat. */
export function handleHeartbeat(core: Core, message: HeartbeatRequest): void {
  const { from: to, commitIndex, readSequence } = message;
  core.log.commitTo(commitIndex);
  send(core, { kind: "heartbeat-reply", from: core.id, to, term: core.term, readSequence });
}

/** Reports the current term to a leader of an earlier term, which then steps down: Raft §5.1. */
export function sendTerm(core: Core, to: MemberId): void {
  const { id, term } = core;
  sendAfterAppend(core, { kind: "append-accepted", from: id, to, term, matchIndex: INDEX_ZERO });
}
