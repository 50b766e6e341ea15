import * as api from "../../shared/protocol/masters-api.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import type { Consensus, MemberStatus } from "../consensus.ts";
import { confirmRead } from "./call-waits.ts";
import type { StatusDeps } from "./cluster-status.ts";
import { requireLeader } from "./leader-context.ts";

/** Dependencies of the handlers of `masters-api`. */
export interface MastersDeps {
  readonly consensus: Consensus;
  /** See `StatusDeps`. */
  readonly fetchMasterStatus: StatusDeps["fetchMasterStatus"];
  /** Raises the feature level: see `masters.finalize-upgrade`. */
  readonly finalizeUpgrade: () => Promise<api.FinalizedUpgrade>;
  /** Steps the time of the cluster: see `masters.reset-clock`. */
  readonly resetClock: () => Promise<{ readonly fromMs: number; readonly toMs: number }>;
}

/**
 * Registers the handlers of `shared/protocol/masters-api`: status and changes of the membership, the
 * end of an upgrade, and the time of the cluster. Changes need no confirmed read: each of them is a proposal.
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
    return await mastersStatus(deps);
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

type MembersDeps = Pick<MastersDeps, "consensus" | "fetchMasterStatus">;

async function mastersStatus(deps: MembersDeps): Promise<api.MastersStatus> {
  const { term, lastIndex, committedIndex, leaderId } = deps.consensus.status();
  const { isJoint, members } = deps.consensus.membership();
  const masters = members.map(async ({ id, ...member }) => ({
    memberId: id,
    ...member,
    progress: await withRefusal(deps, member),
    isLeader: id === leaderId,
  }));
  return { term, lastIndex, committedIndex, isJoint, masters: await Promise.all(masters) };
}

/** Adds the refusal that the member itself reports: it does not answer the messages that it refuses. */
async function withRefusal(
  { consensus, fetchMasterStatus }: MembersDeps,
  { address, progress }: Pick<MemberStatus, "address" | "progress">,
): Promise<MemberStatus["progress"]> {
  if (progress === null || progress.refusal !== null || !progress.isActive) return progress;
  if (progress.matchIndex >= consensus.status().lastIndex) return progress;
  try {
    const { refusal = null } = await fetchMasterStatus(address);
    return { ...progress, refusal };
  } catch {
    return progress; // The progress says whether the member is active.
  }
}
