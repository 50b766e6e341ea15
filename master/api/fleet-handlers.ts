import { AshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import { LOGGED_ITEMS_MAX } from "../../shared/ports/log.ts";
import { changeEnrolment, enrolmentStatus } from "../../shared/protocol/enrolment-api.ts";
import * as api from "../../shared/protocol/fleet-api.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import type { DropReplicas } from "../namespace/command.ts";
import {
  FEATURE_LEVEL_LOST_INTENT,
  FEATURE_LEVEL_MAX,
  FEATURE_LEVEL_UNREADABLE,
} from "../namespace/feature-levels.ts";
import type { Namespace } from "../namespace/namespace.ts";
import { missingKeys, secretsOf } from "./chunk-keys.ts";
import { clusterStatus, masterStatusOf, type StatusDeps } from "./cluster-status.ts";
import { verdictsOf } from "./confirm-chunks.ts";
import {
  admitServer,
  checkEnrolled,
  performEnrolmentChange,
  statusOfEnrolment,
} from "./enrolment.ts";
import {
  beginTerm,
  confirmedState,
  type MasterDeps,
  propose,
  requireFacts,
  requireLeader,
} from "./leader-context.ts";
import { CopyPages, copiesOf } from "./recorded-copies.ts";
import { removeServer } from "./remove-server.ts";
import { trimHistory } from "./trim-history.ts";

/**
 * Maximum number of purges in one heartbeat answer. A server carries them out in about a second.
 */
const PURGES_PER_HEARTBEAT = 200;

/**
 * Registers the handlers of `shared/protocol/fleet-api`: reports of chunkservers, and the status.
 */
export function registerFleetHandlers(handlers: Handlers, deps: MasterDeps & StatusDeps): void {
  registerReports(handlers, deps);
  registerCopyQuestions(handlers, deps);
  handlers.onCall(api.status, async (request, context) => {
    request.release();
    await confirmedState(deps, context);
    return clusterStatus(deps, context);
  });
  handlers.onCall(api.trimHistory, async (request, context) => {
    request.release();
    requireLeader(deps.consensus); // No confirmed read: each change is a proposal.
    return trimHistory(deps, context);
  });
  handlers.onCall(api.removeServer, async (request, context) => {
    request.release();
    await confirmedState(deps, context);
    return await removeServer(deps, request.head);
  });
  handlers.onCall(enrolmentStatus, async (request, context) => {
    request.release();
    await confirmedState(deps, context);
    return statusOfEnrolment(deps);
  });
  handlers.onCall(changeEnrolment, async (request, context) => {
    request.release();
    await confirmedState(deps, context);
    return await performEnrolmentChange(deps, request.head.change, context);
  });
  handlers.onCall(api.memberStatus, async (request) => {
    request.release();
    const status = deps.consensus.status();
    const marks = deps
      .namespace()
      .checkpointMarks.map(({ index, stateHash }) => ({ index, stateHash }));
    return {
      member: masterStatusOf(status),
      leaderAddress: status.leaderAddress,
      masters: [...status.masters],
      learners: [...status.learners],
      wallMs: Math.floor(deps.env.clock.wallMs()),
      state: { featureLevelMax: FEATURE_LEVEL_MAX, marks },
    };
  });
}

function registerReports(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, fleet, registrations } = deps;
  handlers.onCall(api.register, async (request, { peer }) => {
    request.release();
    requireLeader(consensus);
    const { server, space, clusterId, capabilities } = request.head;
    const facts = requireFacts(deps.namespace());
    if (clusterId !== null && clusterId !== facts.clusterId) {
      throw new AshlarError(
        "WRONG_CLUSTER",
        `Cannot register chunkserver ${server.serverId}: expected cluster ${facts.clusterId}: current value is ${clusterId}`,
      );
    }
    if (deps.namespace().isServerRemoved(server.serverId)) throw serverRemoved(server);
    checkSingleProcess(deps, server);
    const admit = () => admitServer(deps, server.serverId, request.head.proof);
    admit();
    await recordServer(deps, server);
    // Again: the enrolment may have been closed, and the chunk key rotated, in the meantime.
    const { isProven, credential } = admit();
    beginTerm(deps);
    fleet.recordRegistration(server, space, capabilities);
    registrations.record(peer, server.serverId, isProven);
    return {
      clusterId: facts.clusterId,
      heartbeatIntervalMs: fleet.heartbeatIntervalMs,
      ...secretsOf(deps.namespace(), credential),
    };
  });
  handlers.onCall(api.heartbeat, async (request, context) => {
    const { peer } = context;
    request.release();
    requireLeader(consensus);
    beginTerm(deps);
    const { serverId } = request.head;
    registrations.check(peer, serverId);
    const shouldEnrol = checkEnrolled(deps, peer, serverId);
    if (!fleet.recordHeartbeat(request.head)) {
      throw new AshlarError(
        "NOT_FOUND",
        `Cannot accept a heartbeat of chunkserver ${serverId}: it has not registered with this leader`,
      );
    }
    // Before the reports: a commit that is refused at this floor follows none of them.
    const intentFloor = deps.namespace().intentFloor();
    await recordReports(deps, request.head);
    await context.turn();
    // Again: see the registration.
    checkEnrolled(deps, peer, serverId);
    const purges = deps.namespace().purgesOf(serverId, PURGES_PER_HEARTBEAT);
    const chunkKeys = missingKeys(deps.namespace(), request.head.chunkKeyVersions);
    return {
      ...(chunkKeys === null ? {} : { chunkKeys: [...chunkKeys] }),
      ...(comparesIntents(deps) ? { intentFloor } : {}),
      enrol: shouldEnrol,
      orders: [
        ...deps.repair.ordersFor(serverId),
        ...purges.map((purge) => ({ kind: "purge" as const, ...purge })),
      ],
    };
  });
  handlers.onCall(api.goodbye, async (request, { peer }) => {
    request.release();
    requireLeader(consensus);
    registrations.check(peer, request.head.serverId);
    fleet.recordGoodbye(request.head.serverId);
    return {};
  });
}

