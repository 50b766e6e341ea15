import { present } from "../../shared/base/assert.ts";
import { CHUNK_BYTES_MAX, type SessionId } from "../../shared/base/ids.ts";
import { CONTENT_CHUNKS_MAX, type OperationOf } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import { addReference } from "./chunks.ts";
import type { StageOperation, VerifiedChunk } from "./command.ts";
import { checkChunks, newContent } from "./contents.ts";
import { addStagedDirectory } from "./directories.ts";
import { detach } from "./entries.ts";
import { copyCountsOf, pastInode, storageClassOf } from "./files.ts";
import { type Key, stagedKey, stagedTotalsKey, u64 } from "./keys.ts";
import { segmentsAfter } from "./publish.ts";
import { storageClassFor } from "./queries.ts";
import { RECLAIM_KIND } from "./reclaim-queue.ts";
import type { InodeRecord, StagedRecord } from "./records.ts";
import { type Refusal, refusal } from "./refusal.ts";
import { addToStagedTotals, STAGED_ROOT, stagedName } from "./staged-totals.ts";
import { STAGED, STAGED_TOTALS } from "./tables.ts";
import { showTarget } from "./tree.ts";

/*
 * Unfinished uploads (docs/decisions/0012): chunks that a session keeps without a directory entry.
 * An upload is a content like that of a file, so its chunks are counted, repaired and purged by the
 * same rules. It has no history and no events. An unfinished tree has inodes and entries like every
 * tree, but no path: see `staged-totals.ts`. Both count as uploads of the session.
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
  const { copiesWanted } = copies;
  const placed = added.map((chunk, index) => ({ position: first + index, chunk }));
  checkChunks(change, placed, copies);
  const contentId = before?.contentId ?? newContent(change);
  let addedBytes = 0;
  for (const { position: at, chunk } of placed) {
    const { id: chunkId, lengthBytes } = chunk;
    change.putNewPosition(contentId, at, { chunkId, lengthBytes, version: change.index });
    addReference(change, chunk, copiesWanted);
    addedBytes += lengthBytes;
  }
  change.putUnversioned(STAGED, key, {
    contentId,
    chunkCount: first + added.length,
    sizeBytes: (before?.sizeBytes ?? 0) + addedBytes,
    createdMs: before?.createdMs ?? change.nowMs,
    segments: segmentsAfter(change, before, { contentId, first, added, copiesWanted }),
  });
  const uploads = before === undefined ? 1 : 0;
  addToStagedTotals(change, sessionId, { uploads, chunks: added.length, bytes: addedBytes });
}

/**
 * Creates an unfinished tree: a directory without entries, with the attributes of a past one.
 *
 * @throws {Refusal} ALREADY_EXISTS, TOO_LARGE, INDEX_EXPIRED, NOT_FOUND, NOT_A_DIRECTORY
 */
export function stageDirectory(
  change: Change,
  sessionId: SessionId,
  { id, from, index }: OperationOf<"stage-directory">,
): InodeRecord {
  const source = pastInode(change, from, index);
  if (source.kind !== "directory") {
    throw refusal("not-directory", { path: showTarget(change, from) });
  }
  const name = stagedName(sessionId, id);
  if (change.entry(STAGED_ROOT, name) !== undefined) {
    throw refusal("tree-staged", { id });
  }
  checkLimits(change, sessionId, { isNew: true, first: 0, added: [] });
  addToStagedTotals(change, sessionId, { uploads: 1, chunks: 0, bytes: 0 });
  return addStagedDirectory(change, name, source);
}

/** Removes an unfinished upload or tree. An unknown id changes nothing. */
export function unstage(
  change: Change,
  sessionId: SessionId,
  { id }: OperationOf<"unstage">,
): void {
  const tree = change.entry(STAGED_ROOT, stagedName(sessionId, id));
  if (tree !== undefined) {
    detach(change, present(change.inode(tree.inode), "every entry has an inode"));
  }
  const key = stagedKey(sessionId, id);
  const record = change.get(STAGED, key);
  if (record === undefined) return;
  deleteStagedRow(change, sessionId, { key, record });
  change.queueReclaimAtOnce(RECLAIM_KIND.content, u64(record.contentId));
}

/** Queues the unfinished uploads and trees of a closed session for `reclaim`, in one row for all of them. */
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
  addToStagedTotals(change, sessionId, { uploads: -1, chunks: -chunkCount, bytes: -sizeBytes });
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
    throw refusal("upload-short", { id, position, chunkCount }, { position, chunkCount });
  }
  const known = before === undefined ? [] : chunks.slice(0, chunkCount - position);
  for (const [index, chunk] of known.entries()) {
    const staged = before && change.position(before.contentId, position + index);
    if (staged?.chunkId === chunk.id) continue;
    const at = { position: position + index };
    const expected = staged?.chunkId ?? null;
    const facts = { ...at, chunkId: chunk.id, id, expected };
    throw refusal("upload-differs", facts, { ...at, chunkId: staged?.chunkId });
  }
  const added = chunks.slice(known.length);
  for (const { id: chunkId, lengthBytes } of added) {
    if (lengthBytes >= 1 && lengthBytes <= CHUNK_BYTES_MAX) continue;
    throw refusal("upload-chunk-length", { chunkId, max: CHUNK_BYTES_MAX, actual: lengthBytes });
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
    throw tooLarge("upload-chunks", uploadChunks, CONTENT_CHUNKS_MAX);
  }
  const uploads = uploadCount + (more.isNew ? 1 : 0);
  if (uploads > STAGED_UPLOADS_MAX) {
    throw tooLarge("session-uploads", uploads, STAGED_UPLOADS_MAX);
  }
  const chunks = chunkCount + more.added.length;
  if (chunks > STAGED_CHUNKS_MAX) {
    throw tooLarge("session-chunks", chunks, STAGED_CHUNKS_MAX);
  }
}

function tooLarge(
  reason: "session-chunks" | "session-uploads" | "upload-chunks",
  count: number,
  max: number,
): Refusal {
  return refusal(reason, { count, max }, { max });
}
