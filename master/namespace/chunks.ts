import { assert, present } from "../../shared/base/assert.ts";
import type { ChunkId, LogIndex, ServerId } from "../../shared/base/ids.ts";
import type { Change } from "./change.ts";
import type { AddReplicas, DropReplicas, FinishPurges, VerifiedChunk } from "./command.ts";
import {
  chunkKey,
  purgeKey,
  replicaKey,
  tombstoneAgeKey,
  tombstoneKey,
  underReplicatedKey,
} from "./keys.ts";
import type { ChunkRecord, ReplicaRecord } from "./records.ts";
import { Refusal } from "./refusal.ts";
import {
  CHUNKS,
  PURGES,
  REPLICAS,
  TOMBSTONE_AGES,
  TOMBSTONES,
  UNDER_REPLICATED,
} from "./tables.ts";

/**
 * Checks that the servers still hold what they sealed.
 *
 * A server drops an uncommitted chunk when its intent is below the floor, and a removed one when
 * its intent is older than the purge. So a commit is refused in just these cases: what it names
 * cannot have been dropped, and what is dropped can never be named (docs/decisions/0002).
 */
function checkIntent(change: Change, chunk: VerifiedChunk): void {
  const oldest = oldestValidIntent(change, chunk.id);
  if (chunk.intentIndex >= oldest) return;
  throw new Refusal(
    "INTENT_EXPIRED",
    `Cannot commit chunk ${chunk.id}: expected an intent of index ${oldest} or later: it was written under ${chunk.intentIndex}`,
    { chunkId: chunk.id, intentIndex: chunk.intentIndex, oldestIndex: oldest },
  );
}

/** The oldest intent under which a copy that was sealed is sure to be there still. */
function oldestValidIntent(change: Change, id: ChunkId): number {
  const afterPurge = (change.tombstone(id) ?? -1) + 1;
  return Math.max(change.totals.intentFloor, afterPurge);
}

/**
 * Checks what a commit says of one chunk.
 *
 * @param isKnown whether the state, or an earlier chunk of the same commit, has the chunk.
 * @returns false for a reference to a chunk that is not known: the client has to upload it.
 */
