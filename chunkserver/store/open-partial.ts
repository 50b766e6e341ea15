import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { BLOCK_BYTES, DIGEST_BYTES } from "../../shared/base/ids.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import type { Extent } from "./chunk-record.ts";
import type { ExtentFile } from "./extent-files.ts";
import type { SpaceClaim } from "./reserve.ts";

/** Where a partial chunk's bytes go. */
export interface PartialRoom {
  readonly file: ExtentFile;
  readonly offsetBytes: number;
  readonly capacityBytes: number;
}

/**
 * The bytes of a chunk that is not sealed: in an extent file, named by no record.
 *
 * Invariant: `receivedBytes` bytes from the start were verified against the block hashes kept here,
 * and were written. What lies beyond in the file means nothing.
 */
export class OpenPartial {
  readonly room: PartialRoom;
  readonly #claim: SpaceClaim;
  readonly #hashes: Uint8Array;
  #receivedBytes = 0;
  #writesInFlight = 0;
  readonly #onIdle: (() => void)[] = [];
  #error: unknown = null;

  constructor(room: PartialRoom, claim: SpaceClaim) {
    this.room = room;
    this.#claim = claim;
    this.#hashes = new Uint8Array(blockCount(room.capacityBytes) * DIGEST_BYTES);
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** A write failed: the partial chunk is of no use any more. */
  get isBroken(): boolean {
    return this.#error !== null;
  }

  /** The hashes of the blocks of the first `lengthBytes` bytes. A copy. */
  hashes(lengthBytes: number): Uint8Array {
    assert(lengthBytes <= this.#receivedBytes, "only what was received has hashes");
    return this.#hashes.slice(0, blockCount(lengthBytes) * DIGEST_BYTES);
  }

  /**
   * Writes blocks that the caller has checked against `hashes`. Resolves when the system has taken
   * the bytes (not durable). Several writes may be under way; they follow one another without gap.
   *
   * @throws {AshlarError} INVALID_ARGUMENT beyond the capacity; NO_SPACE, DISK_FAILED: the partial
   *   chunk is of no use any more.
   */
  async write(offsetBytes: number, hashes: Uint8Array, bytes: Uint8Array): Promise<void> {
    assert(offsetBytes % BLOCK_BYTES === 0, "blocks begin at a block boundary");
    assert(hashes.length === blockCount(bytes.length) * DIGEST_BYTES, "a hash for every block");
    if (this.#error !== null) throw this.#error;
    const endBytes = offsetBytes + bytes.length;
    if (endBytes > this.room.capacityBytes) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot write blocks up to byte ${endBytes}: expected at most the ${this.room.capacityBytes} bytes that the write announced`,
      );
    }
    this.#hashes.set(hashes, (offsetBytes / BLOCK_BYTES) * DIGEST_BYTES);
    this.#writesInFlight += 1;
    try {
      await this.room.file.write(bytes, this.room.offsetBytes + offsetBytes);
    } catch (error) {
      this.#error = error;
      throw error;
    } finally {
      this.#writesInFlight -= 1;
      if (this.#writesInFlight === 0) for (const wake of this.#onIdle.splice(0)) wake();
    }
    this.#claim.written(bytes.length);
    // A write before this one failed while both were under way: there is a gap before these bytes.
    if (this.#error !== null) throw this.#error;
    // Writes to one file end in the order of the calls.
    assert(offsetBytes <= this.#receivedBytes, "blocks follow one another without gap");
    this.#receivedBytes = Math.max(this.#receivedBytes, endBytes);
  }

  /** Forgets what lies beyond `lengthBytes`, a block boundary. No write may be under way. */
  truncate(lengthBytes: number): void {
    assert(this.#writesInFlight === 0, "bytes under way are not forgotten");
    assert(lengthBytes % BLOCK_BYTES === 0, "a partial chunk ends at a block boundary");
    this.#receivedBytes = Math.min(this.#receivedBytes, lengthBytes);
  }

  /** Resolves when no write is under way. */
  idle(): Promise<void> {
    if (this.#writesInFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** What was received is durable when it resolves. @throws {AshlarError} DISK_FAILED */
  async sync(): Promise<void> {
    if (this.#error !== null) throw this.#error;
    await this.room.file.sync();
  }

  /** The extent of a chunk of `lengthBytes`, all received. */
  extent(lengthBytes: number): Extent {
    assert(lengthBytes === this.#receivedBytes, "a chunk is sealed whole");
    return { file: this.room.file.name, offsetBytes: this.room.offsetBytes, lengthBytes };
  }

  /** Gives back the file and the rest of the promised space. The bytes stay where they are. */
  release(): void {
    assert(this.#writesInFlight === 0, "a file is released after its last write");
    this.#claim.release();
    this.room.file.release();
  }
}
