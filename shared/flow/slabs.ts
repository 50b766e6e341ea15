import { assert } from "../base/assert.ts";
import { grantOrAbort } from "./grant-or-abort.ts";

/** The smallest slab. The accounting of a smaller one would cost more than a copy of its bytes. */
const SLAB_BYTES_MIN = 4096;
/** Largest ratio of the size of a slab and the whole blocks in it: see `slabBytes`. */
export const SLAB_SHARE_MAX = 1.25;

export interface SlabPoolOptions {
  /** Upper bound of the bytes that are acquired at the same time. Requests above it wait. */
  readonly bytesMax: number;
  /**
   * Upper bound of the free bytes kept for reuse. The garbage collector frees the rest. Default:
   * `bytesMax`.
   */
  readonly idleBytesMax?: number;
  /** Allocates a new buffer. Default: on the heap. */
  readonly allocate?: (lengthBytes: number) => Uint8Array;
}

/** Bytes acquired from a pool. They return to the pool at the last `release`. */
export interface Slab {
  /** Has the requested length. Must not be used after the last `release`. */
  readonly bytes: Uint8Array;
  /** Adds a reference. Every reference needs one `release`. */
  retain(): void;
  /** Drops a reference. The one that `acquire` returned counts as the first. */
  release(): void;
}

/**
 * Large reusable buffers, with a bound on the bytes in use.
 *
 * New large buffers are slow: the kernel maps and zeroes them page by page, and the garbage
 * collector frees them late. The slab that was released last is reused first, because it may still be in
 * the processor's cache. If the pool is full of free slabs, one that is released takes the place of those
 * whose size was not used for the longest time: otherwise free slabs of a size that is not requested would
 * stay, and each request would allocate.
 */
export class SlabPool {
  readonly #bytesMax: number;
  readonly #idleBytesMax: number;
  readonly #allocate: (lengthBytes: number) => Uint8Array;
  /** Free slabs by size. The most recently used size is last. No list is empty. */
  readonly #idle = new Map<number, Uint8Array[]>();
  /** Requests that wait for room, in the order of the calls. */
  readonly #waiting = new Set<SlabRequest>();
  #idleBytes = 0;
  #acquiredBytes = 0;

  constructor(options: SlabPoolOptions) {
    assert(options.bytesMax >= SLAB_BYTES_MIN, "a pool has room for a slab");
    this.#bytesMax = options.bytesMax;
    this.#idleBytesMax = options.idleBytesMax ?? options.bytesMax;
    this.#allocate = options.allocate ?? ((lengthBytes) => new Uint8Array(lengthBytes));
  }

