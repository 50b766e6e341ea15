import { present } from "../../shared/base/assert.ts";
import type { ServerId } from "../../shared/base/ids.ts";
import type { Deadline } from "../deadline.ts";
import {
  type AcquiredIntent,
  type AllocationDeps,
  allocateIntents,
  type Placement,
} from "./allocate-intents.ts";

/**
 * An intent is used for new chunks for at most this long. Short, so that chunks are spread over all servers, and
 * a change of the storage class by another client takes effect soon.
 */
const AGE_MS_MAX = 1_000;
/** Intents of one allocation, after a few. Calls at the same time use different chains. */
const COUNT_MAX = 4;

interface PooledIntent extends AcquiredIntent {
  /** `MasterSession.placementChanges` before the request. */
  readonly placementChanges: number;
}

/**
 * The intents of chunks with one placement. Each is used for many chunks: its signature names no chunk.
 *
 * Invariant: an intent is younger than a quarter of its lifetime when a chunk gets it. So the chunk is committed
 * before its servers may drop it, unless the commit takes long: it is then refused.
 */
export class IntentPool {
  readonly #deps: AllocationDeps;
  readonly #placement: Placement;
  #intents: PooledIntent[] = [];
  #nextCount = 1;
  #useCount = 0;

  constructor(deps: AllocationDeps, placement: Placement) {
    this.#deps = deps;
    this.#placement = placement;
  }

  /**
   * Resolves with an intent. None of its servers is one of `exclude`, if there are others.
   *
   * @throws {AshlarError} see `allocateIntents`
   */
  async next(exclude: ReadonlySet<ServerId>, deadline: Deadline): Promise<AcquiredIntent> {
    this.#dropUnusable(exclude);
    if (this.#intents.length === 0) await this.#allocate(exclude, deadline);
    this.#useCount += 1;
    const held = this.#intents[this.#useCount % this.#intents.length];
    return present(held, "an allocation returns an intent");
  }

  async #allocate(exclude: ReadonlySet<ServerId>, deadline: Deadline): Promise<void> {
    const { placementChanges } = this.#deps.masters;
    const count = this.#nextCount;
    this.#nextCount = Math.min(COUNT_MAX, 2 * count);
    const request = { count, keep: [], exclude: [...exclude] };
    const allocated = await allocateIntents(this.#deps, this.#placement, request, deadline);
    // Those of another call in the meantime may have servers of `exclude`.
    this.#intents = allocated.map((held) => ({ ...held, placementChanges }));
  }

  #dropUnusable(exclude: ReadonlySet<ServerId>): void {
    const { clock, masters, chunkservers } = this.#deps;
    const nowMs = clock.monotonicMs();
    const avoided = new Set([...exclude, ...chunkservers.penalizedServers()]);
    this.#intents = this.#intents.filter(
      ({ intent, requestedAtMs, placementChanges }) =>
        nowMs - requestedAtMs < Math.min(AGE_MS_MAX, intent.lifetimeMs / 4) &&
        placementChanges === masters.placementChanges &&
        !intent.servers.some(({ serverId }) => avoided.has(serverId)),
    );
  }
}