export function checkChunk(
  change: Change,
  chunk: VerifiedChunk,
  expect: { readonly copiesMin: number; readonly isKnown: boolean },
): boolean {
  const known = change.chunk(chunk.id);
  if (known !== undefined && known.lengthBytes !== chunk.lengthBytes) {
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot commit chunk ${chunk.id}: expected ${known.lengthBytes} bytes: the commit says ${chunk.lengthBytes}`,
    );
  }
  if (chunk.replicas.length === 0) return expect.isKnown;
  checkIntent(change, chunk);
  const copies = new Set(chunk.replicas).size;
  if (!expect.isKnown && copies < expect.copiesMin) {
    throw new Refusal(
      "TOO_FEW_CHUNKSERVERS",
      `Cannot commit chunk ${chunk.id}: expected at least ${expect.copiesMin} copies: it has ${copies}`,
      { chunkId: chunk.id, copies, copiesMin: expect.copiesMin },
    );
  }
  return true;
}

/** Whether a file may refer to the chunk without an upload. A chunk that has no copy left may not. */
export function isReferable(change: Change, id: ChunkId): boolean {
  return (change.chunk(id)?.replicas.length ?? 0) > 0;
}

/** One more position names the chunk, which the caller has checked. */
export function addReference(change: Change, chunk: VerifiedChunk, copiesWanted: number): void {
  const { id, lengthBytes, intentIndex } = chunk;
  const before = change.chunk(id);
  const base = before ?? { lengthBytes, referenceCount: 0, copiesWanted, replicas: [] };
  putChunk(change, id, {
    lengthBytes,
    referenceCount: base.referenceCount + 1,
    copiesWanted: Math.max(base.copiesWanted, copiesWanted),
    replicas: withReplicas(base.replicas, chunk.replicas, intentIndex),
  });
  if (before === undefined) change.updateTotals({ chunkCount: change.totals.chunkCount + 1 });
  for (const serverId of chunk.replicas) cancelPurge(change, { id, serverId, intentIndex });
}

/** One more position names a chunk that is known. */
export function addKnownReference(change: Change, id: ChunkId, copiesWanted: number): void {
  const { lengthBytes } = present(change.chunk(id), "a chunk that a position names is known");
  addReference(change, { id, lengthBytes, intentIndex: 0 as LogIndex, replicas: [] }, copiesWanted);
}

/** A file that holds the chunk wants more copies. */
export function raiseCopiesWanted(change: Change, id: ChunkId, copiesWanted: number): void {
  const chunk = present(change.chunk(id), "a chunk that a position names is known");
  if (chunk.copiesWanted < copiesWanted) putChunk(change, id, { ...chunk, copiesWanted });
}

/** One position less names the chunk. With the last one the chunk goes, and its copies are purged. */
export function dropReference(change: Change, id: ChunkId): void {
  const chunk = present(change.chunk(id), "a chunk that a position names is known");
  assert(chunk.referenceCount > 0, "a known chunk is referenced");
  if (chunk.referenceCount > 1) {
    putChunk(change, id, { ...chunk, referenceCount: chunk.referenceCount - 1 });
    return;
  }
  putChunk(change, id, { ...chunk, replicas: [], referenceCount: 0 });
  change.deleteUnversioned(CHUNKS, chunkKey(id));
  change.deleteUnversioned(UNDER_REPLICATED, underReplicatedKey(id));
  const { chunkCount } = change.totals;
  change.updateTotals({ chunkCount: chunkCount - 1 });
  writeTombstone(change, id);
  for (const { serverId } of chunk.replicas) addPurge(change, id, serverId);
}

/** Leaves a tombstone: copies that were sealed under intents up to here may be deleted. */
function writeTombstone(change: Change, id: ChunkId): void {
  const older = change.tombstone(id);
  if (older !== undefined) change.deleteUnversioned(TOMBSTONE_AGES, tombstoneAgeKey(older, id));
  change.putUnversioned(TOMBSTONES, tombstoneKey(id), change.index);
  change.putUnversioned(TOMBSTONE_AGES, tombstoneAgeKey(change.index, id), true);
}

function addPurge(change: Change, id: ChunkId, serverId: ServerId): void {
  const key = purgeKey(serverId, id);
  const isNew = change.get(PURGES, key) === undefined;
  change.putUnversioned(PURGES, key, change.index);
  const { purgesPending } = change.totals;
  if (isNew) change.updateTotals({ purgesPending: purgesPending + 1 });
}

/** A copy that was sealed after the purge was ordered stays: the order is void. */
function cancelPurge(
  change: Change,
  copy: { readonly id: ChunkId; readonly serverId: ServerId; readonly intentIndex: LogIndex },
): void {
  const purgeIndex = change.get(PURGES, purgeKey(copy.serverId, copy.id));
  if (purgeIndex === undefined) return;
  assert(purgeIndex < copy.intentIndex, "a copy that may be purged is not recorded");
  deletePurge(change, copy.serverId, copy.id);
}

function deletePurge(change: Change, serverId: ServerId, id: ChunkId): void {
  change.deleteUnversioned(PURGES, purgeKey(serverId, id));
  change.updateTotals({ purgesPending: change.totals.purgesPending - 1 });
}

export function addReplicas(change: Change, { items }: AddReplicas): void {
  for (const { chunkId, serverId, intentIndex } of items) {
    const chunk = change.chunk(chunkId);
    // As for a commit. A copy that took too long is ordered again, and is then there at once.
    if (chunk === undefined || intentIndex < oldestValidIntent(change, chunkId)) continue;
    const replicas = withReplicas(chunk.replicas, [serverId], intentIndex);
    putChunk(change, chunkId, { ...chunk, replicas });
    cancelPurge(change, { id: chunkId, serverId, intentIndex });
  }
}

export function dropReplicas(change: Change, { items }: DropReplicas): void {
  for (const { chunkId, serverId } of items) {
    const chunk = change.chunk(chunkId);
    if (chunk === undefined) continue;
    const replicas = chunk.replicas.filter((replica) => replica.serverId !== serverId);
    if (replicas.length < chunk.replicas.length) putChunk(change, chunkId, { ...chunk, replicas });
  }
}

export function finishPurges(change: Change, { items }: FinishPurges): void {
  for (const { chunkId, serverId, purgeIndex } of items) {
    const pending = change.get(PURGES, purgeKey(serverId, chunkId));
    // A newer order than the one that was carried out stays.
    if (pending !== undefined && pending <= purgeIndex) deletePurge(change, serverId, chunkId);
  }
}

/** `replicas` with those of `servers` added or brought to a newer intent. Sorted by server. */
function withReplicas(
  replicas: readonly ReplicaRecord[],
  servers: readonly ServerId[],
  intentIndex: LogIndex,
): readonly ReplicaRecord[] {
  if (servers.length === 0) return replicas;
  const indexes = new Map(replicas.map((replica) => [replica.serverId, replica.intentIndex]));
  for (const serverId of servers) {
    const known = indexes.get(serverId) ?? intentIndex;
    indexes.set(serverId, Math.max(known, intentIndex) as LogIndex);
  }
  return [...indexes.keys()].sort().map((serverId) => ({
    serverId,
    intentIndex: indexes.get(serverId) as LogIndex,
  }));
}

/**
 * Writes a chunk and what mirrors it.
 *
 * Invariant: a row of the replica table stands for each replica of a chunk, and one of the wanting
 * table for each chunk with fewer replicas than wanted.
 */
function putChunk(change: Change, id: ChunkId, chunk: ChunkRecord): void {
  const before = change.chunk(id);
  change.putUnversioned(CHUNKS, chunkKey(id), chunk);
  if (before?.replicas !== chunk.replicas)
    mirrorReplicas(change, id, { before: before?.replicas ?? [], after: chunk.replicas });
  const wasWanting = before !== undefined && isUnderReplicated(before);
  if (isUnderReplicated(chunk) && !wasWanting)
    change.putUnversioned(UNDER_REPLICATED, underReplicatedKey(id), true);
  if (!isUnderReplicated(chunk) && wasWanting)
    change.deleteUnversioned(UNDER_REPLICATED, underReplicatedKey(id));
}

const isUnderReplicated = ({ replicas, copiesWanted }: ChunkRecord): boolean =>
  replicas.length < copiesWanted;

function mirrorReplicas(
  change: Change,
  id: ChunkId,
  { before, after }: Record<"before" | "after", readonly ReplicaRecord[]>,
): void {
  const kept = new Set(after.map(({ serverId }) => serverId));
  const had = new Set(before.map(({ serverId }) => serverId));
  for (const serverId of had) {
    if (!kept.has(serverId)) change.deleteUnversioned(REPLICAS, replicaKey(serverId, id));
  }
  for (const serverId of kept) {
    if (!had.has(serverId)) change.putUnversioned(REPLICAS, replicaKey(serverId, id), true);
  }
}
