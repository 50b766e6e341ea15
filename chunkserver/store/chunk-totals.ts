import type { RecordChange } from "./chunk-index.ts";
import type { ChunkRecord } from "./chunk-record.ts";

/** Totals of the chunks in the index: counted at the start, then updated with every commit. */
export class ChunkTotals {
  #chunkCount = 0;
  #chunkBytes = 0;
  #unconfirmedCount = 0;

  /** Number of chunks. */
  get chunkCount(): number {
    return this.#chunkCount;
  }

  /** Sum of the chunk lengths. */
  get chunkBytes(): number {
    return this.#chunkBytes;
  }

  /** Chunks for which the master has not confirmed that a committed file contains them. */
  get unconfirmedCount(): number {
    return this.#unconfirmedCount;
  }

  /** Counts a committed change of a record. */
  onCommitted(change: RecordChange): void {
    if (change.before !== null) this.#count(change.before, -1);
    if (change.after !== null) this.#count(change.after, 1);
  }

  #count(record: ChunkRecord, sign: 1 | -1): void {
    this.#chunkCount += sign;
    this.#chunkBytes += sign * record.lengthBytes;
    if (record.confirmDueMs > 0) this.#unconfirmedCount += sign;
  }
}
