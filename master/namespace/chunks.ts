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
import { refusal } from "./refusal.ts";
import {
  CHUNKS,
  PURGES,
  REPLICAS,
  TOMBSTONE_AGES,
  TOMBSTONES,
  UNDER_REPLICATED,
} from "./tables.ts";

/**
 * Checks that the servers cannot have deleted the copies that they sealed.
 *
 * A server deletes an uncommitted chunk once its intent is below the intent floor, and a removed
 * chunk if its intent is older than the purge. A commit is refused in exactly these two cases. So a
 * committed chunk was not deleted, and a deleted chunk cannot be committed (docs/decisions/0002).
 *
 * @throws {Refusal} INTENT_EXPIRED
 */
function checkIntent(change: Change, chunk: VerifiedChunk): void {
  const oldest = oldestValidIntent(change, chunk.id);
  if (chunk.intentIndex >= oldest) return;
  const facts = { chunkId: chunk.id, intentIndex: chunk.intentIndex, oldestIndex: oldest };
  throw refusal("intent-old", facts, facts);
}

/** Returns the index of the oldest intent whose sealed copies no server can have deleted. */
function oldestValidIntent(change: Change, id: ChunkId): number {
  const afterPurge = (change.tombstone(id) ?? -1) + 1;
  return Math.max(change.totals.intentFloor, afterPurge);
}

/**
 * Checks one chunk of a commit. Changes nothing.
 *
 * @param expect.copiesMin sealed copies that a new chunk needs
 * @param expect.isUploaded whether an earlier chunk of the same commit has the same id and copies
 * @returns false for a reference to an unknown chunk: the client must upload the chunk
 * @throws {Refusal} INTENT_EXPIRED, TOO_FEW_CHUNKSERVERS, INVALID_ARGUMENT
 */
export function checkChunk(
  change: Change,
  chunk: VerifiedChunk,
  expect: { readonly copiesMin: number; readonly isUploaded: boolean },
): boolean {
  const known = change.chunk(chunk.id);
  if (known !== undefined && known.lengthBytes !== chunk.lengthBytes) {
    const compared = { expected: known.lengthBytes, actual: chunk.lengthBytes };
    throw refusal("chunk-length", { chunkId: chunk.id, ...compared });
  }
  // A file may refer to a chunk without an upload if the chunk has at least one copy.
  const isKnown = expect.isUploaded || (known !== undefined && known.replicas.length > 0);
  if (chunk.replicas.length === 0) return isKnown;
  checkIntent(change, chunk);
  const copies = new Set(chunk.replicas).size;
  if (!isKnown && copies < expect.copiesMin) {
    const { copiesMin } = expect;
    throw refusal(
      "copies-few",
      { chunkId: chunk.id, copies, min: copiesMin },
      { chunkId: chunk.id, copies, copiesMin },
    );
  }
  return true;
}

/** Adds the reference of one position to a chunk that `checkChunk` has passed. */
export function addReference(change: Change, chunk: VerifiedChunk, copiesWanted: number): void {
  addReferenceTo(change, change.chunk(chunk.id), { chunk, copiesWanted });
}

/** @param before the record of the chunk */
function addReferenceTo(
  change: Change,
  before: ChunkRecord | undefined,
  { chunk, copiesWanted }: { readonly chunk: VerifiedChunk; readonly copiesWanted: number },
): void {
  const { id, lengthBytes, intentIndex } = chunk;
  const base = before ?? { lengthBytes, referenceCount: 0, copiesWanted, replicas: [] };
  putChunk(change, id, before, {
    lengthBytes,
    referenceCount: base.referenceCount + 1,
    copiesWanted: Math.max(base.copiesWanted, copiesWanted),
    replicas: withReplicas(base.replicas, chunk.replicas, intentIndex),
  });
  if (before === undefined) change.updateTotals({ chunkCount: change.totals.chunkCount + 1 });
  for (const serverId of chunk.replicas) cancelPurge(change, { id, serverId, intentIndex });
}

/** Adds the reference of one position to a known chunk. */
export function addKnownReference(change: Change, id: ChunkId, copiesWanted: number): void {
  const known = present(change.chunk(id), "the state has the chunk of every position");
  const { lengthBytes } = known;
  const chunk = { id, lengthBytes, intentIndex: 0 as LogIndex, replicas: [] };
  addReferenceTo(change, known, { chunk, copiesWanted });
}

/** Raises the number of copies that a known chunk should have. Never lowers the number. */
export function raiseCopiesWanted(change: Change, id: ChunkId, copiesWanted: number): void {
  const chunk = present(change.chunk(id), "the state has the chunk of every position");
  if (chunk.copiesWanted < copiesWanted) putChunk(change, id, chunk, { ...chunk, copiesWanted });
}

/**
 * Drops the reference of one position. Dropping the last reference removes the chunk, leaves a
 * tombstone and orders a purge of every copy.
 */
export function dropReference(change: Change, id: ChunkId): void {
  const chunk = present(change.chunk(id), "the state has the chunk of every position");
  assert(chunk.referenceCount > 0, "a known chunk has a reference");
  if (chunk.referenceCount > 1) {
    putChunk(change, id, chunk, { ...chunk, referenceCount: chunk.referenceCount - 1 });
    return;
  }
  putChunk(change, id, chunk, { ...chunk, replicas: [], referenceCount: 0 });
  change.deleteUnversioned(CHUNKS, chunkKey(id));
  change.deleteUnversioned(UNDER_REPLICATED, underReplicatedKey(id));
  const { chunkCount } = change.totals;
  change.updateTotals({ chunkCount: chunkCount - 1 });
  writeTombstone(change, id);
  for (const { serverId } of chunk.replicas) addPurge(change, id, serverId);
}

