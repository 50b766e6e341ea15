import type { ChunkId } from "../../shared/base/ids.ts";
import type { IndexOperation } from "./chunk-index.ts";
import type { StoreDeps } from "./store-deps.ts";

/**
 * Returns the wall time in `delayMs`, at which the master is asked about a chunk. At least 1, because 0 means
 * confirmed.
 */
export function confirmDueMsIn({ clock }: Pick<StoreDeps, "clock">, delayMs: number): number {
  return Math.max(1, Math.floor(clock.wallMs() + delayMs));
}

/** Makes those of the chunks that are confirmed due for confirmation at `dueMs`. */
export function makeDue(
  operation: IndexOperation,
  chunkIds: readonly ChunkId[],
  dueMs: number,
): void {
  for (const chunkId of chunkIds) {
    const record = operation.record(chunkId);
    if (record?.confirmDueMs === 0) operation.put(chunkId, { ...record, confirmDueMs: dueMs });
  }
}