/** Registers the questions of a chunkserver about its copies. */
function registerCopyQuestions(handlers: Handlers, deps: MasterDeps): void {
  const pages = new CopyPages(deps.env.clock);
  /** Confirms the leadership, for a server that has registered on the connection of the call. */
  const confirm = async (serverId: ServerId, context: CallContext): Promise<Namespace> => {
    requireLeader(deps.consensus);
    deps.registrations.check(context.peer, serverId);
    return await confirmedState(deps, context);
  };
  handlers.onCall(api.confirmChunks, async (request, context) => {
    request.release();
    const { serverId, chunks: copies } = request.head;
    const stateOf = () => confirm(serverId, context);
    return { verdicts: await verdictsOf(deps, { serverId, copies }, stateOf) };
  });
  handlers.onCall(api.listCopies, async (request, context) => {
    request.release();
    const { serverId, after } = request.head;
    return pages.page(await confirm(serverId, context), serverId, after);
  });
  handlers.onCall(api.findCopies, async (request, context) => {
    request.release();
    const { serverId, chunkIds } = request.head;
    return copiesOf(await confirm(serverId, context), serverId, chunkIds);
  });
}

function serverRemoved({ serverId }: ServerLocation): AshlarError {
  return new AshlarError(
    "WRONG_IDENTITY",
    `Cannot register chunkserver ${serverId}: it was removed from the cluster`,
    {
      hint: "To use the machine again, give the chunkserver an empty data directory: it becomes a new server",
    },
  );
}

/** Proposes an entry for the server if it is new or its location has changed. */
async function recordServer(deps: MasterDeps, server: ServerLocation): Promise<void> {
  const known = deps.namespace().server(server.serverId);
  const isChanged =
    known === undefined ||
    known.address !== server.address ||
    known.host !== server.host ||
    known.rack !== server.rack;
  if (!isChanged) return;
  await propose(deps, { kind: "register-server", server });
}

/**
 * Checks that no other process answers for this server. Two have one id if a data directory was copied:
 * copies on one of them would count as copies on the other.
 *
 * @throws {AshlarError} WRONG_IDENTITY while the server is live at another address
 */
function checkSingleProcess({ fleet }: MasterDeps, { serverId, address }: ServerLocation): void {
  const known = fleet.location(serverId);
  if (known === undefined || known.address === address) return;
  if (fleet.silentMs(serverId) === null || fleet.liveness(serverId) !== "live") return;
  throw new AshlarError(
    "WRONG_IDENTITY",
    `Cannot register chunkserver ${serverId} at ${address}: it is live at ${known.address}`,
    {
      hint: "If its data directory was copied, stop one of the two processes and remove that copy. After a move to another address the server is accepted within seconds",
    },
  );
}

