import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, ServerId, SessionId } from "../../shared/base/ids.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import * as past from "../../shared/protocol/history-api.ts";
import * as api from "../../shared/protocol/namespace-api.ts";
import { stat } from "../../shared/protocol/stat-api.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import type { Namespace } from "../namespace/namespace.ts";
import type { ContentPart } from "../namespace/views.ts";
import { allocateChunks } from "./allocate.ts";
import { AnswerTurns } from "./answer-turns.ts";
import { type MasterDeps, propose, requireFacts, requireLeader } from "./leader-context.ts";
import { registerTransact } from "./transact-handler.ts";

/**
 * Serves what clients ask about names: `namespace-api`, `stat-api`, `history-api` and `transact-api` of
 * `shared/protocol`. The change feed has a handler of its own.
 */
export function registerNamespaceHandlers(handlers: Handlers, deps: MasterDeps): void {
  registerTransact(handlers, deps);
  registerStorageClasses(handlers, deps);
  registerSessions(handlers, deps);
  registerReads(handlers, deps);
  handlers.onCall(api.allocate, async (request) => {
    request.release();
    return allocateChunks(deps, request.head);
  });
}

function registerStorageClasses(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, nowMs } = deps;
  handlers.onCall(api.defineStorageClass, async (request) => {
    request.release();
    requireLeader(consensus);
    const { attempt, storageClass } = request.head;
    const { index } = await propose(deps, {
      kind: "define-storage-class",
      nowMs: nowMs(),
      attempt,
      storageClass,
    });
    return { index };
  });
}

function registerSessions(handlers: Handlers, deps: MasterDeps): void {
  const { consensus, env, nowMs } = deps;
  handlers.onCall(api.openSession, async (request) => {
    request.release();
    requireLeader(consensus);
    const { clientName } = request.head;
    const { index } = await propose(deps, {
      kind: "open-session",
      nowMs: nowMs(),
      clientName,
    });
    const { sessionIdleMsMax } = requireFacts(deps.namespace());
    // Its own entry's index names a session.
    const sessionId = index as number as SessionId;
    deps.sessions.recordActivity(sessionId, env.clock.monotonicMs());
    return { sessionId, index, idleMsMax: sessionIdleMsMax };
  });
  handlers.onCall(api.keepSession, async (request, context) => {
    request.release();
    requireLeader(consensus);
    const index = await consensus.confirmRead(context.remainingMs());
    const { sessionId } = request.head;
    if (!deps.namespace().hasSession(sessionId)) {
      // The state machine words the refusal.
      await propose(deps, { kind: "keep-session", nowMs: nowMs(), sessionId });
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
      nowMs: nowMs(),
      sessionId,
    });
    return { index };
  });
}

/** An answer about so many targets is large: it keeps the leader for longer than a turn costs. */
const LARGE_STAT_TARGETS = 8;

function registerReads(handlers: Handlers, deps: MasterDeps): void {
  const turns = new AnswerTurns(deps.env.clock);
  handlers.onCall(stat, async (request, context) => {
    request.release();
    const { targets, read, index: at } = request.head;
    await waitForIndex(deps, { read, at }, context);
    if (targets.length >= LARGE_STAT_TARGETS) await turns.next();
    const namespace = deps.namespace();
    const index = at ?? namespace.appliedIndex;
    return { index, results: targets.map((target) => statResult(namespace, target, index)) };
  });
  handlers.onCall(api.list, async (request, context) => {
    request.release();
    const { target, read, cursor, limit, index: at } = request.head;
    // A page of a listing that has begun shows that listing's index, whoever serves it.
    if (cursor === undefined) await waitForIndex(deps, { read, at }, context);
    else await deps.consensus.waitApplied(cursor.index, context.remainingMs());
    const namespace = deps.namespace();
    const index = cursor?.index ?? at ?? namespace.appliedIndex;
    const { entries, isLast } = namespace.list(target, { after: cursor?.after, limit }, index);
    return { index, entries: [...entries], isLast };
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

/** A target that is refused is refused alone. */
function statResult(
  namespace: Namespace,
  target: api.Target,
  index: LogIndex,
): Attributes | AshlarError {
  try {
    return namespace.stat(target, index);
  } catch (error) {
    if (isAshlarError(error)) return error;
    throw error;
  }
}

function registerHistory(handlers: Handlers, deps: MasterDeps): void {
  handlers.onCall(past.asOf, async (request, context) => {
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
  handlers.onCall(past.history, async (request, context) => {
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
 * Waits until this master may answer as of `at`, or of now where that is undefined. A state of the
 * past never changes, so one that is here already needs no leave.
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

/** Waits until this master may answer in the wanted mode (docs/client.md, "Read modes"). */
async function waitForRead(
  deps: MasterDeps,
  mode: api.ReadMode,
  context: CallContext,
): Promise<void> {
  switch (mode.kind) {
    case "linearizable":
      await deps.consensus.confirmRead(context.remainingMs());
      return;
    case "session":
      await deps.consensus.waitApplied(mode.index, context.remainingMs());
      return;
    case "stale":
      return;
  }
}

/** `part` with the addresses of its replicas: the servers stand once, the chunks point at them. */
function locatedOf(deps: MasterDeps, index: LogIndex, part: ContentPart): api.Located {
  const namespace = deps.namespace();
  const positions = new Map<ServerId, number>();
  const servers: api.Located["servers"] = [];
  const known = new Map(namespace.servers().map((server) => [server.serverId, server]));
  const positionOf = (serverId: ServerId): number[] => {
    const position = positions.get(serverId);
    if (position !== undefined) return [position];
    const location = deps.fleet.location(serverId) ?? known.get(serverId);
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

function liveFirst(positions: readonly number[], servers: api.Located["servers"]): number[] {
  const isLive = (position: number): boolean => servers[position]?.isLive === true;
  return [...positions.filter(isLive), ...positions.filter((position) => !isLive(position))];
}
