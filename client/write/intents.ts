import { assert } from "../../shared/base/assert.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Deadline } from "../deadline.ts";
import {
  type AcquiredIntent,
  type AllocationDeps,
  allocateIntents,
  type IntentRequest,
  type Placement,
} from "./allocate-intents.ts";

/** Maximum number of intents allocated by one call while a file is written. */
const AHEAD_MAX = 8;

/** Dependencies and parameters of `Intents`. */
export interface IntentsOptions extends AllocationDeps, Placement {
  readonly deadline: Deadline;
}

/** Allocates the intents of one file, some of them ahead of their use. */
export class Intents {
  readonly #options: IntentsOptions;
  /** Allocated intents that are not used yet. */
  #ready: AcquiredIntent[] = [];
  #prefetching: Promise<void> | null = null;
  #nextCount = 1;

  constructor(options: IntentsOptions) {
    this.#options = options;
  }

  /**
   * Resolves with an intent for the next chunk.
   *
   * @param chunksLeft number of chunks that the file still needs, including this one; null if
   *   unknown.
   * @throws {AshlarError} TOO_FEW_CHUNKSERVERS, NOT_FOUND, and the errors of calls to the masters.
   */
  async next(chunksLeft: number | null): Promise<AcquiredIntent> {
    for (;;) {
      this.#dropAging();
      const held = this.#ready.shift();
      if (held !== undefined) {
        // Allocates the next intents now, so that the next chunk does not wait for the masters.
        const moreLeft = chunksLeft === null ? null : chunksLeft - 1;
        if (this.#ready.length === 0 && moreLeft !== 0) this.#prefetch(moreLeft).catch(() => {});
        return held;
      }
      await this.#prefetch(chunksLeft);
    }
  }

  /**
   * Resolves with an intent for a chunk whose chain is broken. Its chain starts with the servers of
   * `keep` and does not contain those of `exclude`.
   */
  async replace(keep: readonly ServerId[], exclude: readonly ServerId[]): Promise<AcquiredIntent> {
    const [held] = await this.#allocate({ count: 1, keep, exclude });
    assert(held !== undefined, "the response has as many intents as requested");
    return held;
  }

  #prefetch(chunksLeft: number | null): Promise<void> {
    this.#prefetching ??= this.#allocateAhead(chunksLeft).finally(() => {
      this.#prefetching = null;
    });
    return this.#prefetching;
  }

  async #allocateAhead(chunksLeft: number | null): Promise<void> {
    const count = Math.max(1, Math.min(AHEAD_MAX, chunksLeft ?? this.#nextCount));
    this.#nextCount = Math.min(AHEAD_MAX, this.#nextCount * 2);
    const allocated = await this.#allocate({ count, keep: [], exclude: [] });
    this.#ready = [...this.#ready, ...allocated];
  }

  #allocate(request: IntentRequest): Promise<AcquiredIntent[]> {
    return allocateIntents(this.#options, this.#options, request, this.#options.deadline);
  }

  /** Drops intents that could expire before their chunk is committed. */
  #dropAging(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#ready = this.#ready.filter(
      ({ intent, requestedAtMs }) => nowMs - requestedAtMs < intent.lifetimeMs / 4,
    );
  }
}
