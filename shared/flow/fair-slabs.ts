import { FairQueue } from "./fair-queue.ts";
import { grantOrAbort } from "./grant-or-abort.ts";
import type { Slab, SlabPool } from "./slabs.ts";

/** A request that waits. */
interface Request {
  readonly source: string;
  readonly lengthBytes: number;
  readonly onSlab: (slab: Slab) => void;
}

/**
 * Slabs of one pool for several sources, which are served in turn. A source holds at most a quarter of the
 * pool, or one slab, so that slabs of a peer that stops receiving do not stop the others.
 */
export class FairSlabs {
  readonly #pool: SlabPool;
  readonly #bytesMaxPerSource: number;
  readonly #waiting = new FairQueue<Request>();
  /** Bytes of slabs in use by source. No source is without slabs. */
  readonly #held = new Map<string, number>();
  /** The request that the pool will serve next. */
  #current: { readonly request: Request; readonly cancel: () => void } | null = null;

  constructor(pool: SlabPool) {
    this.#pool = pool;
    this.#bytesMaxPerSource = pool.bytesMax / 4;
  }

  /** Number of requests that wait. */
  get waitingCount(): number {
    return this.#waiting.size + (this.#current === null ? 0 : 1);
  }

  /** Bytes of the slabs in use: see `SlabPool.acquiredBytes`. */
  get acquiredBytes(): number {
    return this.#pool.acquiredBytes;
  }

  /** Returns a slab, or null if the source would have to wait. */
  tryAcquire(source: string, lengthBytes: number): Slab | null {
    if (this.waitingCount > 0 || !this.#mayHold(source, lengthBytes)) return null;
    const slab = this.#pool.tryAcquire(lengthBytes);
    return slab === null ? null : this.#hold(source, slab);
  }

  /**
   * Resolves to a slab when it is the turn of the source and the pool has room.
   *
   * @throws the reason of `signal` if it aborts first
   */
  acquire(source: string, lengthBytes: number, signal: AbortSignal): Promise<Slab> {
    const slab = this.tryAcquire(source, lengthBytes);
    if (slab !== null) return Promise.resolve(slab);
    return grantOrAbort(signal, (onSlab) => {
      const request = { source, lengthBytes, onSlab };
      this.#waiting.push(source, request);
      this.#serve();
      return () => this.#cancel(request);
    });
  }

  /** Whether the source may have so many bytes more. A source without slabs always gets one. */
  #mayHold(source: string, lengthBytes: number): boolean {
    const heldBytes = this.#held.get(source) ?? 0;
    return heldBytes === 0 || heldBytes + lengthBytes <= this.#bytesMaxPerSource;
  }

  #hold(source: string, slab: Slab): Slab {
    const { length } = slab.bytes;
    this.#held.set(source, (this.#held.get(source) ?? 0) + length);
    return new HeldSlab(slab, () => {
      const heldBytes = (this.#held.get(source) ?? 0) - length;
      if (heldBytes === 0) this.#held.delete(source);
      else this.#held.set(source, heldBytes);
      this.#serve();
    });
  }

  #cancel(request: Request): void {
    if (this.#current?.request !== request) {
      this.#waiting.delete(request.source, request);
      return;
    }
    const { cancel } = this.#current;
    this.#current = null;
    cancel();
    this.#serve();
  }

  /** Asks the pool for the slab of the next request whose source may hold it. */
  #serve(): void {
    while (this.#current === null) {
      const request = this.#waiting.shiftIf(({ source, lengthBytes }) =>
        this.#mayHold(source, lengthBytes),
      );
      if (request === undefined) return;
      let isGranted = false;
      const cancel = this.#pool.requestSlab(request.lengthBytes, (slab) => {
        isGranted = true;
        this.#current = null;
        request.onSlab(this.#hold(request.source, slab));
        this.#serve();
      });
      if (!isGranted) this.#current = { request, cancel };
    }
  }
}

/** A slab that counts for its source until its last release. */
class HeldSlab implements Slab {
  readonly #slab: Slab;
  readonly #onReleased: () => void;
  #references = 1;

  constructor(slab: Slab, onReleased: () => void) {
    this.#slab = slab;
    this.#onReleased = onReleased;
  }

  get bytes(): Uint8Array {
    return this.#slab.bytes;
  }

  retain(): void {
    this.#references += 1;
    this.#slab.retain();
  }

  release(): void {
    this.#references -= 1;
    this.#slab.release();
    if (this.#references === 0) this.#onReleased();
  }
}
