import { assert } from "../base/assert.ts";

/** The unit of direct I/O that every disk and file system of today takes: open(2), O_DIRECT. */
export const PAGE_BYTES = 4096;

/** Of the language's own; TypeScript describes it only for browsers. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

const ARENA_BYTES = 16 * 1024 * 1024;
/** The unit of a WebAssembly.Memory. */
const WASM_PAGE_BYTES = 64 * 1024;
/** Smaller buffers do not go past the page cache anyway. */
const ALIGNED_BYTES_MIN = 128 * 1024;

/** Memory that `PageMemory` made. */
const arenas = new WeakSet<ArrayBufferLike>();

/**
 * Makes buffers that begin at a page boundary, which direct I/O asks for and which Node promises for
 * no other memory: a WebAssembly.Memory is mapped by pages. Its pages are taken from the system only
 * when they are touched.
 */
export class PageMemory {
  #arena: Uint8Array = new Uint8Array(0);
  #usedBytes = 0;

  /** A buffer of `lengthBytes`; at a page boundary if it is large enough to matter. */
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
    assert(memory.buffer.byteLength === bytes, "a memory has the size that was asked for");
    arenas.add(memory.buffer);
    this.#arena = new Uint8Array(memory.buffer);
    this.#usedBytes = 0;
  }
}

/** Whether `bytes` begin at a page boundary; false also when that is not known. */
export function isAtPage(bytes: Uint8Array): boolean {
  return bytes.byteOffset % PAGE_BYTES === 0 && arenas.has(bytes.buffer);
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
