import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import type { ClientDeps } from "../client-deps.ts";
import type { Deadline } from "../deadline.ts";
import type { Slab } from "../results.ts";

/**
 * A part of a chunk whose id proves that all its bytes are zero. No chunkserver is asked. The slabs
 * share static memory.
 */
export class ZeroSegment {
  readonly #zeroBlocks: ClientDeps["zeroBlocks"];
  readonly #deadline: Deadline;
  readonly #endBytes: number;
  #positionBytes: number;

  /** @param range offsets in the file */
  constructor(
    zeroBlocks: ClientDeps["zeroBlocks"],
    deadline: Deadline,
    range: { readonly startBytes: number; readonly endBytes: number },
  ) {
    this.#zeroBlocks = zeroBlocks;
    this.#deadline = deadline;
    this.#positionBytes = range.startBytes;
    this.#endBytes = range.endBytes;
  }

  /** Bytes that were not returned yet. */
  get remainingBytes(): number {
    return this.#endBytes - this.#positionBytes;
  }

  /** Returns the next bytes, or null after the last. @throws {AshlarError} CANCELLED, … */
  next(): Promise<Slab | null> {
    this.#deadline.check();
    const lengthBytes = Math.min(this.remainingBytes, FRAME_BYTES_MAX);
    if (lengthBytes === 0) return Promise.resolve(null);
    const positionBytes = this.#positionBytes;
    this.#positionBytes += lengthBytes;
    const bytes = this.#zeroBlocks.bytes(lengthBytes);
    return Promise.resolve({ bytes, positionBytes, release: () => {} });
  }

  cancel(): void {}
}
