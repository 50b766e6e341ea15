import type { MemberId } from "../../shared/base/ids.ts";
import type { Core, Leader } from "./core.ts";
import { leaderIdOf, send } from "./core.ts";
import { INDEX_ZERO, NO_MEMBER } from "./messages.ts";
import { isVoter } from "./quorum.ts";
import { sendAppend } from "./send-log.ts";

/**
 * Transfers leadership to `transferee` (thesis §3.10). The leader refuses proposals and brings the
 * log of the transferee up to date, then sends `timeout-now`. The transfer is cancelled after an
 * election timeout.
 */
export function transferLeadership(core: Core, leader: Leader, transferee: MemberId): void {
  const progress = leader.progress.get(transferee);
  if (progress === undefined || core.membership.learners.includes(transferee)) return;
  if (leader.transferee === transferee) return;
  leader.transferee = NO_MEMBER;
  if (transferee === core.id) return;
  leader.transferee = transferee;
  core.electionElapsedTicks = 0;
  if (progress.matchIndex === core.log.lastIndex()) sendTimeoutNow(core, transferee);
  else sendAppend(core, { to: transferee, progress, whenEmpty: "send-empty" });
}

/**
 * Transfers leadership to the most up-to-date voter if this leader has no vote. Such a leader was
 * elected as a last resort (`campaignIfDue`).
 */
export function transferUnlessVoter(core: Core, leader: Leader): void {
  const { stepDownOnRemoval } = core.options;
  if (!stepDownOnRemoval || isVoter(core.membership, core.id)) return;
  let best: MemberId = NO_MEMBER;
  for (const id of core.membership.voters) {
    const matchIndex = leader.progress.get(id)?.matchIndex ?? INDEX_ZERO;
    const bestIndex = leader.progress.get(best)?.matchIndex ?? INDEX_ZERO;
    if (best === NO_MEMBER || matchIndex > bestIndex) best = id;
  }
  transferLeadership(core, leader, best);
}

/** Transfers leadership, or forwards the request to the leader. Ignored if no leader is known. */
export function requestTransfer(core: Core, transferee: MemberId): void {
  if (core.role.kind === "leader") {
    transferLeadership(core, core.role, transferee);
    return;
  }
  const to = leaderIdOf(core);
  if (to === NO_MEMBER) return;
  send(core, { kind: "transfer-request", from: core.id, to, term: core.term, transferee });
}

/** Requests that `to` starts an election immediately. */
export function sendTimeoutNow(core: Core, to: MemberId): void {
  send(core, { kind: "timeout-now", from: core.id, to, term: core.term });
}
