import type { ChunkId } from "../../shared/base/ids.ts";

/** Largest number of kept chunks. Any client can ask for any chunk. */
const KEPT_MAX = 200;

/** Chunks that were requested from this server and that it does not have. */
export class MissedChunks {
  readonly #chunkIds = new Set<ChunkId>();

  /** Notes a chunk, unless many others wait. */
  add(chunkId: ChunkId): void {
    if (this.#chunkIds.size < KEPT_MAX) this.#chunkIds.add(chunkId);
  }

  /** Returns the noted chunks and forgets them. */
  take(): readonly ChunkId[] {
    const taken = [...this.#chunkIds];
    this.#chunkIds.clear();
    return taken;
  }
}
