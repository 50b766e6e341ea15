import pLimit from "p-limit";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";
import { type CopyDeps, type CopyOrder, copyChunk } from "./copy-chunk.ts";
import type { OrderResults } from "./order-results.ts";

/**
 * Maximum number of pending orders of one kind. Further orders are dropped: the master repeats
 * unreported orders.
 */
const PENDING_MAX = 4096;
/** Maximum number of purges that run at the same time. These purges share commits of the index. */
const PURGES_AT_ONCE_MAX = 64;

/** Dependencies and limits of `Orders`. */
export interface OrdersDeps {
  readonly copyDeps: CopyDeps;
  readonly log: Log;
  readonly results: OrderResults;
  readonly copiesAtOnceMax: number;
  readonly signal: AbortSignal;
  /** Called with an error that is not an AshlarError: a bug in this program. */
  readonly onBug: (error: unknown) => void;
}

/** Runs the orders of the master, a limited number at a time, and records their results. */
export class Orders {
  readonly #options: OrdersDeps;
  readonly #copyLimit: ReturnType<typeof pLimit>;
  readonly #purgeLimit = pLimit(PURGES_AT_ONCE_MAX);
  /** Chunks with a pending or running order. The master repeats its orders in every heartbeat. */
  readonly #copying = new Set<ChunkId>();
  readonly #purging = new Set<ChunkId>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: OrdersDeps) {
    this.#options = options;
    this.#copyLimit = pLimit(options.copiesAtOnceMax);
  }

  /** Number of pending and running copies. */
  get copyCount(): number {
    return this.#copying.size;
  }

  /** Starts the orders. Ignores an order for a chunk that already has an order of the same kind. */
  accept(orders: readonly Order[]): void {
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

  /** Resolves when no order is running. After an abort of the signal this takes a short time. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #start(active: Set<ChunkId>, chunkId: ChunkId, run: () => Promise<void>): void {
    if (active.has(chunkId) || active.size >= PENDING_MAX) return;
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
    const { copyDeps, results, log, signal } = this.#options;
    const { chunkId, intentIndex } = order;
    if (signal.aborted) return;
    try {
      await copyChunk(copyDeps, order, signal);
      results.copied(chunkId, intentIndex);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof AshlarError)) throw error;
      log.warn("A copy order of the master failed", { chunkId, error });
      results.copyFailed(chunkId, error.message);
    }
  }

  async #purge(order: Extract<Order, { kind: "purge" }>): Promise<void> {
    const { copyDeps, results, log, signal } = this.#options;
    const { chunkId, purgeIndex } = order;
    if (signal.aborted) return;
    try {
      // A replica under a newer intent is kept. In every case no replica that the purge covers
      // remains.
      await copyDeps.store.purge(chunkId, purgeIndex);
      results.purged(chunkId, purgeIndex);
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      log.warn("A purge order of the master failed", { chunkId, error });
    }
  }
}
