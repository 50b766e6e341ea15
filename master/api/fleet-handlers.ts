import { AshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, ServerId } from "../../shared/base/ids.ts";
import * as api from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { Handlers } from "../../shared/wire/rpc.ts";
import { FEATURE_LEVEL_MAX } from "../namespace/feature-levels.ts";
import { clusterStatus, type StatusParts, statusOfMember } from "./cluster-status.ts";
import { type MasterParts, propose, requireFacts, requireLeader } from "./leader-context.ts";

/** Purges sent with one heartbeat: what a server does in about a second. */
const PURGES_PER_BEAT = 200;

/** Serves `shared/protocol/fleet-api`: chunkservers report, anybody asks for the status. */
export function registerFleetHandlers(handlers: Handlers, parts: MasterParts & StatusParts): void {
  registerReports(handlers, parts);
  handlers.onCall(api.confirmChunks, async (request, context) => {
    request.release();
    requireLeader(parts.consensus);
    await parts.consensus.confirmRead(context.remainingMs());
    const { serverId, chunks } = request.head;
    return { verdicts: chunks.map((chunk) => verdictOn(parts, serverId, chunk)) };
  });
  handlers.onCall(api.status, async (request, context) => {
    request.release();
    requireLeader(parts.consensus);
    await parts.consensus.confirmRead(context.remainingMs());
    return clusterStatus(parts);
  });
  handlers.onCall(api.memberStatus, async (request) => {
    request.release();
    const status = parts.consensus.status();
    const marks = parts
      .namespace()
      .checkpointMarks.map(({ index, stateHash }) => ({ index, stateHash }));
    return {
      member: statusOfMember(status),
      leaderAddress: status.leaderAddress,
      masters: [...status.masters],
      state: { featureLevelMax: FEATURE_LEVEL_MAX, marks },
    };
  });
}

function registerReports(handlers: Handlers, parts: MasterParts): void {
  const { consensus, fleet } = parts;
  handlers.onCall(api.register, async (request) => {
    request.release();
    requireLeader(consensus);
    const { server, space, clusterId } = request.head;
    const facts = requireFacts(parts.namespace());
    if (clusterId !== null && clusterId !== facts.clusterId) {
      throw new AshlarError(
        "WRONG_CLUSTER",
        `Cannot register chunkserver ${server.serverId}: expected cluster ${facts.clusterId}: it belongs to ${clusterId}`,
      );
    }
    await recordServer(parts, server);
    fleet.recordRegistration(server, space);
    return {
      clusterId: facts.clusterId,
      chunkKey: facts.chunkKey,
      heartbeatIntervalMs: fleet.heartbeatIntervalMs,
    };
  });
  handlers.onCall(api.heartbeat, async (request) => {
    request.release();
    requireLeader(consensus);
    const { serverId } = request.head;
    if (!fleet.recordHeartbeat(request.head)) {
      throw new AshlarError(
        "NOT_FOUND",
        `Cannot take a heartbeat of chunkserver ${serverId}: it has not registered with this leader`,
      );
    }
    await recordReports(parts, request.head);
    const purges = parts.namespace().purgesOf(serverId, PURGES_PER_BEAT);
    return {
      orders: [
        ...parts.repair.ordersFor(serverId),
        ...purges.map((purge) => ({ kind: "purge" as const, ...purge })),
      ],
    };
  });
  handlers.onCall(api.goodbye, async (request) => {
    request.release();
    requireLeader(consensus);
    fleet.recordGoodbye(request.head.serverId);
    return {};
  });
}

/** Puts the server into the log if anything about it is new. */
async function recordServer(parts: MasterParts, server: ServerLocation): Promise<void> {
  const known = parts
    .namespace()
    .servers()
    .find((each) => each.serverId === server.serverId);
  const isNew =
    known === undefined ||
    known.address !== server.address ||
    known.host !== server.host ||
    known.rack !== server.rack;
  if (!isNew) return;
  await propose(parts, { kind: "register-server", nowMs: parts.nowMs(), server });
}

/**
 * Records what a chunkserver did. It repeats its reports until a heartbeat is answered, so all of
 * them are in the log before the answer; repeating one changes nothing.
 */
async function recordReports(parts: MasterParts, beat: api.HeartbeatRequest): Promise<void> {
  const { repair, env } = parts;
  const { serverId } = beat;
  if (beat.copied.length > 0) {
    const items = beat.copied.map((copy) => ({ ...copy, serverId }));
    await propose(parts, { kind: "add-replicas", items });
    for (const { chunkId } of items) repair.recordCopyResult(serverId, chunkId);
  }
  for (const { chunkId, reason } of beat.copyFailed) {
    env.log.warn("A chunkserver could not make a copy", { serverId, chunkId, reason });
    repair.recordCopyResult(serverId, chunkId);
  }
  if (beat.lost.length > 0) {
    for (const { chunkId, reason } of beat.lost) {
      env.log.warn("A chunkserver lost a copy", { serverId, chunkId, reason });
    }
    const items = beat.lost.map((loss) => ({ ...loss, serverId }));
    await propose(parts, { kind: "drop-replicas", items });
  }
  if (beat.purged.length > 0) {
    const items = beat.purged.map((purge) => ({ ...purge, serverId }));
    await propose(parts, { kind: "finish-purges", items });
  }
}

type Verdict = "known" | "unknown" | "undecided";

/** `unknown` only below the intent floor: from there on no commit can name the copy any more. */
function verdictOn(
  parts: MasterParts,
  serverId: ServerId,
  copy: {
    readonly chunkId: api.HeartbeatRequest["copied"][number]["chunkId"];
    readonly intentIndex: LogIndex;
  },
): Verdict {
  const namespace = parts.namespace();
  const replicas = namespace.chunk(copy.chunkId)?.replicas ?? [];
  if (replicas.some((replica) => replica.serverId === serverId)) return "known";
  return copy.intentIndex < namespace.intentFloor() ? "unknown" : "undecided";
}
