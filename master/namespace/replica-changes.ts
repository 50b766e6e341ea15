import type { ChunkId } from "../../shared/base/ids.ts";
import type { ChunkRecord } from "./records.ts";

/** Maximum number of chunks in memory. At the highest rate of commits: a few seconds. */
const CHUNKS_MAX = 20_000;

/**
 * The chunks whose replicas, or whose wanted number of replicas, applied entries have changed. Not
 * part of the state: the leader reads it to find chunks that lack replicas without a scan. A chunk
 * that an entry removes is not noted.
 */
export class ReplicaChanges {
  #chunks = new Map<ChunkId, ChunkRecord>();
  #isOverflown = false;

  /** Notes a chunk with its present record. */
  add(id: ChunkId, chunk: ChunkRecord): void {
    if (this.#isOverflown) return;
    this.#chunks.set(id, chunk);
    if (this.#chunks.size <= CHUNKS_MAX) return;
    this.#chunks.clear();
    this.#isOverflown = true;
  }

  /** Returns the chunks since the last call. Null if there were too many to keep. */
  take(): ReadonlyMap<ChunkId, ChunkRecord> | null {
    const chunks = this.#isOverflown ? null : this.#chunks;
    this.#chunks = new Map();
    this.#isOverflown = false;
    return chunks;
  }
}
