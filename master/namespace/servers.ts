import type { ServerId } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import { deletePurge, dropReplicas } from "./chunks.ts";
import type { RegisterServer, RemoveServer } from "./command.ts";
import { chunksOfServer, purgesOf } from "./fleet-queries.ts";
import { removedServerKey, serverKey } from "./keys.ts";
import { refusal } from "./refusal.ts";
import { REMOVED_SERVERS, SERVERS } from "./tables.ts";

/**
 * Records or replaces the address, host and rack of a chunkserver.
 *
 * @throws {Refusal} WRONG_IDENTITY if the server was removed
 */
export function registerServer(change: Change, { server }: RegisterServer): void {
  const { serverId, address, host, rack } = server;
  const removedIndex = change.get(REMOVED_SERVERS, removedServerKey(serverId));
  if (removedIndex !== undefined) {
    throw refusal("server-removed", { serverId, index: removedIndex });
  }
  change.putUnversioned(SERVERS, serverKey(serverId), { serverId, address, host, rack });
}

/**
 * Removes a chunkserver. Its id stays recorded, so that it cannot register again. Replicas that a
 * later commit records on the server are removed by a repeated command.
 */
export function removeServer(change: Change, { serverId, recordsMax }: RemoveServer): void {
  if (change.get(SERVERS, serverKey(serverId)) !== undefined) {
    change.deleteUnversioned(SERVERS, serverKey(serverId));
    change.putUnversioned(REMOVED_SERVERS, removedServerKey(serverId), change.index);
  }
  if (change.get(REMOVED_SERVERS, removedServerKey(serverId)) === undefined) return;
  const left = recordsMax - removeReplicas(change, serverId, recordsMax);
  if (left === 0) return;
  for (const { chunkId } of purgesOf(change, serverId, left)) {
    deletePurge(change, serverId, chunkId);
  }
}

/** Removes at most `limit` replicas of a server. @returns their number */
function removeReplicas(change: Change, serverId: ServerId, limit: number): number {
  const chunkIds = chunksOfServer(change, { serverId, after: null, limit });
  const reason = "its server was removed";
  const items = chunkIds.map((chunkId) => ({ chunkId, serverId, reason }));
  dropReplicas(change, { kind: "drop-replicas", items });
  return chunkIds.length;
}
