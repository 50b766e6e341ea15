import { slabBytes } from "../flow/slabs.ts";

/** Bodies of up to this length are copied to the heap. Larger bodies are read into a slab. */
export const COPIED_BODY_BYTES_MAX = 4096;

/** Bounds a sum of bytes: of one connection, and of all connections of one role. */
export class ByteBudget {
  readonly #bytesMax: number;
  /** The budget that all connections of one role share. Null if this is the shared budget. */
  readonly #total: ByteBudget | null;
  #bytes = 0;

  constructor(bytesMax: number, total: ByteBudget | null = null) {
    this.#bytesMax = bytesMax;
    this.#total = total;
  }

  /** Takes bytes. Returns whether they fit; a lone user always does. */
  acquire(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    if (this.#total?.acquire(bytes) === false) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Returns bytes that `acquire` has taken. */
  release(bytes: number): void {
    this.#bytes -= bytes;
    this.#total?.release(bytes);
  }

  /** Takes the memory of a body, with its whole slab, until the lease is released. Null if it does not fit. */
  leaseBody(lengthBytes: number): BodyLease | null {
    const bytes = lengthBytes > COPIED_BODY_BYTES_MAX ? slabBytes(lengthBytes) : lengthBytes;
    if (!this.acquire(bytes)) return null;
    return { release: () => this.release(bytes) };
  }
}

/** Memory for one body. Released once, when the body is no longer used. */
export interface BodyLease {
  release(): void;
}

/** The lease of a body whose memory is bounded otherwise: by the windows of its stream. */
export const COVERED_BODY: BodyLease = { release: () => {} };
