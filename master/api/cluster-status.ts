import type { InferOutput } from "valibot";
import { CHUNK_BYTES_MAX, type LogIndex } from "../../shared/base/ids.ts";
import type { ClusterStatus, masterStatusSchema } from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import { SHORT_TEXT_LENGTH_MAX } from "../../shared/protocol/schemas.ts";
import type { CallContext } from "../../shared/wire/rpc.ts";
import type { ConsensusStatus } from "../consensus.ts";
import type { ClusterFacts } from "../namespace/command.ts";
import { FEATURE_LEVEL_MAX } from "../namespace/feature-levels.ts";
import { evaluateHealth } from "../placement/evaluate-health.ts";
import type { Liveness } from "../placement/liveness.ts";
import { newestOf } from "./chunk-keys.ts";
import { notEnrolledServers } from "./enrolment.ts";
import { type MasterDeps, requireFacts } from "./leader-context.ts";

export type MasterStatus = InferOutput<typeof masterStatusSchema>;

export interface StatusDeps {
  /** Fetches the status of another master. Rejects if it does not answer within a short timeout. */
  readonly fetchMasterStatus: (address: string) => Promise<MasterStatus>;
}

const shortText = (text: string): string => text.slice(0, SHORT_TEXT_LENGTH_MAX);

/** Returns the status that this member reports about itself. */
export function masterStatusOf(status: ConsensusStatus): MasterStatus {
  const { memberId, role, term, lastIndex, committedIndex, appliedIndex, refusal, diskFull } =
    status;
  const address = status.members.find((member) => member.id === memberId)?.address ?? "";
  const own = { memberId, address, role, term, lastIndex, committedIndex, appliedIndex };
  return {
    ...own,
    ...(refusal === null ? {} : { refusal }),
    ...(diskFull === null ? {} : { diskFull: { ...diskFull, reason: shortText(diskFull.reason) } }),
  };
}

/**
 * Returns the status of the whole cluster. The caller must have confirmed that this member is the
 * leader. The work grows with the number of chunkservers, so it has several parts: reading them, judging
 * them, and the answer.
 */
export async function clusterStatus(
  deps: MasterDeps & StatusDeps,
  context: Pick<CallContext, "turn">,
): Promise<ClusterStatus> {
  const skews = deps.clock.skews();
  const { members } = deps.consensus.membership();
  const masters = (await Promise.all(masterStatuses(deps))).map((master) => {
    const skewMs = skews?.get(master.memberId);
    // A refusal by the leader, or one that the master has reported itself.
    const member = members.find(({ id }) => id === master.memberId);
    const refusal = member?.progress?.refusal ?? master.refusal;
    return {
      ...master,
      ...(skewMs === undefined ? {} : { clockAheadMs: Math.round(skewMs) }),
      ...(refusal === undefined ? {} : { refusal }),
    };
  });
  await context.turn();
  const namespace = deps.namespace();
  const facts = requireFacts(namespace);
  // All reads of the state are in this part: they are of one index.
  const recorded = namespace.servers();
  const index = namespace.appliedIndex;
  const counters = namespace.counters();
  const history = historyStatus(deps, facts);
  const featureLevel = { current: namespace.featureLevel, supported: FEATURE_LEVEL_MAX };
  const storageClass = namespace.storageClass(facts.defaultStorageClass);
  const enrolment = namespace.enrolment();
  await context.turn();
  const chunkservers = chunkserverStatuses(deps, recorded);
  await context.turn();
  const repair = deps.repair.counts;
  const health = evaluateHealth({
    mastersTotal: masters.length,
    mastersReachable: masters.filter((master) => master.role !== "unreachable").length,
    clocks: masters.map(({ memberId, clockAheadMs = 0 }) => ({ memberId, aheadMs: clockAheadMs })),
    refused: masters.flatMap(({ memberId, refusal }) =>
      refusal ? [{ memberId, ...refusal }] : [],
    ),
    disksFull: masters.flatMap(({ memberId, address, role, diskFull }) =>
      diskFull ? [{ memberId, address, isLeader: role === "leader", ...diskFull }] : [],
    ),
    timeAheadMs: deps.clock.aheadMs() ?? 0,
    servers: chunkservers.map(({ state, isRefused, lastHeardMsAgo, ...server }) => ({
      ...server,
      liveness: isRefused ? "refused" : state,
      silentMs: lastHeardMsAgo,
      isFull: server.space.availableBytes < CHUNK_BYTES_MAX,
    })),
    settling: deps.fleet.settling(),
    chunksUnderReplicated: repair.underReplicated,
    chunksLost: repair.lost,
    copiesMin: storageClass?.copiesMin ?? 1,
    isScanComplete: deps.repair.isScanComplete,
    isMassLoss: deps.repair.isHalted,
  });
  const notEnrolledCount = notEnrolledServers(deps, recorded).length;
  await context.turn();
  return {
    clusterId: facts.clusterId,
    index,
    masters,
    chunkservers,
    ...(enrolment === undefined
      ? {}
      : {
          enrolment: {
            isOpen: enrolment.isOpen,
            keyVersion: newestOf(enrolment.keys).version,
            notEnrolledCount,
          },
        }),
    featureLevel,
    health: { ...health, reasons: [...health.reasons] },
    ...(storageClass === undefined ? {} : { defaultCopies: storageClass.copies }),
    namespace: {
      ...counters,
      chunksUnderReplicated: repair.underReplicated,
      chunksLost: repair.lost,
    },
    history,
  };
}

