import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { IndexOperation } from "./chunk-index.ts";
import type { ChunkRecord, Extent } from "./chunk-record.ts";
import { confirmDueMsIn } from "./confirm-due.ts";
import type { OpenPartial } from "./open-partial.ts";
import type { StoreDeps } from "./store-deps.ts";

/** The intent under which chunks are stored. */
export interface StoringIntent {
  /** Log index of the intent under which the chunk was written. The record never has an older one. */
  readonly intentIndex: LogIndex;
  /** Time until the master is asked whether a committed file contains the chunk. */
  readonly lifetimeMs: number;
}

/** A request to make a partial chunk a chunk, or to raise the intent of an existing one. */
export interface SealRequest extends StoringIntent {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
}

/** A chunk whose bytes are durable and were verified against its id. */
export interface StoredChunk {
  readonly chunkId: ChunkId;
  readonly extent: Extent;
  /** Hashes of its blocks. */
  readonly hashes: Uint8Array;
}

/**
 * Makes a partial chunk a chunk: checks its id, syncs its bytes, commits its record, in this order.
 * Durable when it resolves. If the chunk exists already, its record then refers to the new bytes,
 * which were verified, and not to the stored ones, which may be corrupt (docs/decisions/0024).
 *
 * @returns the replaced extents, which no record refers to: the caller deletes them
 * @throws {AshlarError} CHUNK_CORRUPT, INVALID_ARGUMENT, NO_SPACE, DISK_FAILED: nothing changed.
 */
export async function sealPartial(
  deps: StoreDeps,
  partial: OpenPartial,
  sealing: SealRequest,
): Promise<readonly Extent[]> {
  const { chunkId, lengthBytes } = sealing;
  const hashes = checkedHashes(deps, partial, sealing);
  await partial.sync();
  const chunk = { chunkId, hashes, extent: partial.extent(lengthBytes) };
  const dueMs = confirmDueMsIn(deps, sealing.lifetimeMs);
  return await deps.index.change((operation) => recordChunk(operation, chunk, sealing, dueMs));
}

/**
 * Records a chunk under an intent. A chunk with a record keeps the newer intent and gets the new extent
 * (docs/decisions/0024).
 *
 * @returns the replaced extents, which no record refers to
 */
export function recordChunk(
  operation: IndexOperation,
  { chunkId, extent, hashes }: StoredChunk,
  intent: StoringIntent,
  dueMs: number,
): readonly Extent[] {
  const extents = [extent];
  const known = operation.record(chunkId);
  if (known !== null) {
    operation.put(chunkId, { ...withIntent(known, intent, dueMs), extents }, hashes);
    return known.extents;
  }
  const intentIndex = newestIntent(operation, chunkId, intent);
  const { lengthBytes } = extent;
  operation.forgetLost(chunkId);
  operation.put(chunkId, { lengthBytes, extents, intentIndex, confirmDueMs: dueMs }, hashes);
  return [];
}

/** Checks that blocks with these hashes are the chunk. @throws {AshlarError} CHUNK_CORRUPT */
export function checkChunkId(
  hasher: Hasher,
  { chunkId, lengthBytes }: { readonly chunkId: ChunkId; readonly lengthBytes: number },
  hashes: Uint8Array,
): void {
  const root = chunkIdOf(hasher, lengthBytes, hashes);
  if (root === chunkId) return;
  throw new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot seal chunk ${chunkId}: the received blocks have the chunk id ${root}`,
  );
}

/** Raises the intent index of an existing chunk. @throws {AshlarError} CHUNK_NOT_FOUND */
export async function raiseIntent(deps: StoreDeps, sealing: SealRequest): Promise<void> {
  const dueMs = confirmDueMsIn(deps, sealing.lifetimeMs);
  const isKnown = await deps.index.change((operation) => raiseIfPresent(operation, sealing, dueMs));
  if (isKnown) return;
  throw new AshlarError(
    "CHUNK_NOT_FOUND",
    `Cannot seal chunk ${sealing.chunkId} again: it has been removed`,
  );
}

/** Returns the hashes of the received blocks, after a check against the chunk id. */
function checkedHashes(deps: StoreDeps, partial: OpenPartial, sealing: SealRequest): Uint8Array {
  const { chunkId, lengthBytes } = sealing;
  if (lengthBytes === 0 || partial.receivedBytes !== lengthBytes) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot seal chunk ${chunkId}: expected ${lengthBytes} bytes: current value is ${partial.receivedBytes}`,
    );
  }
  const hashes = partial.hashes(lengthBytes);
  checkChunkId(deps.hasher, sealing, hashes);
  return hashes;
}

/** Raises the intent index of the chunk. Returns false if there is no record. */
function raiseIfPresent(operation: IndexOperation, sealing: SealRequest, dueMs: number): boolean {
  const record = operation.record(sealing.chunkId);
  if (record === null) return false;
  const raised = withIntent(record, sealing, dueMs);
  if (raised !== record) operation.put(sealing.chunkId, raised);
  return true;
}

/**
 * Returns the record with the newer one of its intent and `intent`.
 *
 * A newer intent protects the replica from purges that the master ordered before it. It is not
 * known yet whether a commit follows, so the master is asked about the chunk again.
 */
function withIntent(record: ChunkRecord, intent: StoringIntent, dueMs: number): ChunkRecord {
  const { intentIndex } = intent;
  return record.intentIndex < intentIndex
    ? { ...record, intentIndex, confirmDueMs: dueMs }
    : record;
}

/**
 * Returns the newest intent under which the server has sealed the chunk. A client may have the receipt of a
 * lost replica with a newer intent than this seal, and the new replica is in its place.
 */
function newestIntent(
  operation: IndexOperation,
  chunkId: ChunkId,
  { intentIndex }: StoringIntent,
): LogIndex {
  const lostIndex = operation.loss(chunkId)?.intentIndex ?? null;
  return lostIndex !== null && lostIndex > intentIndex ? lostIndex : intentIndex;
}
