import type { ChunkId } from "../../shared/base/ids.ts";
import { type DangerClass, UNREADABLE } from "../placement/classify-chunk.ts";

/** Places in each class. Twice as many ids as the largest fleet orders in a second. */
const PLACES_PER_CLASS = 20_000;

/**
 * Chunks that wait for copies, by their danger. Each class has its own places, so that no class
 * keeps a more endangered one out. A chunk without a place is found again by the scan that found it.
 */
export class WaitingChunks {
  readonly #classes: Set<ChunkId>[] = [];

  /** Puts the chunk at the end of its class. @returns false if the class has no place left */
  put(chunkId: ChunkId, dangerClass: DangerClass): boolean {
    while (this.#classes.length <= dangerClass) this.#classes.push(new Set());
    for (const chunks of this.#classes) chunks.delete(chunkId);
    const chunks = this.#classes[dangerClass] as Set<ChunkId>;
    if (chunks.size >= PLACES_PER_CLASS) return false;
    chunks.add(chunkId);
    return true;
  }

  delete(chunkId: ChunkId): void {
    for (const chunks of this.#classes) chunks.delete(chunkId);
  }

  has(chunkId: ChunkId): boolean {
    return this.#classes.some((chunks) => chunks.has(chunkId));
  }

  clear(): void {
    this.#classes.length = 0;
  }

  /** Number of classes that have held a chunk, counted from class 0. */
  get classCount(): number {
    return this.#classes.length;
  }

  /** Number of waiting chunks of all classes. */
  get count(): number {
    let count = 0;
    for (const chunks of this.#classes) count += chunks.size;
    return count;
  }

  /** Number of waiting chunks that no server can provide. */
  get unreadableCount(): number {
    return this.countIn(UNREADABLE);
  }

  countIn(dangerClass: DangerClass): number {
    return this.#classes[dangerClass]?.size ?? 0;
  }

  /** Whether a scan should fetch chunks that had no place in the class. */
  isHalfEmpty(dangerClass: DangerClass): boolean {
    return this.countIn(dangerClass) <= PLACES_PER_CLASS / 2;
  }

  /** Returns the chunks of a class that were put first, at most `limit`. */
  first(dangerClass: DangerClass, limit: number): ChunkId[] {
    const first: ChunkId[] = [];
    for (const chunkId of this.#classes[dangerClass] ?? []) {
      if (first.length === limit) break;
      first.push(chunkId);
    }
    return first;
  }
}
