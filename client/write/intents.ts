import { assert } from "../../shared/base/assert.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Intent } from "../../shared/protocol/intent.ts";
import { allocate, type Target } from "../../shared/protocol/namespace-api.ts";
import type { Chunkservers } from "../chunkservers/chunkservers.ts";
import type { Deadline } from "../deadline.ts";
import type { MasterSession } from "../masters/master-session.ts";

/** Maximum number of intents allocated by one call while a file is written. */
const AHEAD_MAX = 8;
/** Maximum number of servers that one call excludes. */
const EXCLUDE_MAX = 64;
/** Timeout for an allocation that avoids recently failed servers. Then they are allowed again. */
const PREFERRED_SERVERS_TIMEOUT_MS = 400;

/** An intent: the permission to write one chunk, signed by the masters. */
export interface AcquiredIntent {
  readonly intent: Intent;
  /** Monotonic time before the request. The lifetime of the intent starts no earlier. */
  readonly requestedAtMs: number;
  /** Replicas that the storage class wants. */
  readonly copiesWanted: number;
  /** Replicas that a commit needs at least. */
  readonly copiesMin: number;
}

/** Dependencies and parameters of `Intents`. */
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
    const [held] = await this.#allocate(1, keep, exclude);
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
    const allocated = await this.#allocate(count, [], []);
    this.#ready = [...this.#ready, ...allocated];
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
        // A recently failed server is better than none. The masters may also have no leader.
        if (!isAshlarError(error) || error.retry === "never") throw error;
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

  /** Drops intents that could expire before their chunk is committed. */
  #dropAging(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#ready = this.#ready.filter(
      ({ intent, requestedAtMs }) => nowMs - requestedAtMs < intent.lifetimeMs / 4,
    );
  }
}
