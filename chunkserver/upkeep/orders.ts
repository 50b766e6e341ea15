import pLimit from "p-limit";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import { type CopyOrder, type CopyWorld, copyChunk } from "./copy-chunk.ts";
import type { Facts } from "./facts.ts";

/** Orders that wait, at most. The master repeats what is not reported, so more are dropped. */
const WAITING_MAX = 4096;
/** Purges at a time: they share commits of the index. */
const PURGES_AT_ONCE = 64;

export interface OrdersOptions {
  readonly world: CopyWorld;
  readonly log: Log;
  readonly facts: Facts;
  readonly copiesAtOnceMax: number;
  readonly signal: AbortSignal;
  /** An error that is no failure of the world. */
  readonly onBug: (error: unknown) => void;
}

/** Carries out what the master orders, some at a time, and keeps the facts for the next heartbeat. */
export class Orders {
  readonly #options: OrdersOptions;
  readonly #copyLimit: ReturnType<typeof pLimit>;
  readonly #purgeLimit = pLimit(PURGES_AT_ONCE);
  /** Chunks with an order that waits or runs: the master repeats its orders with every heartbeat. */
  readonly #copying = new Set<ChunkId>();
  readonly #purging = new Set<ChunkId>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: OrdersOptions) {
    this.#options = options;
    this.#copyLimit = pLimit(options.copiesAtOnceMax);
  }

  /** Copies that wait or run. */
  get copyCount(): number {
    return this.#copying.size;
  }

  take(orders: readonly Order[]): void {
    for (const order of orders) {
      if (this.#options.signal.aborted) return;
      switch (order.kind) {
        case "copy":
          this.#start(this.#copying, order.chunkId, () => this.#copyLimit(() => this.#copy(order)));
          break;
        case "purge":
          this.#start(this.#purging, order.chunkId, () =>
            this.#purgeLimit(() => this.#purge(order)),
          );
          break;
      }
    }
  }

  /** Resolves when nothing runs any more. After the signal aborted it does soon. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #start(active: Set<ChunkId>, chunkId: ChunkId, run: () => Promise<void>): void {
    if (active.has(chunkId) || active.size >= WAITING_MAX) return;
    active.add(chunkId);
    const running = run()
      .catch(this.#options.onBug)
      .finally(() => {
        active.delete(chunkId);
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  async #copy(order: CopyOrder): Promise<void> {
    const { world, facts, log, signal } = this.#options;
    const { chunkId, intentIndex } = order;
    if (signal.aborted) return;
    try {
      await copyChunk(world, order, signal);
      facts.copied(chunkId, intentIndex);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof AshlarError)) throw error;
      log.warn("A copy that the master ordered failed", { chunkId, error });
      facts.copyFailed(chunkId, error.message);
    }
  }

  async #purge(order: Extract<Order, { kind: "purge" }>): Promise<void> {
    const { world, facts, log, signal } = this.#options;
    const { chunkId, purgeIndex } = order;
    if (signal.aborted) return;
    try {
      // A copy under a newer intent stays: none that the purge means is left either way.
      await world.store.purge(chunkId, purgeIndex);
      facts.purged(chunkId, purgeIndex);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      log.warn("A purge that the master ordered failed", { chunkId, error });
    }
  }
}
