import type { ChunkId } from "../../shared/base/ids.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";

/** Shorter requests use the page cache, because its read-ahead serves the requests after them. */
const STREAMED_BYTES_MIN = 1024 * 1024;
/** Maximum number of remembered requests: 16 GiB in frames of 1 MiB, in about 2 MiB of memory. */
const REQUESTS_MAX = 16_384;

/**
 * Decides which reads use the page cache. The first streaming read of a range bypasses the cache,
 * so that a scan does not evict pages that others read repeatedly. A repeated read uses the cache.
 */
export class RecentReads {
  /** Start of each recent streaming request, the latest last. */
  readonly #requests = new Set<string>();

  /** Records a request and returns how its bytes should be read. */
  record(chunkId: ChunkId, offsetBytes: number, lengthBytes: number): CacheUse {
    if (lengthBytes < STREAMED_BYTES_MIN) return "keep";
    const request = `${offsetBytes}:${chunkId}`;
    const isKnown = this.#requests.delete(request);
    this.#requests.add(request);
    if (this.#requests.size > REQUESTS_MAX) {
      for (const oldest of this.#requests) {
        this.#requests.delete(oldest);
        break;
      }
    }
    return isKnown ? "keep" : "pass";
  }
}
