import type { Core } from "./core.ts";
import type { EntryPosition, PeerMessage } from "./messages.ts";
import { leaderDifference, memberDifference } from "./other-history.ts";

/**
 * Largest difference between the term of a message and that of this member. Elections cannot pass
 * so many terms, and the last term that the encoding can represent is far away.
 */
const TERM_JUMP_MAX = 2 ** 40;

/** Why a message contradicts the log or the term of this member. */
export interface Violation {
  /**
   * - `refused`: nothing else follows from the message.
   * - `contradiction`: the log of the leader contradicts entries that this member has committed. The two
   *   have different histories, and the leader cannot confirm a read of this member.
   * - `leader-differs`: the same, and the terms do not show it. This member follows no leader until its
   *   process ends, and does not campaign.
   * - `member-differs`: the sender has acknowledged entries that this leader lacks. It does not count for
   *   commits and reads until the term ends.
   * - `log-lost`: this member has lost entries that it had acknowledged. It must stop: its vote could
   *   elect a leader without them.
   */
  readonly kind: "refused" | "contradiction" | "leader-differs" | "member-differs" | "log-lost";
  readonly reason: string;
}

/**
 * Returns why no member of a sound group sends `message` to this member, or null. It detects messages of
 * broken or foreign processes that would fail an assertion. Raft trusts its members: a plausible false
 * message is not detected.
 */
export function violationOf(core: Core, message: PeerMessage): Violation | null {
  const contradiction = contradictionOf(core, message);
  if (contradiction !== null) return { kind: "contradiction", reason: contradiction };
  const leader = leaderDifference(core, message);
  if (leader !== null) return { kind: "leader-differs", reason: leader };
  const member = memberDifference(core, message);
  if (member !== null) return { kind: "member-differs", reason: member };
  const reason = refusalOf(core, message);
  if (reason !== null) return { kind: "refused", reason };
  const isLogLost =
    message.kind === "heartbeat-request" &&
    message.term >= core.term &&
    message.commitIndex > core.log.lastIndex();
  if (!isLogLost) return null;
  const lost = `expected entry ${message.commitIndex} that this member has acknowledged: its log ends at ${core.log.lastIndex()}`;
  return { kind: "log-lost", reason: lost };
}

function refusalOf(core: Core, message: PeerMessage): string | null {
  const { role, term } = core;
  if (message.kind === "propose-request") {
    return core.options.forwardProposals ? null : "expected no forwarded proposal";
  }
  if (message.kind === "read-index-request") return null;
  if (message.term > term + TERM_JUMP_MAX) {
    return `expected a term near ${term}: current value is ${message.term}`;
  }
  if (role.kind !== "leader" || message.term !== term) return null;
  switch (message.kind) {
    case "append-request":
    case "heartbeat-request":
    case "snapshot-request":
      return `expected no other leader of term ${term}`;
    case "heartbeat-reply":
      if (message.readSequence <= role.reads.acceptedCount) return null;
      return `expected at most ${role.reads.acceptedCount} confirmed reads: current value is ${message.readSequence}`;
    default:
      return null;
  }
}

/**
 * Returns why the log of a leader contradicts an entry that this member has committed, or null. Every later
 * leader has each committed entry (Raft §5.4.3), so the disk of one of them has lost entries. An answer
 * would acknowledge entries that the logs do not share.
 */
function contradictionOf({ log, term }: Core, message: PeerMessage): string | null {
  if (message.kind !== "append-request" || message.term < term) return null;
  let theirs: EntryPosition | undefined = message.previous;
  for (let position = 0; theirs !== undefined; position += 1) {
    if (theirs.index > log.committedIndex) return null;
    const ours = log.term(theirs.index);
    if (ours !== null && ours !== theirs.term) {
      return `expected entry ${theirs.index} of term ${ours}, which this member has committed: current value is term ${theirs.term}`;
    }
    theirs = message.entries[position];
  }
  return null;
}
