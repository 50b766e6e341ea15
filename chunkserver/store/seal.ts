import { AshlarError } from "../../shared/base/errors.ts";
import { chunkIdOf } from "../../shared/protocol/chunk-id.ts";
import type { IndexOperation } from "./chunk-index.ts";
import type { ChunkRecord } from "./chunk-record.ts";
import type { OpenPartial } from "./open-partial.ts";
import type { StoreParts } from "./parts.ts";
import type { Sealing } from "./writes.ts";

/**
 * Makes a partial chunk a chunk: checks the root, syncs the bytes, commits the record, in this
 * order. Durable when it resolves. `known`: the chunk was here already; its intent was raised, the
 * new bytes are the caller's to delete.
 *
 * @throws {AshlarError} CHUNK_CORRUPT, INVALID_ARGUMENT, NO_SPACE, DISK_FAILED: nothing changed.
 */
export async function sealPartial(
  parts: StoreParts,
  partial: OpenPartial,
  sealing: Sealing,
): Promise<"stored" | "known"> {
  parts.health.requireWritable();
  const { chunkId } = sealing;
  const hashes = checkedHashes(parts, partial, sealing);
  for (let isDurable = false; ; ) {
    if (!isDurable && parts.index.record(chunkId) === null) {
      await partial.sync();
      parts.health.requireWritable();
      isDurable = true;
    }
    const dueMs = confirmDueMs(parts, sealing);
    const outcome = await parts.index.change((operation) => {
      if (raise(operation, sealing, dueMs)) return "known";
      if (!isDurable) return "vanished";
      operation.forgetLost(chunkId);
      operation.put(chunkId, newRecord(partial, sealing, dueMs), hashes);
      return "stored";
    });
    // The copy that was here was purged between the look and the commit: our bytes are needed.
    if (outcome !== "vanished") return outcome;
  }
}

/** Raises the intent of a chunk that is here. @throws {AshlarError} CHUNK_NOT_FOUND */
export async function raiseIntent(parts: StoreParts, sealing: Sealing): Promise<void> {
  parts.health.requireWritable();
  const dueMs = confirmDueMs(parts, sealing);
  const isKnown = await parts.index.change((operation) => raise(operation, sealing, dueMs));
  if (isKnown) return;
  throw new AshlarError(
    "CHUNK_NOT_FOUND",
    `Cannot seal chunk ${sealing.chunkId} again: it was removed since`,
  );
}

function checkedHashes(parts: StoreParts, partial: OpenPartial, sealing: Sealing): Uint8Array {
  const { chunkId, lengthBytes } = sealing;
  if (lengthBytes === 0 || partial.receivedBytes !== lengthBytes) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot seal chunk ${chunkId} of ${lengthBytes} bytes: received are ${partial.receivedBytes}`,
    );
  }
  const hashes = partial.hashes(lengthBytes);
  const root = chunkIdOf(parts.hasher, lengthBytes, hashes);
  if (root === chunkId) return hashes;
  throw new AshlarError(
    "CHUNK_CORRUPT",
    `Cannot seal chunk ${chunkId}: the blocks that were received make up chunk ${root}`,
  );
}

/**
 * Raises the intent of the chunk if it is here; false if it is not.
 *
 * A newer intent protects the copy from purges that the master ordered before it. Whether a commit
 * follows is open again, so the master is asked about the chunk again.
 */
function raise(operation: IndexOperation, sealing: Sealing, dueMs: number): boolean {
  const { chunkId, intentIndex } = sealing;
  const record = operation.record(chunkId);
  if (record === null) return false;
  if (record.intentIndex < intentIndex) {
    operation.put(chunkId, { ...record, intentIndex, confirmDueMs: dueMs });
  }
  return true;
}

function newRecord(partial: OpenPartial, sealing: Sealing, dueMs: number): ChunkRecord {
  const { lengthBytes, intentIndex } = sealing;
  const extents = [partial.extent(lengthBytes)];
  return { lengthBytes, extents, intentIndex, confirmDueMs: dueMs };
}

function confirmDueMs(parts: StoreParts, sealing: Sealing): number {
  return Math.max(1, Math.floor(parts.clock.wallMs() + sealing.lifetimeMs));
}