  /**
   * Sum of the sizes of the slabs in use, each rounded up: see `slabBytes`. 0 when all slabs are
   * released.
   */
  get acquiredBytes(): number {
    return this.#acquiredBytes;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** Returns a slab, or null if it does not fit now or other requests are waiting. */
  tryAcquire(lengthBytes: number): Slab | null {
    if (this.#waiting.size > 0) return null;
    return this.#fits(lengthBytes) ? this.#take(lengthBytes) : null;
  }

  /**
   * Resolves to a slab as soon as the pool has room for it, in the order of the requests.
   *
   * @throws the reason of `signal` if it aborts first
   */
  acquire(lengthBytes: number, signal: AbortSignal): Promise<Slab> {
    const slab = this.tryAcquire(lengthBytes);
    if (slab !== null) return Promise.resolve(slab);
    return grantOrAbort(signal, (onSlab) => this.requestSlab(lengthBytes, onSlab));
  }

  /**
   * Passes a slab to `onSlab`: within this call if there is room, else as soon as enough slabs are
   * released, in the order of the requests.
   *
   * @returns a function that cancels the request; it has no effect once `onSlab` was called
   */
  requestSlab(lengthBytes: number, onSlab: (slab: Slab) => void): () => void {
    const slab = this.tryAcquire(lengthBytes);
    if (slab !== null) {
      onSlab(slab);
      return () => {};
    }
    const request: SlabRequest = { lengthBytes, onSlab };
    this.#waiting.add(request);
    return () => {
      if (this.#waiting.delete(request)) this.#serveWaiting();
    };
  }

  /**
   * A slab larger than the whole pool fits when no other slab is in use. Otherwise its request
   * would wait forever.
   */
  #fits(lengthBytes: number): boolean {
    return (
      this.#acquiredBytes === 0 || this.#acquiredBytes + slabBytes(lengthBytes) <= this.#bytesMax
    );
  }

  #take(lengthBytes: number): Slab {
    const size = slabBytes(lengthBytes);
    this.#acquiredBytes += size;
    const free = this.#takeIdle(size);
    return new PooledSlab(free ?? this.#allocate(size), lengthBytes, (buffer) =>
      this.#recycle(buffer),
    );
  }

  #recycle(buffer: Uint8Array): void {
    this.#acquiredBytes -= buffer.length;
    assert(this.#acquiredBytes >= 0, "the bytes that return were acquired before");
    this.#keep(buffer);
    if (this.#waiting.size > 0) this.#serveWaiting();
  }

  /** Keeps a free slab, in the place of free slabs of other sizes if there is no room. */
  #keep(buffer: Uint8Array): void {
    const size = buffer.length;
    if (size > this.#idleBytesMax) return;
    const list = this.#idle.get(size) ?? [];
    this.#idle.delete(size);
    for (const [other, slabs] of this.#idle) {
      while (this.#idleBytes + size > this.#idleBytesMax && slabs.pop() !== undefined) {
        this.#idleBytes -= other;
      }
      if (slabs.length === 0) this.#idle.delete(other);
    }
    if (this.#idleBytes + size <= this.#idleBytesMax) {
      list.push(buffer);
      this.#idleBytes += size;
    }
    if (list.length > 0) this.#idle.set(size, list);
  }

  #takeIdle(size: number): Uint8Array | undefined {
    const list = this.#idle.get(size);
    const buffer = list?.pop();
    if (list === undefined || buffer === undefined) return undefined;
    this.#idleBytes -= size;
    this.#idle.delete(size);
    if (list.length > 0) this.#idle.set(size, list);
    return buffer;
  }

  #serveWaiting(): void {
    for (const request of this.#waiting) {
      if (!this.#fits(request.lengthBytes)) return;
      this.#waiting.delete(request);
      request.onSlab(this.#take(request.lengthBytes));
    }
  }
}

interface SlabRequest {
  readonly lengthBytes: number;
  readonly onSlab: (slab: Slab) => void;
}

class PooledSlab implements Slab {
  readonly bytes: Uint8Array;
  readonly #buffer: Uint8Array;
  readonly #recycle: (buffer: Uint8Array) => void;
  #references = 1;

  constructor(buffer: Uint8Array, lengthBytes: number, recycle: (buffer: Uint8Array) => void) {
    this.#buffer = buffer;
    this.bytes = lengthBytes === buffer.length ? buffer : buffer.subarray(0, lengthBytes);
    this.#recycle = recycle;
  }

  retain(): void {
    assert(this.#references > 0, "a slab is retained only before its last release");
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a slab is released once for every reference");
    this.#references -= 1;
    if (this.#references === 0) this.#recycle(this.#buffer);
  }
}

/**
 * Returns the size of the smallest slab that holds `lengthBytes`: a multiple of SLAB_BYTES_MIN, and from
 * 16 KiB on a power of two times 1, 1.25, 1.5 or 1.75. So there are few sizes, and a slab for whole blocks is
 * at most SLAB_SHARE_MAX times as large as they.
 */
export function slabBytes(lengthBytes: number): number {
  let power = SLAB_BYTES_MIN;
  while (2 * power < lengthBytes) power *= 2;
  const step = Math.max(SLAB_BYTES_MIN, power / 4);
  return Math.max(1, Math.ceil(lengthBytes / step)) * step;
}
