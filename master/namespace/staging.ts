import { CHUNK_BYTES_MAX, type SessionId } from "../../shared/base/ids.ts";
import { CONTENT_CHUNKS_MAX, type OperationOf } from "../../shared/protocol/namespace-api.ts";
import { type Change, RECLAIM_KIND } from "./change.ts";
import { addReference } from "./chunks.ts";
import type { StageOperation, VerifiedChunk } from "./command.ts";
import { checkChunks, newContent } from "./contents.ts";
import { copyCountsOf, storageClassOf } from "./files.ts";
import { type Key, stagedKey, stagedTotalsKey, u64 } from "./keys.ts";
import { storageClassFor } from "./queries.ts";
import type { StagedRecord } from "./records.ts";
import { Refusal } from "./refusal.ts";
import { STAGED, STAGED_TOTALS } from "./tables.ts";

/*
 * Unfinished uploads (docs/decisions/0012): chunks that a session keeps without a directory entry.
 * An upload is a content like that of a file, so its chunks are counted, repaired and purged by the
 * same rules. It has no history and no events.
 */

/** Maximum number of unfinished uploads of one session. */
export const STAGED_UPLOADS_MAX = 1_024;
/** Maximum number of chunks in all unfinished uploads of one session: 16 TiB in chunks of 64 MiB. */
export const STAGED_CHUNKS_MAX = 4 * CONTENT_CHUNKS_MAX;

/**
 * Creates an unfinished upload or appends to it. Chunks that the upload has already are skipped.
 *
 * @throws {Refusal} PRECONDITION_FAILED if the upload has fewer chunks than `position`, or another
 *   chunk at one of the positions; TOO_LARGE; INVALID_ARGUMENT; the errors of `checkChunks`
 */
export function stage(change: Change, sessionId: SessionId, operation: StageOperation): void {
  const { id, position, target } = operation;
  const key = stagedKey(sessionId, id);
  const before = change.get(STAGED, key);
  const added = chunksToAdd(change, before, operation);
  if (added.length === 0) return;
  const first = position + operation.chunks.length - added.length;
  checkLimits(change, sessionId, { isNew: before === undefined, first, added });
  const storageClass =
    operation.storageClass === undefined
      ? storageClassFor(change, target)
      : storageClassOf(change, operation.storageClass);
  const copies = copyCountsOf(undefined, storageClass);
  const placed = added.map((chunk, index) => ({ position: first + index, chunk }));
  checkChunks(change, placed, copies);
  const contentId = before?.contentId ?? newContent(change);
  let addedBytes = 0;
  for (const { position: at, chunk } of placed) {
    const { id: chunkId, lengthBytes } = chunk;
    change.putNewPosition(contentId, at, { chunkId, lengthBytes, version: change.index });
    addReference(change, chunk, copies.copiesWanted);
    addedBytes += lengthBytes;
  }
  change.putUnversioned(STAGED, key, {
    contentId,
    chunkCount: first + added.length,
    sizeBytes: (before?.sizeBytes ?? 0) + addedBytes,
    createdMs: before?.createdMs ?? change.nowMs,
  });
  const uploads = before === undefined ? 1 : 0;
  addToTotals(change, sessionId, { uploads, chunks: added.length, bytes: addedBytes });
}

/** Removes an unfinished upload. An unknown id changes nothing. */
export function unstage(
  change: Change,
  sessionId: SessionId,
  { id }: OperationOf<"unstage">,
): void {
  const key = stagedKey(sessionId, id);
  const record = change.get(STAGED, key);
  if (record === undefined) return;
  deleteStagedRow(change, sessionId, { key, record });
  change.queueReclaimAtOnce(RECLAIM_KIND.content, u64(record.contentId));
}

/** Queues the unfinished uploads of a closed session for `reclaim`, in one row for all of them. */
export function releaseStaged(change: Change, sessionId: SessionId): void {
  if (change.get(STAGED_TOTALS, stagedTotalsKey(sessionId)) === undefined) return;
  change.queueReclaimAtOnce(RECLAIM_KIND.staged, u64(sessionId));
}

