import type { MemberId } from "../../shared/base/ids.ts";
import type { Core } from "./core.ts";
import { leaderIdOf, send } from "./core.ts";
import type { PeerMessage } from "./messages.ts";
import type { Refused } from "./progress.ts";

/**
 * Two histories with entries of the same index and term. They exist only if disks were set back or lost
 * writes, so that two members led in one term. No comparison of positions finds the difference once the
 * shorter log has grown. So the first acknowledgement that shows it counts until the term ends (leader)
 * and until the process ends (follower): docs/decisions/0023.
 */

/** Returns why the leader refuses `message` of a member with another history, or null. */
export function memberDifference(core: Core, message: PeerMessage): string | null {
  const { role, log } = core;
  if (role.kind !== "leader") return null;
  switch (message.kind) {
    case "append-accepted":
    case "append-rejected":
    case "heartbeat-reply":
    case "transfer-request":
      if (message.term !== core.term) return null;
      break;
    case "read-index-request":
      break;
    default:
      return null;
  }
  const known = role.progress.get(message.from)?.refused;
  if (known !== undefined && known !== null) return differenceText(known);
  if (message.kind !== "append-accepted" || message.matchIndex <= log.lastIndex()) return null;
  return differenceText({ index: message.matchIndex, last: log.last() });
}

/**
 * Returns why the leader has another history than this member, or null: it rejected an acknowledgement,
 * or it confirmed a read at an index before an entry that was committed before the read.
 */
export function leaderDifference(core: Core, message: PeerMessage): string | null {
  const { kind } = message;
  if (kind === "append-rejected") {
    const isOfLeader = core.role.kind === "follower" && message.from === leaderIdOf(core);
    if (!isOfLeader || message.term !== core.term) return null;
    return `expected a leader with entry ${message.rejectedIndex}, which this member has acknowledged: the log of the leader ended at ${message.hint.index}`;
  }
  if (kind !== "append-request" && kind !== "snapshot-request" && kind !== "read-index-reply") {
    return null;
  }
  if (message.term < core.term) return null;
  if (core.hasOtherHistory) return "expected a leader with the history of this member";
  return kind === "read-index-reply" ? readDifference(core, message) : null;
}

/**
 * A leader answers reads after it has committed an entry of its term. Its commit index is then not below
 * that of any member at the time of the request.
 */
function readDifference(
  core: Core,
  { term, readId, readIndex }: Extract<PeerMessage, { kind: "read-index-reply" }>,
): string | null {
  const isOwnRead = readId >= core.firstReadId && readId < core.nextReadId;
  const indexMin = term > core.term ? core.log.committedIndex : core.committedBefore;
  if (!isOwnRead || readIndex >= indexMin) return null;
  return `expected a read at entry ${indexMin} or later, which this member has committed: current value is ${readIndex}`;
}

/** Records the difference that a `Violation` shows. The leader also notifies the member. */
export function noteViolation<Found extends { readonly kind: string }>(
  core: Core,
  message: PeerMessage,
  violation: Found,
): Found {
  if (violation.kind === "leader-differs") core.hasOtherHistory = true;
  if (violation.kind === "member-differs") refuseMember(core, message);
  return violation;
}

function refuseMember(core: Core, message: PeerMessage): void {
  const { role, log, id, term } = core;
  const progress = role.kind === "leader" ? role.progress.get(message.from) : undefined;
  if (progress === undefined) return;
  if (progress.refused === null && message.kind === "append-accepted") {
    progress.refuse({ index: message.matchIndex, last: log.last() });
  }
  // The member counts for the quorum check. Otherwise this leader could step down in favour of it.
  progress.isRecentlyActive = true;
  if (progress.refused === null) return;
  const { index: rejectedIndex, last: hint } = progress.refused;
  const to: MemberId = message.from;
  send(core, { kind: "append-rejected", from: id, to, term, rejectedIndex, hint });
}

function differenceText({ index, last }: Refused): string {
  return `expected an acknowledgement of at most entry ${last.index}: current value is ${index}`;
}
