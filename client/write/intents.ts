import { assert } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Intent } from "../../shared/protocol/intent.ts";
import { allocate, type Target } from "../../shared/protocol/namespace-api.ts";
import type { Chunkservers } from "../chunkservers/chunkservers.ts";
import type { Deadline } from "../deadline.ts";
import type { MasterSession } from "../masters/master-session.ts";

/** Chains that are asked for with one call while a file is written. */
const AHEAD_MAX = 8;
const EXCLUDE_MAX = 64;
/** How long the masters may look for servers other than those that failed a moment ago. */
const PREFERRED_SERVERS_TIMEOUT_MS = 400;

/** Leave to write one chunk, and since when. */
export interface AcquiredIntent {
  readonly intent: Intent;
  /** Monotonic time before which it was asked for. */
  readonly requestedAtMs: number;
  readonly copiesWanted: number;
  readonly copiesMin: number;
}

export interface IntentsOptions {
  readonly masters: MasterSession;
  readonly chunkservers: Chunkservers;
  readonly clock: Clock;
  readonly deadline: Deadline;
  readonly timeoutMs: number;
  readonly target: Target;
  readonly storageClass: string | undefined;
  readonly chunkSizeBytes: number;
  readonly hostName: string;
}

/** Leaves to write the chunks of one file, a few ahead of their use. */
export class Intents {
  readonly #options: IntentsOptions;
  #ready: AcquiredIntent[] = [];
  #prefetching: Promise<void> | null = null;
  #nextCount = 1;

  constructor(options: IntentsOptions) {
    this.#options = options;
  }

  /**
   * Leave for the next chunk.
   *
   * @param chunksLeft how many more the file will need, this one among them; null: unknown.
   * @throws {AshlarError} TOO_FEW_CHUNKSERVERS, NOT_FOUND, and what a call to the masters fails with.
   */
  async next(chunksLeft: number | null): Promise<AcquiredIntent> {
    for (;;) {
      this.#dropAging();
      const held = this.#ready.shift();
      if (held !== undefined) {
        // Asked for before it is needed: the next chunk need not wait for the masters.
        const moreLeft = chunksLeft === null ? null : chunksLeft - 1;
        if (this.#ready.length === 0 && moreLeft !== 0) this.#prefetch(moreLeft).catch(() => {});
        return held;
      }
      await this.#prefetch(chunksLeft);
    }
  }

  /** Leave for a chunk whose chain broke: with the servers of `keep` first, without `exclude`. */
  async replace(keep: readonly ServerId[], exclude: readonly ServerId[]): Promise<AcquiredIntent> {
    const [held] = await this.#allocate(1, keep, exclude);
    assert(held !== undefined, "the masters answer with as many intents as were asked for");
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
    const given = await this.#allocate(count, [], []);
    this.#ready = [...this.#ready, ...given];
  }

  async #allocate(
    count: number,
    keep: readonly ServerId[],
    exclude: readonly ServerId[],
  ): Promise<AcquiredIntent[]> {
    const avoided = [...new Set([...exclude, ...this.#options.chunkservers.penalizedServers()])]
      .filter((serverId) => !keep.includes(serverId))
      .slice(0, EXCLUDE_MAX);
    if (avoided.length > 0) {
      try {
        return await this.#call({ count, keep, exclude: avoided }, PREFERRED_SERVERS_TIMEOUT_MS);
      } catch (error) {
        this.#options.deadline.check();
        // A server that failed a moment ago is better than none.
        const isTooPicky =
          isAshlarError(error, "TOO_FEW_CHUNKSERVERS") || isAshlarError(error, "DEADLINE_EXCEEDED");
        if (!isTooPicky) throw error;
      }
    }
    return this.#call({ count, keep, exclude: [] }, this.#options.timeoutMs);
  }

  async #call(
    request: {
      readonly count: number;
      readonly keep: readonly ServerId[];
      readonly exclude: readonly ServerId[];
    },
    timeoutMs: number,
  ): Promise<AcquiredIntent[]> {
    const { masters, clock, deadline, target, storageClass, chunkSizeBytes, hostName } =
      this.#options;
    const requestedAtMs = clock.monotonicMs();
    const { intents, copiesWanted, copiesMin } = await masters.call(
      allocate,
      {
        target,
        ...(storageClass === undefined ? {} : { storageClass }),
        count: request.count,
        chunkSizeBytes,
        exclude: [...request.exclude],
        keep: [...request.keep],
        clientHost: hostName,
      },
      { signal: deadline.signal, timeoutMs: deadline.remainingMs(timeoutMs) },
    );
    return intents.map((intent) => ({ intent, requestedAtMs, copiesWanted, copiesMin }));
  }

  /** An intent that waited for long would grow old before its chunk is committed. */
  #dropAging(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#ready = this.#ready.filter(
      ({ intent, requestedAtMs }) => nowMs - requestedAtMs < intent.lifetimeMs / 4,
    );
  }
}