/** Deletes the row of an upload. The caller queues its content. */
export function deleteStagedRow(
  change: Change,
  sessionId: SessionId,
  { key, record }: { readonly key: Key; readonly record: StagedRecord },
): void {
  change.deleteUnversioned(STAGED, key);
  const { chunkCount, sizeBytes } = record;
  addToTotals(change, sessionId, { uploads: -1, chunks: -chunkCount, bytes: -sizeBytes });
}

/**
 * Returns the chunks of the operation that the upload does not have.
 *
 * @throws {Refusal} PRECONDITION_FAILED, INVALID_ARGUMENT
 */
function chunksToAdd(
  change: Change,
  before: StagedRecord | undefined,
  { id, position, chunks }: StageOperation,
): readonly VerifiedChunk[] {
  const chunkCount = before?.chunkCount ?? 0;
  if (position > chunkCount) {
    throw new Refusal(
      "PRECONDITION_FAILED",
      `Cannot stage chunks at position ${position} of upload ${id}: expected at most ${chunkCount}, the number of its chunks`,
      { position, chunkCount },
    );
  }
  const known = before === undefined ? [] : chunks.slice(0, chunkCount - position);
  for (const [index, chunk] of known.entries()) {
    const staged = before && change.position(before.contentId, position + index);
    if (staged?.chunkId === chunk.id) continue;
    throw new Refusal(
      "PRECONDITION_FAILED",
      `Cannot stage chunk ${chunk.id} at position ${position + index} of upload ${id}: expected chunk ${staged?.chunkId}`,
      { position: position + index, chunkId: staged?.chunkId },
    );
  }
  const added = chunks.slice(known.length);
  for (const { id: chunkId, lengthBytes } of added) {
    if (lengthBytes >= 1 && lengthBytes <= CHUNK_BYTES_MAX) continue;
    throw new Refusal(
      "INVALID_ARGUMENT",
      `Cannot stage chunk ${chunkId}: expected 1 to ${CHUNK_BYTES_MAX} bytes: current value is ${lengthBytes}`,
    );
  }
  return added;
}

/** @throws {Refusal} TOO_LARGE */
function checkLimits(
  change: Change,
  sessionId: SessionId,
  more: { readonly isNew: boolean; readonly first: number; readonly added: readonly unknown[] },
): void {
  const totals = change.get(STAGED_TOTALS, stagedTotalsKey(sessionId));
  const { uploadCount = 0, chunkCount = 0 } = totals ?? {};
  const uploadChunks = more.first + more.added.length;
  if (uploadChunks > CONTENT_CHUNKS_MAX) {
    throw tooLarge(`${uploadChunks} chunks in one upload`, CONTENT_CHUNKS_MAX);
  }
  const uploads = uploadCount + (more.isNew ? 1 : 0);
  if (uploads > STAGED_UPLOADS_MAX) {
    throw tooLarge(`${uploads} unfinished uploads in one session`, STAGED_UPLOADS_MAX);
  }
  const chunks = chunkCount + more.added.length;
  if (chunks > STAGED_CHUNKS_MAX) {
    throw tooLarge(`${chunks} chunks in the unfinished uploads of one session`, STAGED_CHUNKS_MAX);
  }
}

const tooLarge = (what: string, max: number): Refusal =>
  new Refusal("TOO_LARGE", `Cannot stage ${what}: expected at most ${max}`, { max });

/** Adds to the sums of the session and of the whole state. Sums of 0 uploads have no record. */
function addToTotals(
  change: Change,
  sessionId: SessionId,
  more: { readonly uploads: number; readonly chunks: number; readonly bytes: number },
): void {
  const key = stagedTotalsKey(sessionId);
  const before = change.get(STAGED_TOTALS, key) ?? { uploadCount: 0, chunkCount: 0 };
  const uploadCount = before.uploadCount + more.uploads;
  const chunkCount = before.chunkCount + more.chunks;
  if (uploadCount === 0) change.deleteUnversioned(STAGED_TOTALS, key);
  else change.putUnversioned(STAGED_TOTALS, key, { uploadCount, chunkCount });
  change.updateTotals({ stagedBytes: change.totals.stagedBytes + more.bytes });
}
