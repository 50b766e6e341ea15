import { assert } from "../base/assert.ts";

/** The smallest slab. A smaller one would cost more to account for than to copy. */
const SLAB_BYTES_MIN = 4096;

export interface SlabPoolOptions {
  /** Bytes that may be lent at one time. A lender above it waits. */
  readonly bytesMax: number;
  /** Bytes of free slabs kept for the next ones; what is above goes to the garbage collector. */
  readonly idleBytesMax?: number;
  /** Where fresh slabs come from. Default: the heap. */
  readonly allocate?: (lengthBytes: number) => Uint8Array;
}

/** Bytes lent by a pool until everyone who retains them has released them. */
export interface Slab {
  /** Of the length that was asked for. Not to be touched after the last `release`. */
  readonly bytes: Uint8Array;
  /** One more `release` is needed. */
  retain(): void;
  release(): void;
}

/**
 * Large buffers that are used again and again, accounted and bounded.
 *
 * Fresh large buffers are slow: the kernel maps and zeroes them page by page, and the garbage
 * collector gives them back late. A slab has a power of two of bytes; the last one that was given
 * back is lent first, because it may still be in the processor's cache.
 */
export class SlabPool {
  readonly #bytesMax: number;
  readonly #idleBytesMax: number;
  readonly #allocate: (lengthBytes: number) => Uint8Array;
  /** Free slabs by size. */
  readonly #idle = new Map<number, Uint8Array[]>();
  readonly #waiting = new Set<Waiting>();
  #idleBytes = 0;
  #lentBytes = 0;

  constructor(options: SlabPoolOptions) {
    assert(options.bytesMax >= SLAB_BYTES_MIN, "a pool has room for a slab");
    this.#bytesMax = options.bytesMax;
    this.#idleBytesMax = options.idleBytesMax ?? options.bytesMax;
    this.#allocate = options.allocate ?? ((lengthBytes) => new Uint8Array(lengthBytes));
  }

  /** Bytes lent now, with what sizes were rounded up by. 0 when everything was given back. */
  get lentBytes(): number {
    return this.#lentBytes;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** A slab, or null if it does not fit now, or others have been waiting for one. */
  take(lengthBytes: number): Slab | null {
    if (this.#waiting.size > 0) return null;
    return this.#fits(lengthBytes) ? this.#lend(lengthBytes) : null;
  }

  /**
   * Hands a slab to `onSlab`: at once if there is room, else as soon as others give theirs back, in
   * the order of the calls. The returned function withdraws the request; it does nothing afterwards.
   */
  takeSoon(lengthBytes: number, onSlab: (slab: Slab) => void): () => void {
    const slab = this.take(lengthBytes);
    if (slab !== null) {
      onSlab(slab);
      return () => {};
    }
    const waiting: Waiting = { lengthBytes, onSlab };
    this.#waiting.add(waiting);
    return () => {
      if (this.#waiting.delete(waiting)) this.#serveWaiting();
    };
  }

  /** A slab larger than the whole pool is lent when nothing else is: it could never fit otherwise. */
  #fits(lengthBytes: number): boolean {
    return this.#lentBytes === 0 || this.#lentBytes + slabBytes(lengthBytes) <= this.#bytesMax;
  }

  #lend(lengthBytes: number): Slab {
    const size = slabBytes(lengthBytes);
    this.#lentBytes += size;
    const free = this.#idle.get(size)?.pop();
    if (free !== undefined) this.#idleBytes -= size;
    return new LentSlab(free ?? this.#allocate(size), lengthBytes, (buffer) =>
      this.#takeBack(buffer),
    );
  }

  #takeBack(buffer: Uint8Array): void {
    this.#lentBytes -= buffer.length;
    assert(this.#lentBytes >= 0, "no more comes back than was lent");
    if (this.#idleBytes + buffer.length <= this.#idleBytesMax) {
      this.#idleBytes += buffer.length;
      const list = this.#idle.get(buffer.length);
      if (list === undefined) this.#idle.set(buffer.length, [buffer]);
      else list.push(buffer);
    }
    if (this.#waiting.size > 0) this.#serveWaiting();
  }

  #serveWaiting(): void {
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.lengthBytes)) return;
      this.#waiting.delete(waiting);
      waiting.onSlab(this.#lend(waiting.lengthBytes));
    }
  }
}

interface Waiting {
  readonly lengthBytes: number;
  readonly onSlab: (slab: Slab) => void;
}

class LentSlab implements Slab {
  readonly bytes: Uint8Array;
  readonly #buffer: Uint8Array;
  readonly #giveBack: (buffer: Uint8Array) => void;
  #references = 1;

  constructor(buffer: Uint8Array, lengthBytes: number, giveBack: (buffer: Uint8Array) => void) {
    this.#buffer = buffer;
    this.bytes = lengthBytes === buffer.length ? buffer : buffer.subarray(0, lengthBytes);
    this.#giveBack = giveBack;
  }

  retain(): void {
    assert(this.#references > 0, "a slab that was given back is not retained");
    this.#references += 1;
  }

  release(): void {
    assert(this.#references > 0, "a slab is released once by everyone who retains it");
    this.#references -= 1;
    if (this.#references === 0) this.#giveBack(this.#buffer);
  }
}

function slabBytes(lengthBytes: number): number {
  let size = SLAB_BYTES_MIN;
  while (size < lengthBytes) size *= 2;
  return size;
}