function historyStatus(deps: MasterDeps, facts: ClusterFacts): ClusterStatus["history"] {
  const namespace = deps.namespace();
  const oldestIndex = namespace.oldestReadableIndex();
  return {
    versions: namespace.counters().historyVersions,
    versionsMax: deps.historyVersionsMax,
    retentionMs: facts.historyRetentionMs,
    oldestIndex,
    oldestTimeMs: namespace.timeOf(oldestIndex),
  };
}

function masterStatuses(deps: MasterDeps & StatusDeps): Promise<MasterStatus>[] {
  const own = deps.consensus.status();
  return own.members.map(async ({ id, address }) => {
    if (id === own.memberId) return masterStatusOf(own);
    try {
      return await deps.fetchMasterStatus(address);
    } catch {
      // A master that does not answer is reported as unreachable.
      const none = 0 as LogIndex;
      return {
        memberId: id,
        address,
        role: "unreachable",
        term: own.term,
        lastIndex: none,
        committedIndex: none,
        appliedIndex: none,
      } as const;
    }
  });
}

function chunkserverStatuses(
  { fleet }: MasterDeps,
  recorded: readonly ServerLocation[],
): ClusterStatus["chunkservers"] {
  const statuses = new Map(fleet.servers().map((each) => [each.location.serverId, each]));
  return recorded.map((server) => {
    const { serverId } = server;
    const status = statuses.get(serverId);
    const lastHeardMsAgo = fleet.silentMs(serverId);
    const liveness = fleet.liveness(serverId);
    return {
      ...(status?.location ?? server),
      state: stateOf(liveness, lastHeardMsAgo),
      isRefused: liveness === "refused",
      isDiskFailed: status?.isDiskFailed ?? false,
      unreadableCount: status?.unreadableCount ?? 0,
      capabilities: [...(status?.capabilities ?? [])].sort(),
      space: status?.space ?? { totalBytes: 0, availableBytes: 0, usedBytes: 0 },
      chunkCount: status?.chunkCount ?? 0,
      lastHeardMsAgo,
    };
  });
}

/** Returns the state on the wire. Clients of an old version do not know `refused`. */
function stateOf(
  liveness: Liveness,
  lastHeardMsAgo: number | null,
): ClusterStatus["chunkservers"][number]["state"] {
  if (liveness === "refused") return "dead";
  // A new leader has no message of the server yet: the server is not known to be live.
  return liveness === "live" && lastHeardMsAgo === null ? "suspect" : liveness;
}
