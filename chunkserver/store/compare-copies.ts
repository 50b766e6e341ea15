import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import { confirmDueMsIn, makeDue } from "./confirm-due.ts";
import type { StoreDeps } from "./store-deps.ts";

/** Number of records that are read for one page of the masters. */
const RECORDS_MAX = 1000;

/** Chunks after `after`, in order, of which the masters record a copy on this server. */
export interface CopiesPage {
  readonly after: ChunkId | null;
  readonly chunkIds: readonly ChunkId[];
  /** Whether other chunks follow. */
  readonly hasMore: boolean;
}

/** The result of the comparison of a page with the index. */
export interface ComparedPage {
  /** Chunks of the page without a record. */
  readonly missing: readonly ChunkId[];
  /** The last chunk that was compared. Null: all following ones were. */
  readonly comparedTo: ChunkId | null;
}

/**
 * Compares a page with the index. A record that the masters confirmed and no longer record is made due for
 * confirmation: the masters adopt the copy, or let this server delete it.
 */
export async function compareCopies(deps: StoreDeps, page: CopiesPage): Promise<ComparedPage> {
  const records = deps.index.recordsAfter(page.after, RECORDS_MAX);
  const lastRecord = records.length === RECORDS_MAX ? records.at(-1)?.chunkId : undefined;
  const lastOfPage = page.hasMore ? page.chunkIds.at(-1) : undefined;
  const comparedTo = earlierOf(lastRecord, lastOfPage) ?? null;
  const isCompared = (chunkId: ChunkId): boolean => comparedTo === null || chunkId <= comparedTo;
  const held = new Set(records.map(({ chunkId }) => chunkId));
  const missing = page.chunkIds.filter((chunkId) => isCompared(chunkId) && !held.has(chunkId));
  const recorded = new Set(page.chunkIds);
  const unrecorded = records
    .filter(
      ({ chunkId, record }) =>
        record.confirmDueMs === 0 && isCompared(chunkId) && !recorded.has(chunkId),
    )
    .map(({ chunkId }) => chunkId);
  if (unrecorded.length > 0) {
    const dueMs = confirmDueMsIn(deps, 0);
    await deps.index.change((operation) => makeDue(operation, unrecorded, dueMs));
  }
  return { missing, comparedTo };
}

function earlierOf(left: ChunkId | undefined, right: ChunkId | undefined): ChunkId | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left < right ? left : right;
}

/** A copy on this server in the state of the masters. */
export interface RecordedCopy {
  readonly chunkId: ChunkId;
  readonly intentIndex: LogIndex;
}

/**
 * Notes the loss of those recorded copies that have no record in the index. A chunk that is sealed later
 * keeps the newest intent of the loss: see `sealPartial`.
 *
 * @returns the chunks whose copies are lost
 */
export async function noteMissing(
  deps: StoreDeps,
  copies: readonly RecordedCopy[],
): Promise<readonly ChunkId[]> {
  if (copies.every(({ chunkId }) => deps.index.record(chunkId) !== null)) return [];
  return await deps.index.change((operation) => {
    const lost: ChunkId[] = [];
    for (const { chunkId, intentIndex } of copies) {
      if (operation.record(chunkId) !== null) continue;
      const noted = operation.loss(chunkId);
      const newest = Math.max(intentIndex, noted?.intentIndex ?? 0) as LogIndex;
      const reason = noted?.reason ?? "the masters record it and the index has no record of it";
      operation.noteLost({ chunkId, reason, intentIndex: newest });
      lost.push(chunkId);
    }
    return lost;
  });
}
