import type { ChunkId } from "../../shared/base/ids.ts";
import type { ReadFailure } from "./chunk-reader.ts";
import { type ChunkRecord, sameExtents } from "./chunk-record.ts";
import { confirmDueMsIn, makeDue } from "./confirm-due.ts";
import type { StoreDeps } from "./store-deps.ts";
import type { UnreadableCopy } from "./unreadable-copies.ts";

/**
 * Notes that the disk could not read a replica with any descriptor. The record and the bytes stay.
 * Does nothing if the bytes of the chunk have moved since `record` was read.
 */
export function noteUnreadable(
  deps: StoreDeps,
  chunkId: ChunkId,
  record: ChunkRecord,
  { file, offsetBytes, error }: ReadFailure,
): void {
  deps.health.noteReadFailure(file, offsetBytes, error);
  const current = deps.index.record(chunkId);
  if (current === null || !sameExtents(current, record)) return;
  const reason = `${file} at byte ${offsetBytes}: ${error.message}`;
  const isNew = deps.unreadable.note({ chunkId, intentIndex: current.intentIndex, reason });
  if (isNew) deps.log.warn("The disk cannot read a replica: it is kept", { chunkId, reason });
}

/**
 * Returns up to `limit` unreadable copies for a report. None while the disk counts as failed: the
 * masters then count none of its copies, and use them only as sources of last resort.
 */
export function reportUnreadable(deps: StoreDeps, limit: number): readonly UnreadableCopy[] {
  return deps.health.failure === null ? deps.unreadable.next(limit) : [];
}

/**
 * Makes the chunks of an answered report due for confirmation. If the masters have stopped counting
 * the copy, they order another one here, or let this server delete the copy once there are enough.
 */
export async function answerUnreadable(
  deps: StoreDeps,
  report: readonly UnreadableCopy[],
): Promise<void> {
  if (report.length === 0) return;
  const chunkIds = report.map(({ chunkId }) => chunkId);
  const dueMs = confirmDueMsIn(deps, 0);
  await deps.index.change((operation) => makeDue(operation, chunkIds, dueMs));
  deps.unreadable.answered(report);
}
