import type { ChunkId } from "../../shared/base/ids.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";

/** Shorter requests profit from what the page cache reads ahead for their successors. */
const STREAMED_BYTES_MIN = 1024 * 1024;
/** Places that are remembered: 16 GiB of streaming in frames of 1 MiB, in some 2 MiB of memory. */
const PLACES_MAX = 16_384;

/**
 * Decides which reads go through the page cache: what is streamed for the first time passes it by,
 * so that a scan does not push out what others come back for; what is streamed again soon is kept.
 */
export class RecentReads {
  /** Where streaming requests began, the latest last. */
  readonly #places = new Set<string>();

  /** Notes a request and tells how its bytes are to be read. */
  note(chunkId: ChunkId, offsetBytes: number, lengthBytes: number): CacheUse {
    if (lengthBytes < STREAMED_BYTES_MIN) return "keep";
    const place = `${offsetBytes}:${chunkId}`;
    const isKnown = this.#places.delete(place);
    this.#places.add(place);
    if (this.#places.size > PLACES_MAX) {
      for (const oldest of this.#places) {
        this.#places.delete(oldest);
        break;
      }
    }
    return isKnown ? "keep" : "pass";
  }
}
