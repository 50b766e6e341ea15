import type { LogIndex, ServerId, SessionId } from "../../shared/base/ids.ts";
import * as historyApi from "../../shared/protocol/history-api.ts";
import * as api from "../../shared/protocol/namespace-api.ts";
import { stat } from "../../shared/protocol/stat-api.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import type { ContentPart } from "../namespace/views.ts";
import { allocateChunks } from "./allocate.ts";
import { confirmRead, waitApplied } from "./call-waits.ts";
import { type MasterDeps, propose, requireFacts, requireLeader } from "./leader-context.ts";
import { registerTransact } from "./transact-handler.ts";
import { listPage, statAll } from "./tree-reads.ts";

/**
 * Registers the handlers of `namespace-api`, `stat-api`, `history-api` and `transact-api` of
 * `shared/protocol`. FeedService serves the change feed.
 */
export function registerNamespaceHandlers(handlers: Handlers, deps: MasterDeps): void {
  registerTransact(handlers, deps);
  registerStorageClasses(handlers, deps);
  registerRetention(handlers, deps);
  registerSessions(handlers, deps);
  registerReads(handlers, deps);
  handlers.onCall(api.allocate, async (request) => {
    request.release();
    return allocateChunks(deps, request.head);
  });
}

function registerStorageClasses(handlers: Handlers, deps: MasterDeps): void {
  const { consensus } = deps;
  handlers.onCall(api.defineStorageClass, async (request) => {
    request.release();
    requireLeader(consensus);
    const { attempt, storageClass } = request.head;
    const { index } = await propose(deps, {
      kind: "define-storage-class",
      attempt,
      storageClass,
    });
    return { index };
  });
}

function registerRetention(handlers: Handlers, deps: MasterDeps): void {
  handlers.onCall(historyApi.setHistoryRetention, async (request) => {
    request.release();
    requireLeader(deps.consensus);
    const { attempt, retentionMs } = request.head;
    const { index } = await propose(deps, {
      kind: "set-history-retention",
      attempt,
      historyRetentionMs: retentionMs,
    });
    return { index };
  });
}

function registerSessions(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, env } = deps;
  handlers.onCall(api.openSession, async (request) => {
    request.release();
    requireLeader(consensus);
    deps.sessions.checkRoom();
    const { clientName } = request.head;
    const { index } = await propose(deps, {
      kind: "open-session",
      clientName,
    });
    const { sessionIdleMsMax } = requireFacts(deps.namespace());
    // The id of a session is the index of the entry that opened it.
    const sessionId = index as number as SessionId;
    deps.sessions.recordActivity(sessionId, env.clock.monotonicMs());
    return { sessionId, index, idleMsMax: sessionIdleMsMax };
  });
  handlers.onCall(api.keepSession, async (request, context) => {
    request.release();
    requireLeader(consensus);
    const index = await confirmRead(deps, context);
    const { sessionId } = request.head;
    if (!deps.namespace().hasSession(sessionId)) {
      // The state machine refuses the command with the specific error.
      await propose(deps, { kind: "keep-session", sessionId });
    }
    deps.sessions.recordActivity(sessionId, env.clock.monotonicMs());
    return { index };
  });
  handlers.onCall(api.closeSession, async (request) => {
    request.release();
    requireLeader(consensus);
    const { sessionId } = request.head;
    const { index } = await propose(deps, {
      kind: "close-session",
      sessionId,
    });
    deps.sessions.forget([sessionId]);
    return { index };
  });
}

function registerReads(handlers: Handlers, deps: MasterDeps): void {
  handlers.onCall(stat, async (request, context) => {
    request.release();
    const { targets, read, index: at } = request.head;
    await waitForIndex(deps, { read, at }, context);
    return await statAll(deps, { targets, at }, context);
  });
  handlers.onCall(api.list, async (request, context) => {
    request.release();
    const { target, read, cursor, limit, index: at, acceptsEmptyPages } = request.head;
    // Every page of a listing shows the index of its first page, at any master.
    if (cursor === undefined) await waitForIndex(deps, { read, at }, context);
    else await waitApplied(deps, cursor.index, context);
    const index = cursor?.index ?? at ?? deps.namespace().appliedIndex;
    const page = { target, index, limit, after: cursor?.after };
    return await listPage(deps, page, { acceptsEmpty: acceptsEmptyPages === true, context });
  });
  handlers.onCall(api.locate, async (request, context) => {
    request.release();
    const { target, read, index: at, firstPosition, count } = request.head;
    await waitForIndex(deps, { read, at }, context);
    const namespace = deps.namespace();
    const index = at ?? namespace.appliedIndex;
    return locatedOf(deps, index, namespace.locate(target, { firstPosition, count }, index));
  });
  handlers.onCall(api.listStorageClasses, async (request, context) => {
    request.release();
    await waitForRead(deps, request.head.read, context);
    const namespace = deps.namespace();
    return { index: namespace.appliedIndex, storageClasses: [...namespace.storageClasses()] };
  });
  registerHistory(handlers, deps);
}

