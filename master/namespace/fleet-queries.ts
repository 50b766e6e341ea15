import type { ChunkId, ServerId, SessionId } from "../../shared/base/ids.ts";
import type { ServerLocation } from "../../shared/protocol/intent.ts";
import type { StorageClass } from "../../shared/protocol/namespace-api.ts";
import {
  type Key,
  keyAfter,
  prefixEnd,
  purgePrefix,
  removedServerKey,
  replicaKey,
  replicaPrefix,
  serverKey,
  sessionKey,
  TABLE_BYTE,
  underReplicatedKey,
} from "./keys.ts";
import type { State } from "./state.ts";
import {
  KEY_FIELDS,
  PURGES,
  REMOVED_SERVERS,
  REPLICAS,
  SERVERS,
  SESSIONS,
  STORAGE_CLASSES,
  type Table,
  UNDER_REPLICATED,
} from "./tables.ts";
import type { PurgeView, SessionView } from "./views.ts";

/** Returns all rows of a small table: a cluster has hundreds of servers and tens of classes. */
function allRows<Value>(
  state: State,
  table: Table<Value>,
  byte: string,
): { key: Key; value: Value }[] {
  const range = { start: byte as Key, end: prefixEnd(byte) };
  return state.rows(table, range, Number.POSITIVE_INFINITY);
}

/** Returns all registered chunkservers, in order of their ids. */
export function servers(state: State): readonly ServerLocation[] {
  return allRows(state, SERVERS, TABLE_BYTE.server).map((row) => row.value);
}

/** Returns a registered chunkserver. Undefined if the id is not registered. */
export function server(state: State, id: ServerId): ServerLocation | undefined {
  return state.get(SERVERS, serverKey(id));
}

/** Returns the ids of all removed chunkservers, in order. */
export function removedServers(state: State): readonly ServerId[] {
  const rows = allRows(state, REMOVED_SERVERS, TABLE_BYTE.removedServer);
  return rows.map(({ key }) => KEY_FIELDS.removedServer(key));
}

/** Returns whether the chunkserver was removed. */
export function isServerRemoved(state: State, id: ServerId): boolean {
  return state.get(REMOVED_SERVERS, removedServerKey(id)) !== undefined;
}

/** Returns all storage classes, in order of their names. */
export function storageClasses(state: State): readonly StorageClass[] {
  return allRows(state, STORAGE_CLASSES, TABLE_BYTE.storageClass).map((row) => row.value);
}

/** Returns at most `limit` client sessions after the session `after`, oldest first. */
export function sessions(
  state: State,
  { after, limit }: { readonly after: SessionId | null; readonly limit: number },
): readonly SessionView[] {
  const start = after === null ? (TABLE_BYTE.session as Key) : keyAfter(sessionKey(after));
  const rows = state.rows(SESSIONS, { start, end: prefixEnd(TABLE_BYTE.session) }, limit);
  return rows.map(({ key, value }) => {
    const { clientName, openedMs, activeMs } = value;
    return { sessionId: KEY_FIELDS.session(key), clientName, openedMs, activeMs };
  });
}

/** Returns at most `limit` chunks with a recorded copy on a server, in order of their ids. */
export function chunksOfServer(
  state: State,
  page: { readonly serverId: ServerId; readonly after: ChunkId | null; readonly limit: number },
): readonly ChunkId[] {
  const { serverId, after, limit } = page;
  const prefix = replicaPrefix(serverId);
  const start = after === null ? prefix : keyAfter(replicaKey(serverId, after));
  const rows = state.rows(REPLICAS, { start, end: prefixEnd(prefix) }, limit);
  return rows.map(({ key }) => KEY_FIELDS.chunkOfServerRow(key));
}

/** Returns at most `limit` chunks with fewer copies than wanted, in order of their ids. */
export function underReplicated(
  state: State,
  after: ChunkId | null,
  limit: number,
): readonly ChunkId[] {
  const prefix = TABLE_BYTE.underReplicated as Key;
  const start = after === null ? prefix : keyAfter(underReplicatedKey(after));
  const rows = state.rows(UNDER_REPLICATED, { start, end: prefixEnd(prefix) }, limit);
  return rows.map(({ key }) => KEY_FIELDS.chunkOfUnderReplicated(key));
}

/** Returns at most `limit` pending purges of a server, in order of the chunk ids. */
export function purgesOf(state: State, serverId: ServerId, limit: number): readonly PurgeView[] {
  // Every heartbeat asks, and most of the time no chunk was removed: that needs no read of the store.
  if (state.totals.purgesPending === 0) return [];
  const start = purgePrefix(serverId);
  const rows = state.rows(PURGES, { start, end: prefixEnd(start) }, limit);
  return rows.map(({ key, value }) => ({
    chunkId: KEY_FIELDS.chunkOfServerRow(key),
    purgeIndex: value,
  }));
}