/**
 * Writes a tombstone of the current index. Servers may delete copies that were sealed under an
 * intent of this index or of an older index.
 */
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

/** Cancels a pending purge of a copy: the copy was sealed again after the purge was ordered. */
function cancelPurge(
  change: Change,
  copy: { readonly id: ChunkId; readonly serverId: ServerId; readonly intentIndex: LogIndex },
): void {
  const purgeIndex = change.get(PURGES, purgeKey(copy.serverId, copy.id));
  if (purgeIndex === undefined) return;
  assert(purgeIndex < copy.intentIndex, "a recorded copy is newer than any purge of the copy");
  deletePurge(change, copy.serverId, copy.id);
}

/** Deletes the pending purge of a copy. */
export function deletePurge(change: Change, serverId: ServerId, id: ChunkId): void {
  change.deleteUnversioned(PURGES, purgeKey(serverId, id));
  change.updateTotals({ purgesPending: change.totals.purgesPending - 1 });
}

/** Records copies that servers have made. See `AddReplicas` for the copies that it skips. */
export function addReplicas(change: Change, { items }: AddReplicas): void {
  for (const { chunkId, serverId, intentIndex } of items) {
    const chunk = change.chunk(chunkId);
    // A commit follows the same rule. If a copy took too long, the leader orders the copy again and
    // the server reports it again under a newer intent.
    if (chunk === undefined || intentIndex < oldestValidIntent(change, chunkId)) continue;
    const replicas = withReplicas(chunk.replicas, [serverId], intentIndex);
    putChunk(change, chunkId, chunk, { ...chunk, replicas });
    cancelPurge(change, { id: chunkId, serverId, intentIndex });
  }
}

/** Removes copies from the chunks' records. See `DropReplicas` for the copies that it skips. */
export function dropReplicas(change: Change, { items }: DropReplicas): void {
  for (const { chunkId, serverId, isUnreadable, ...item } of items) {
    const intentIndex = item.intentIndex ?? Number.POSITIVE_INFINITY;
    const chunk = change.chunk(chunkId);
    if (chunk === undefined) continue;
    const isLost = (replica: ReplicaRecord): boolean =>
      replica.serverId === serverId && replica.intentIndex <= intentIndex;
    const replicas = chunk.replicas.filter((replica) => !isLost(replica));
    // The disks of all copies may have the same fault. The last copy may be readable again later.
    if (isUnreadable === true && replicas.length === 0) continue;
    if (replicas.length < chunk.replicas.length)
      putChunk(change, chunkId, chunk, { ...chunk, replicas });
  }
}

/** Removes the purges that servers have completed. */
export function finishPurges(change: Change, { items }: FinishPurges): void {
  for (const { chunkId, serverId, purgeIndex } of items) {
    const pending = change.get(PURGES, purgeKey(serverId, chunkId));
    // A purge that was ordered after the completed one stays pending.
    if (pending !== undefined && pending <= purgeIndex) deletePurge(change, serverId, chunkId);
  }
}

/**
 * Returns `replicas` with a copy on each of `servers`. An existing copy keeps the newer of its two
 * intents. The result is sorted by server.
 */
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
 * Writes a chunk and the two tables that are derived from it.
 *
 * Invariant: the replica table has one row for each replica of each chunk, and the under-replicated
 * table has one row for each chunk with fewer replicas than `copiesWanted`.
 */
function putChunk(
  change: Change,
  id: ChunkId,
  before: ChunkRecord | undefined,
  chunk: ChunkRecord,
): void {
  change.putUnversioned(CHUNKS, chunkKey(id), chunk);
  if (before?.replicas !== chunk.replicas)
    updateReplicaRows(change, id, { before: before?.replicas ?? [], after: chunk.replicas });
  const isSame = before?.replicas === chunk.replicas && before?.copiesWanted === chunk.copiesWanted;
  if (!isSame && chunk.referenceCount > 0) change.noteReplicas(id, chunk);
  const wasUnderReplicated = before !== undefined && isUnderReplicated(before);
  if (isUnderReplicated(chunk) && !wasUnderReplicated)
    change.putUnversioned(UNDER_REPLICATED, underReplicatedKey(id), true);
  if (!isUnderReplicated(chunk) && wasUnderReplicated)
    change.deleteUnversioned(UNDER_REPLICATED, underReplicatedKey(id));
}

const isUnderReplicated = ({ replicas, copiesWanted }: ChunkRecord): boolean =>
  replicas.length < copiesWanted;

function updateReplicaRows(
  change: Change,
  id: ChunkId,
  { before, after }: Record<"before" | "after", readonly ReplicaRecord[]>,
): void {
  const idsAfter = new Set(after.map(({ serverId }) => serverId));
  const idsBefore = new Set(before.map(({ serverId }) => serverId));
  for (const serverId of idsBefore) {
    if (!idsAfter.has(serverId)) change.deleteUnversioned(REPLICAS, replicaKey(serverId, id));
  }
  for (const serverId of idsAfter) {
    if (!idsBefore.has(serverId)) change.putUnversioned(REPLICAS, replicaKey(serverId, id), true);
  }
}
