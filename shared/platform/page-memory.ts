import { assert } from "../base/assert.ts";

/** Alignment of direct I/O that all current disks and file systems accept: open(2), O_DIRECT. */
export const PAGE_BYTES = 4096;

/** Node has WebAssembly, but TypeScript declares it only in its library for browsers. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

const ARENA_BYTES = 16 * 1024 * 1024;
/** The unit of a WebAssembly.Memory. */
const WASM_PAGE_BYTES = 64 * 1024;
/** Smaller buffers are never used for direct I/O. */
const ALIGNED_BYTES_MIN = 128 * 1024;

/** Buffers that `PageMemory` allocated. */
const arenas = new WeakSet<ArrayBufferLike>();

/**
 * Allocates buffers that begin at a page boundary, as direct I/O requires. Node guarantees this
 * alignment only for WebAssembly.Memory, which is mapped by pages. The system allocates the pages
 * at their first use.
 */
export class PageMemory {
  #arena: Uint8Array = new Uint8Array(0);
  #usedBytes = 0;

  /** Returns a buffer of `lengthBytes`. It begins at a page boundary from ALIGNED_BYTES_MIN on. */
  allocate(lengthBytes: number): Uint8Array {
    if (lengthBytes < ALIGNED_BYTES_MIN) return new Uint8Array(lengthBytes);
    const roundedBytes = roundUp(lengthBytes, PAGE_BYTES);
    if (this.#usedBytes + roundedBytes > this.#arena.length) this.#newArena(roundedBytes);
    const start = this.#usedBytes;
    this.#usedBytes += roundedBytes;
    return this.#arena.subarray(start, start + lengthBytes);
  }

  #newArena(bytesMin: number): void {
    const bytes = Math.max(ARENA_BYTES, roundUp(bytesMin, WASM_PAGE_BYTES));
    const pages = bytes / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    assert(memory.buffer.byteLength === bytes, "a memory has the requested size");
    arenas.add(memory.buffer);
    this.#arena = new Uint8Array(memory.buffer);
    this.#usedBytes = 0;
  }
}

/** Returns whether `bytes` begin at a page boundary. False if their alignment is unknown. */
export function isAtPage(bytes: Uint8Array): boolean {
  return bytes.byteOffset % PAGE_BYTES === 0 && arenas.has(bytes.buffer);
}

/** Length of a scratch buffer: the largest small chunk and a page. */
const SCRATCH_BYTES = 1024 * 1024 + PAGE_BYTES;
/** Free scratch buffers: as many as were used at the same time. Their arenas are never freed. */
const scratchBuffers: Uint8Array[] = [];
const scratchMemory = new PageMemory();

/** Returns a buffer for a direct read, at a page boundary. The caller returns it. */
export function takeScratch(): Uint8Array {
  return scratchBuffers.pop() ?? scratchMemory.allocate(SCRATCH_BYTES);
}

/** Takes back a buffer of `takeScratch` that no call uses. */
export function returnScratch(buffer: Uint8Array): void {
  scratchBuffers.push(buffer);
}

/** Returns `bytes` rounded up to a multiple of `unit`. */
export function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