function registerHistory(handlers: Handlers, deps: MasterDeps): void {
  handlers.onCall(historyApi.asOf, async (request, context) => {
    request.release();
    const { at, read } = request.head;
    await waitForIndex(deps, { read, at: at.kind === "index" ? at.index : undefined }, context);
    const namespace = deps.namespace();
    const oldestIndex = namespace.oldestReadableIndex();
    const oldest = { oldestIndex, oldestTimeMs: namespace.timeOf(oldestIndex) };
    if (at.kind === "index") {
      namespace.checkReadable(at.index);
      return { index: at.index, timeMs: namespace.timeOf(at.index), ...oldest };
    }
    const timeMs = at.kind === "time" ? at.timeMs : deps.nowMs() - at.durationMs;
    return { index: namespace.indexAt(timeMs), timeMs, ...oldest };
  });
  handlers.onCall(historyApi.history, async (request, context) => {
    request.release();
    const { path, read, from, limit } = request.head;
    await waitForRead(deps, read, context);
    const namespace = deps.namespace();
    const { versions, next } = namespace.history({ path, from, limit });
    const oldestIndex = namespace.oldestReadableIndex();
    return { index: namespace.appliedIndex, oldestIndex, versions: [...versions], next };
  });
}

/**
 * Resolves when this master can answer as of index `at`, or as of now if `at` is undefined. A past
 * state never changes, so an index that is already applied needs no confirmation.
 */
async function waitForIndex(
  deps: MasterDeps,
  { read, at }: { readonly read: api.ReadMode; readonly at: LogIndex | undefined },
  context: CallContext,
): Promise<void> {
  if (at === undefined || at > deps.namespace().appliedIndex) {
    await waitForRead(deps, read, context);
  }
}

/**
 * Resolves when this master can answer in the given read mode (docs/client.md, "Read modes").
 *
 * @throws {AshlarError} NO_LEADER before the cluster is created: its state has no root directory yet
 */
async function waitForRead(
  deps: MasterDeps,
  mode: api.ReadMode,
  context: CallContext,
): Promise<void> {
  if (mode.kind === "linearizable") await confirmRead(deps, context);
  else if (mode.kind === "session") await waitApplied(deps, mode.index, context);
  requireFacts(deps.namespace());
}

/**
 * Returns `part` with the locations of its replicas. Each server occurs once in `servers`, and the
 * chunks refer to it by its position.
 */
function locatedOf(deps: MasterDeps, index: LogIndex, part: ContentPart): api.Located {
  const namespace = deps.namespace();
  const positions = new Map<ServerId, number>();
  const servers: api.Located["servers"] = [];
  const positionOf = (serverId: ServerId): number[] => {
    const position = positions.get(serverId);
    if (position !== undefined) return [position];
    const location = deps.fleet.location(serverId) ?? namespace.server(serverId);
    if (location === undefined) return [];
    positions.set(serverId, servers.length);
    servers.push({ ...location, isLive: deps.fleet.liveness(serverId) === "live" });
    return [servers.length - 1];
  };
  const chunks = part.chunks.map(({ id, lengthBytes, replicas }) => ({
    id,
    lengthBytes,
    replicas: liveFirst(replicas.flatMap(positionOf), servers),
  }));
  return { index, attributes: part.attributes, inlineBytes: part.inlineBytes, chunks, servers };
}

/** Returns the positions of live servers first. */
function liveFirst(positions: readonly number[], servers: api.Located["servers"]): number[] {
  const isLive = (position: number): boolean => servers[position]?.isLive === true;
  return [...positions.filter(isLive), ...positions.filter((position) => !isLive(position))];
}
