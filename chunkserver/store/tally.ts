import type { RecordChange } from "./chunk-index.ts";
import type { ChunkRecord } from "./chunk-record.ts";

/** What the index holds, in sums: read at the start, then kept up with every commit. */
export class Tally {
  #chunkCount = 0;
  #chunkBytes = 0;
  #unconfirmedCount = 0;

  get chunkCount(): number {
    return this.#chunkCount;
  }

  /** Lengths of all chunks. */
  get chunkBytes(): number {
    return this.#chunkBytes;
  }

  /** Chunks that the master has not yet seen in a commit, as far as we know. */
  get unconfirmedCount(): number {
    return this.#unconfirmedCount;
  }

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
