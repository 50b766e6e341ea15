import type { ChunkId } from "../../shared/base/ids.ts";
import type { ChunkRecord } from "./records.ts";

/** Maximum number of chunks in memory. At the highest rate of commits: a few seconds. */
const CHUNKS_MAX = 20_000;

/**
 * The chunks whose replicas, or whose wanted number of replicas, applied entries have changed. Not
 * part of the state: the leader reads it to find chunks that lack replicas without a scan. A noted
 * chunk may have been removed since then.
 */
export class ReplicaChanges {
  readonly #chunks = new Map<ChunkId, ChunkRecord>();
  #isOverflown = false;

  /** Notes a chunk with its present record. */
  add(id: ChunkId, chunk: ChunkRecord): void {
    if (this.#isOverflown) return;
    this.#chunks.set(id, chunk);
    if (this.#chunks.size <= CHUNKS_MAX) return;
    this.#chunks.clear();
    this.#isOverflown = true;
  }

  /**
   * Returns the chunks that were noted first, at most `limit`, and forgets them. Null if there were
   * too many to keep.
   */
  take(limit: number): ReadonlyMap<ChunkId, ChunkRecord> | null {
    if (this.#isOverflown) {
      this.#isOverflown = false;
      return null;
    }
    const taken = new Map<ChunkId, ChunkRecord>();
    for (const [id, chunk] of this.#chunks) {
      if (taken.size === limit) break;
      taken.set(id, chunk);
      this.#chunks.delete(id);
    }
    return taken;
  }
}
