import * as api from "../../shared/protocol/masters-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import type { Consensus } from "../consensus.ts";
import { confirmRead } from "./call-waits.ts";
import { requireLeader } from "./leader-context.ts";

/** Dependencies of the handlers of `masters-api`. */
export interface MastersDeps {
  readonly consensus: Consensus;
  /** Raises the feature level: see `masters.finalize-upgrade`. */
  readonly finalizeUpgrade: () => Promise<api.FinalizedUpgrade>;
  /** Steps the time of the cluster: see `masters.reset-clock`. */
  readonly resetClock: () => Promise<{ readonly fromMs: number; readonly toMs: number }>;
}

/**
 * Registers the handlers of `shared/protocol/masters-api`: status and changes of the membership, the
 * end of an upgrade, and the time of the cluster.
 */
export function registerMastersHandlers(handlers: Handlers, deps: MastersDeps): void {
  const { consensus, finalizeUpgrade, resetClock } = deps;
  handlers.onCall(api.resetClock, async (request) => {
    request.release();
    requireLeader(consensus);
    return await resetClock();
  });
  handlers.onCall(api.finalizeUpgrade, async (request) => {
    request.release();
    requireLeader(consensus);
    return await finalizeUpgrade();
  });
  handlers.onCall(api.mastersStatus, async (request, context) => {
    request.release();
    requireLeader(consensus);
    await confirmRead({ consensus }, context);
    return mastersStatus(consensus);
  });
  handlers.onCall(api.changeMasters, async (request) => {
    request.release();
    requireLeader(consensus);
    return { index: await consensus.changeMembers(request.head) };
  });
  handlers.onCall(api.transferLeadership, async (request) => {
    request.release();
    requireLeader(consensus);
    return { leaderId: await consensus.transferLeadership(request.head.to) };
  });
}

function mastersStatus(consensus: Consensus): api.MastersStatus {
  const { term, lastIndex, committedIndex, leaderId } = consensus.status();
  const { isJoint, members } = consensus.membership();
  const masters = members.map(({ id, ...member }) => ({
    memberId: id,
    ...member,
    isLeader: id === leaderId,
  }));
  return { term, lastIndex, committedIndex, isJoint, masters };
}
