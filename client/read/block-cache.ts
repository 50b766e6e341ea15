import { BLOCK_BYTES, type ChunkId } from "../../shared/base/ids.ts";

/**
 * LRU cache of verified blocks, bounded by bytes. A chunk never changes, so entries never become stale.
 * For small reads: a block is received and hashed once and not once for each read of a part of it.
 */
export class BlockCache {
  readonly #blocksMax: number;
  /** Blocks in the order of their last use, the oldest first. Each has a buffer of BLOCK_BYTES. */
  readonly #blocks = new Map<string, Uint8Array>();

  constructor(bytesMax: number) {
    this.#blocksMax = Math.max(1, Math.floor(bytesMax / BLOCK_BYTES));
  }

  /** Returns a block, to be used before the next `put`, and marks it as recently used. */
  get(chunkId: ChunkId, block: number): Uint8Array | undefined {
    const key = keyOf(chunkId, block);
    const bytes = this.#blocks.get(key);
    if (bytes === undefined) return undefined;
    this.#blocks.delete(key);
    this.#blocks.set(key, bytes);
    return bytes;
  }

  /** Adds a copy of a block. The buffer of the least recently used one is reused. */
  put(chunkId: ChunkId, block: number, bytes: Uint8Array): void {
    const key = keyOf(chunkId, block);
    if (this.#blocks.has(key)) return;
    const buffer = this.#takeOldest() ?? new Uint8Array(BLOCK_BYTES);
    buffer.set(bytes);
    this.#blocks.set(key, buffer.subarray(0, bytes.length));
  }

  #takeOldest(): Uint8Array | null {
    if (this.#blocks.size < this.#blocksMax) return null;
    for (const [key, bytes] of this.#blocks) {
      this.#blocks.delete(key);
      return new Uint8Array(bytes.buffer);
    }
    return null;
  }
}

function keyOf(chunkId: ChunkId, block: number): string {
  return `${block} ${chunkId}`;
}
