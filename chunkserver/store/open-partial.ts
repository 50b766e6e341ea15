import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { Extent } from "./chunk-record.ts";
import type { ExtentFile } from "./extent-files.ts";
import type { SpaceClaim } from "./reserve.ts";

/** Place for the bytes of a partial chunk. */
export interface PartialAllocation {
  readonly file: ExtentFile;
  readonly offsetBytes: number;
  readonly capacityBytes: number;
}

/**
 * The bytes of a chunk that is not sealed. They are in an extent file, without a record.
 *
 * Invariant: the first `receivedBytes` bytes were verified against the block hashes kept here and
 * were written. Bytes beyond them in the file have no meaning.
 */
export class OpenPartial {
  readonly allocation: PartialAllocation;
  readonly #claim: SpaceClaim;
  readonly #hashes: Uint8Array;
  #receivedBytes = 0;
  #writesInFlight = 0;
  readonly #onIdle: (() => void)[] = [];
  #error: unknown = null;

  constructor(allocation: PartialAllocation, claim: SpaceClaim) {
    this.allocation = allocation;
    this.#claim = claim;
    this.#hashes = new Uint8Array(blockCount(allocation.capacityBytes) * DIGEST_BYTES);
  }

  /** Bytes received from the start without a gap. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Whether a write failed. The partial chunk then cannot be used further. */
  get isBroken(): boolean {
    return this.#error !== null;
  }

  /** Returns a copy of the hashes of the blocks in the first `lengthBytes` bytes. */
  hashes(lengthBytes: number): Uint8Array {
    assert(lengthBytes <= this.#receivedBytes, "only received bytes have hashes");
    return this.#hashes.slice(0, blockCount(lengthBytes) * DIGEST_BYTES);
  }

  /**
   * Writes blocks that the caller has verified against `hashes`. Resolves when the operating system
   * has accepted the bytes (not durable). Several writes may be in progress. Each starts where the
   * previous one ends.
   *
   * @throws {AshlarError} INVALID_ARGUMENT beyond the capacity. NO_SPACE, DISK_FAILED: the partial
   *   chunk cannot be used further.
   */
  async write(offsetBytes: number, hashes: Uint8Array, bytes: Uint8Array): Promise<void> {
    assert(offsetBytes % BLOCK_BYTES === 0, "a write starts at a block boundary");
    assert(hashes.length === blockCount(bytes.length) * DIGEST_BYTES, "each block has a hash");
    if (this.#error !== null) throw this.#error;
    const endBytes = offsetBytes + bytes.length;
    if (endBytes > this.allocation.capacityBytes) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot write blocks up to byte ${endBytes}: expected at most the announced size of ${this.allocation.capacityBytes} bytes`,
      );
    }
    this.#hashes.set(hashes, (offsetBytes / BLOCK_BYTES) * DIGEST_BYTES);
    this.#writesInFlight += 1;
    try {
      await this.allocation.file.write(bytes, this.allocation.offsetBytes + offsetBytes);
    } catch (error) {
      this.#error = error;
      throw error;
    } finally {
      this.#writesInFlight -= 1;
      if (this.#writesInFlight === 0) for (const wake of this.#onIdle.splice(0)) wake();
    }
    this.#claim.markWritten(bytes.length);
    // An earlier write failed while both were in progress: there is a gap before these bytes.
    if (this.#error !== null) throw this.#error;
    // Writes to one file complete in the order of the calls.
    assert(offsetBytes <= this.#receivedBytes, "there is no gap between writes");
    this.#receivedBytes = Math.max(this.#receivedBytes, endBytes);
  }

  /** Drops the bytes beyond `lengthBytes`, a block boundary. No write may be in progress. */
  truncate(lengthBytes: number): void {
    assert(this.#writesInFlight === 0, "no write is in progress");
    assert(lengthBytes % BLOCK_BYTES === 0, "a partial chunk ends at a block boundary");
    this.#receivedBytes = Math.min(this.#receivedBytes, lengthBytes);
  }

  /** Resolves when no write is in progress. */
  idle(): Promise<void> {
    if (this.#writesInFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** Makes the received bytes durable. @throws {AshlarError} DISK_FAILED */
  async sync(): Promise<void> {
    if (this.#error !== null) throw this.#error;
    await this.allocation.file.sync();
  }

  /** Returns the extent of a chunk of `lengthBytes`, which must all be received. */
  extent(lengthBytes: number): Extent {
    assert(lengthBytes === this.#receivedBytes, "all bytes of a sealed chunk were received");
    return {
      file: this.allocation.file.name,
      offsetBytes: this.allocation.offsetBytes,
      lengthBytes,
    };
  }

  /** Releases the file and the unused rest of the claimed space. The bytes stay on the disk. */
  release(): void {
    assert(this.#writesInFlight === 0, "no write is in progress");
    this.#claim.release();
    this.allocation.file.release();
  }
}
