/**
 * The memory of the requests in progress, as the sum of the lengths of their heads. A decoded head
 * takes a small multiple of its length.
 */
export class RequestMemory {
  readonly #bytesMax: number;
  /** The memory of all connections of a process, which contains this one. Null for that itself. */
  readonly #total: RequestMemory | null;
  #bytes = 0;

  constructor(bytesMax: number, total: RequestMemory | null = null) {
    this.#bytesMax = bytesMax;
    this.#total = total;
  }

  /** Reserves memory for a request. Returns whether it fits; a lone request always does. */
  acquire(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    if (this.#total?.acquire(bytes) === false) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Releases the memory of a request that has ended. */
  release(bytes: number): void {
    this.#bytes -= bytes;
    this.#total?.release(bytes);
  }
}