/**
 * Records the reports of a chunkserver in the log. The server repeats its reports until a heartbeat
 * is answered, so all reports are committed before the answer. A repeated report changes nothing.
 */
async function recordReports(deps: MasterDeps, heartbeat: api.HeartbeatRequest): Promise<void> {
  const { repair, env } = deps;
  const { serverId } = heartbeat;
  if (heartbeat.copied.length > 0) {
    const items = heartbeat.copied.map((copy) => ({ ...copy, serverId }));
    for (const some of batchesOf(items)) await propose(deps, { kind: "add-replicas", items: some });
    for (const { chunkId } of items) repair.recordCopyResult(serverId, chunkId);
  }
  for (const { chunkId, reason } of heartbeat.copyFailed) {
    env.log.warn("A chunkserver failed to copy a chunk", { serverId, chunkId, reason });
    repair.recordCopyResult(serverId, chunkId);
  }
  await recordLosses(deps, heartbeat);
  await recordUnreadable(deps, heartbeat);
  if (heartbeat.purged.length > 0) {
    const items = heartbeat.purged.map((purge) => ({ ...purge, serverId }));
    for (const some of batchesOf(items))
      await propose(deps, { kind: "finish-purges", items: some });
  }
}

/**
 * Records the losses that a chunkserver reports. It reports each one again until no commit can record
 * the lost replica.
 */
async function recordLosses(
  deps: MasterDeps,
  { serverId, lost }: api.HeartbeatRequest,
): Promise<void> {
  if (lost.length === 0) return;
  // One line, although there may be a thousand.
  const firstOf = <Item>(items: Iterable<Item>) => [...items].slice(0, LOGGED_ITEMS_MAX);
  deps.env.log.warn("A chunkserver reports lost replicas", {
    serverId,
    lostCount: lost.length,
    chunkIds: firstOf(lost.map(({ chunkId }) => chunkId)),
    reasons: firstOf(new Set(lost.map(({ reason }) => reason))),
  });
  const isCompared = comparesIntents(deps);
  const items = lost.map(({ chunkId, reason, intentIndex }) => {
    const loss = { chunkId, serverId, reason };
    return isCompared && intentIndex !== undefined ? { ...loss, intentIndex } : loss;
  });
  for (const some of batchesOf(items)) await dropReplicas(deps, some);
}

/**
 * Stops counting the copies that a chunkserver cannot read, of chunks with another copy on a live server:
 * repair then makes a new one. The state keeps the last recorded copy of a chunk (`DropReplicas`).
 */
async function recordUnreadable(
  deps: MasterDeps,
  { serverId, unreadable = [] }: api.HeartbeatRequest,
): Promise<void> {
  if (unreadable.length === 0) return;
  deps.env.log.warn("A chunkserver cannot read some of its replicas: it keeps them", {
    serverId,
    unreadableCount: unreadable.length,
    chunkIds: unreadable.slice(0, LOGGED_ITEMS_MAX).map(({ chunkId }) => chunkId),
    reasons: [...new Set(unreadable.map(({ reason }) => reason))].slice(0, LOGGED_ITEMS_MAX),
  });
  const namespace = deps.namespace();
  if (namespace.featureLevel < FEATURE_LEVEL_UNREADABLE) return;
  const items = unreadable
    .filter(({ chunkId }) =>
      namespace
        .chunk(chunkId)
        ?.replicas.some(
          (other) => other.serverId !== serverId && deps.fleet.hasCertainCopies(other.serverId),
        ),
    )
    .map((copy) => ({ ...copy, serverId, isUnreadable: true }));
  if (items.length > 0) await dropReplicas(deps, items);
}

/** Removes copies from the records. A removal of a server must not count on them: see `ServerRemoval`. */
function dropReplicas(deps: MasterDeps, items: DropReplicas["items"]): Promise<unknown> {
  return deps.removal.whileDropping(() => propose(deps, { kind: "drop-replicas", items }));
}

/** Returns whether a report of a loss removes only replicas that were sealed before it. */
function comparesIntents({ namespace }: MasterDeps): boolean {
  return namespace().featureLevel >= FEATURE_LEVEL_LOST_INTENT;
}

/** Items of one entry: about half of the units of work that an entry may have. */
const ITEMS_PER_ENTRY = 400;

function* batchesOf<Item>(items: readonly Item[]): Generator<readonly Item[], void, void> {
  for (let start = 0; start < items.length; start += ITEMS_PER_ENTRY) {
    yield items.slice(start, start + ITEMS_PER_ENTRY);
  }
}
