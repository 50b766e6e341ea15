import { assert } from "../shared/base/assert.ts";
import type { SlabPool } from "../shared/flow/slabs.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Chunkservers } from "./chunkservers/chunkserver-session.ts";
import type { ManifestCache } from "./read/manifest-cache.ts";
import type { MasterSession } from "./masters/master-session.ts";
import type { RetryEvent } from "./options.ts";
import type { FeedMasters } from "./names/watch.ts";
import type { ZeroBlocks } from "./write/zero-blocks.ts";

/** What the parts of one client share. */
export interface ClientParts {
  readonly env: Env;
  readonly masters: MasterSession;
  readonly feed: FeedMasters;
  readonly chunkservers: Chunkservers;
  readonly manifests: ManifestCache;
  readonly zeroBlocks: ZeroBlocks;
  /** Frames of files that are being written. */
  readonly writeSlabs: SlabPool;
  readonly readAhead: ReadAhead;
  readonly background: Background;
  readonly hostName: string;
  /** Default limit of one call to the masters. */
  readonly timeoutMs: number;
  readonly onRetry: (event: RetryEvent) => void;
}

/**
 * How many bytes readers have asked for and not consumed, over all of them.
 *
 * What is read ahead waits for room. What a consumer waits for is always asked for, in small
 * pieces when there is no room: readers that wait for one another's room would never go on.
 */
export class ReadAhead {
  readonly #bytesMax: number;
  #usedBytes = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, "there is room to read ahead");
    this.#bytesMax = bytesMax;
  }

  get freeBytes(): number {
    return Math.max(0, this.#bytesMax - this.#usedBytes);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  take(bytes: number): void {
    this.#usedBytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
    assert(this.#usedBytes >= 0, "no more is given back than was taken");
  }
}

/** Work whose outcome nobody waits for (reports of rot); the client's end does. */
export class Background {
  readonly #running = new Set<Promise<void>>();

  /** `task` bounds its own time; how it fails is its own matter. */
  run(task: () => Promise<unknown>): void {
    const running = task()
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }
}
