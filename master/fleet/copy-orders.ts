import type { ChunkId, ServerId } from "../../shared/base/ids.ts";
import type { Order } from "../../shared/protocol/fleet-api.ts";

/** An order to copy a chunk. */
export type CopyOrder = Order & { readonly kind: "copy" };

/** A copy that was ordered and not reported yet. */
interface CopyInProgress {
  readonly order: CopyOrder;
  readonly target: ServerId;
  readonly orderedMs: number;
}

/** The copies that servers make at present, by target and by chunk. */
export class CopyOrders {
  readonly #byTarget = new Map<ServerId, Map<ChunkId, CopyInProgress>>();
  /** Number of orders for each chunk. */
  readonly #chunks = new Map<ChunkId, number>();
  /** Number of orders that name the server as their first source. */
  readonly #readers = new Map<ServerId, number>();
  /** All orders, oldest first. */
  readonly #byAge = new Set<CopyInProgress>();

  get count(): number {
    return this.#byAge.size;
  }

  /** The chunks of which a copy is made. */
  chunks(): Iterable<ChunkId> {
    return this.#chunks.keys();
  }

  add(target: ServerId, order: CopyOrder, orderedMs: number): void {
    const copy = { target, order, orderedMs };
    const orders = this.#byTarget.get(target) ?? new Map<ChunkId, CopyInProgress>();
    this.#byTarget.set(target, orders.set(order.chunkId, copy));
    this.#byAge.add(copy);
    addTo(this.#chunks, order.chunkId, 1);
    const source = order.sources[0];
    if (source !== undefined) addTo(this.#readers, source.serverId, 1);
  }

  delete(target: ServerId, chunkId: ChunkId): void {
    const copy = this.#byTarget.get(target)?.get(chunkId);
    if (copy !== undefined) this.#delete(copy);
  }

  /** Deletes the orders that are older than `orderedMs`. @returns their chunks */
  expire(orderedMs: number): ChunkId[] {
    const late: CopyInProgress[] = [];
    for (const copy of this.#byAge) {
      if (copy.orderedMs >= orderedMs) break;
      late.push(copy);
    }
    return this.#deleteAll(late);
  }

  /** Deletes the orders to a server. @returns their chunks */
  deleteTarget(target: ServerId): ChunkId[] {
    return this.#deleteAll([...(this.#byTarget.get(target)?.values() ?? [])]);
  }

  /** The servers that make a copy. */
  targets(): Iterable<ServerId> {
    return this.#byTarget.keys();
  }

  ordersFor(target: ServerId): CopyOrder[] {
    return [...(this.#byTarget.get(target)?.values() ?? [])].map((copy) => copy.order);
  }

  has(target: ServerId, chunkId: ChunkId): boolean {
    return this.#byTarget.get(target)?.has(chunkId) === true;
  }

  /** Returns the number of copies that the server makes. */
  countOfTarget(target: ServerId): number {
    return this.#byTarget.get(target)?.size ?? 0;
  }

  /** Returns the number of copies of the chunk that are being made. */
  countOfChunk(chunkId: ChunkId): number {
    return this.#chunks.get(chunkId) ?? 0;
  }

  /** Returns the number of orders that name the server as their first source. */
  countOfReaders(source: ServerId): number {
    return this.#readers.get(source) ?? 0;
  }

  clear(): void {
    this.#byTarget.clear();
    this.#chunks.clear();
    this.#readers.clear();
    this.#byAge.clear();
  }

  #deleteAll(copies: readonly CopyInProgress[]): ChunkId[] {
    for (const copy of copies) this.#delete(copy);
    return copies.map((copy) => copy.order.chunkId);
  }

  #delete(copy: CopyInProgress): void {
    const { target, order } = copy;
    const orders = this.#byTarget.get(target);
    orders?.delete(order.chunkId);
    if (orders?.size === 0) this.#byTarget.delete(target);
    this.#byAge.delete(copy);
    addTo(this.#chunks, order.chunkId, -1);
    const source = order.sources[0];
    if (source !== undefined) addTo(this.#readers, source.serverId, -1);
  }
}

function addTo<Key>(counts: Map<Key, number>, key: Key, change: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
