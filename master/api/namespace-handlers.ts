import type { LogIndex, ServerId } from "../../shared/base/ids.ts";
import * as api from "../../shared/protocol/namespace-api.ts";
import type { CallContext, Handlers } from "../../shared/wire/rpc.ts";
import type { ContentPart } from "../namespace/views.ts";
import { allocateChunks } from "./allocate.ts";
import { type MasterParts, propose, requireFacts, requireLeader } from "./leader-context.ts";
import { verifyOperation } from "./verify-receipts.ts";

/** Serves `shared/protocol/namespace-api`: mutations, sessions, placement, reads. */
export function registerNamespaceHandlers(handlers: Handlers, parts: MasterParts): void {
  registerMutations(handlers, parts);
  registerSessions(handlers, parts);
  registerReads(handlers, parts);
  handlers.onCall(api.allocate, async (request) => {
    request.release();
    return allocateChunks(parts, request.head);
  });
}

function registerMutations(handlers: Handlers, parts: MasterParts): void {
  const { consensus, env, nowMs } = parts;
  handlers.onCall(api.transact, async (request) => {
    request.release();
    requireLeader(consensus);
    const { attempt, preconditions } = request.head;
    const { chunkKey } = requireFacts(parts.namespace());
    const operations = request.head.operations.map((operation) =>
      verifyOperation(env.hasher, chunkKey, operation),
    );
    parts.sessions.heard(attempt.sessionId, env.clock.monotonicMs());
    const { index, results } = await propose(parts, {
      kind: "transact",
      nowMs: nowMs(),
      attempt,
      preconditions,
      operations,
    });
    return { index, results: [...results] };
  });
  handlers.onCall(api.defineStorageClass, async (request) => {
    request.release();
    requireLeader(consensus);
    const { attempt, storageClass } = request.head;
    const { index } = await propose(parts, {
      kind: "define-storage-class",
      nowMs: nowMs(),
      attempt,
      storageClass,
    });
    return { index };
  });
}

function registerSessions(handlers: Handlers, parts: MasterParts): void {
  const { consensus, env, nowMs } = parts;
  handlers.onCall(api.openSession, async (request) => {
    request.release();
    requireLeader(consensus);
    const { clientName } = request.head;
    const { index } = await propose(parts, {
      kind: "open-session",
      nowMs: nowMs(),
      clientName,
    });
    const { sessionIdleMsMax } = requireFacts(parts.namespace());
    // Its own entry's index names a session.
    const sessionId = index as number as api.TransactRequest["attempt"]["sessionId"];
    parts.sessions.heard(sessionId, env.clock.monotonicMs());
    return { sessionId, index, idleMsMax: sessionIdleMsMax };
  });
  handlers.onCall(api.keepSession, async (request, context) => {
    request.release();
    requireLeader(consensus);
    const index = await consensus.confirmRead(context.remainingMs());
    const { sessionId } = request.head;
    if (!parts.namespace().hasSession(sessionId)) {
      // The state machine words the refusal.
      await propose(parts, { kind: "keep-session", nowMs: nowMs(), sessionId });
    }
    parts.sessions.heard(sessionId, env.clock.monotonicMs());
    return { index };
  });
  handlers.onCall(api.closeSession, async (request) => {
    request.release();
    requireLeader(consensus);
    const { sessionId } = request.head;
    const { index } = await propose(parts, {
      kind: "close-session",
      nowMs: nowMs(),
      sessionId,
    });
    return { index };
  });
}

function registerReads(handlers: Handlers, parts: MasterParts): void {
  handlers.onCall(api.stat, async (request, context) => {
    request.release();
    await waitForRead(parts, request.head.read, context);
    const namespace = parts.namespace();
    return { index: namespace.appliedIndex, attributes: namespace.stat(request.head.target) };
  });
  handlers.onCall(api.list, async (request, context) => {
    request.release();
    const { target, read, cursor, limit } = request.head;
    // A page of a listing that has begun shows that listing's index, whoever serves it.
    if (cursor === undefined) await waitForRead(parts, read, context);
    else await parts.consensus.waitApplied(cursor.index, context.remainingMs());
    const namespace = parts.namespace();
    const index = cursor?.index ?? namespace.appliedIndex;
    const { entries, isLast } = namespace.list(target, { after: cursor?.after, limit }, index);
    return { index, entries: [...entries], isLast };
  });
  handlers.onCall(api.locate, async (request, context) => {
    request.release();
    const { target, read, index: at, firstPosition, count } = request.head;
    if (at === undefined) await waitForRead(parts, read, context);
    else await parts.consensus.waitApplied(at, context.remainingMs());
    const namespace = parts.namespace();
    const index = at ?? namespace.appliedIndex;
    return located(parts, index, namespace.locate(target, { firstPosition, count }, index));
  });
  handlers.onCall(api.listStorageClasses, async (request, context) => {
    request.release();
    await waitForRead(parts, request.head.read, context);
    const namespace = parts.namespace();
    return { index: namespace.appliedIndex, storageClasses: [...namespace.storageClasses()] };
  });
}

/** Waits until this master may answer in the wanted mode (DESIGN section 4, "Reads"). */
async function waitForRead(
  parts: MasterParts,
  mode: api.ReadMode,
  context: CallContext,
): Promise<void> {
  switch (mode.kind) {
    case "linearizable":
      await parts.consensus.confirmRead(context.remainingMs());
      return;
    case "session":
      await parts.consensus.waitApplied(mode.index, context.remainingMs());
      return;
    case "stale":
      return;
  }
}

/** `part` with the addresses of its replicas: the servers stand once, the chunks point at them. */
function located(parts: MasterParts, index: LogIndex, part: ContentPart): api.Located {
  const namespace = parts.namespace();
  const positions = new Map<ServerId, number>();
  const servers: api.Located["servers"] = [];
  const known = new Map(namespace.servers().map((server) => [server.serverId, server]));
  const positionOf = (serverId: ServerId): number[] => {
    const position = positions.get(serverId);
    if (position !== undefined) return [position];
    const location = parts.fleet.location(serverId) ?? known.get(serverId);
    if (location === undefined) return [];
    positions.set(serverId, servers.length);
    servers.push({ ...location, isLive: parts.fleet.liveness(serverId) === "live" });
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
