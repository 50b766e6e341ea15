import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";
import type { Extent } from "./chunk-record.ts";
import type { ExtentFile } from "./extent-files.ts";

/** A chunk, or the first bytes of a partial chunk, open for reading. `release` closes its files. */
export interface BlockReader {
  readonly lengthBytes: number;
  /** Returns the hashes of all blocks, 32 bytes each, in order. */
  hashes(): Uint8Array;
  /**
   * Fills `target` with the bytes from `offsetBytes`. The bytes are not verified.
   *
   * @throws {AshlarError} CHUNK_NOT_FOUND if a file is too short or cannot be read. The replica is
   *   then removed from the index.
   */
  read(target: Uint8Array, offsetBytes: number, use?: CacheUse): Promise<void>;
  /** Releases the files. Called once. */
  release(): void;
}

/** Reads bytes from extents. */
export class ExtentReader implements BlockReader {
  readonly lengthBytes: number;
  readonly #extents: readonly Extent[];
  readonly #files: readonly ExtentFile[];
  readonly #readHashes: () => Uint8Array;
  readonly #onDamaged: (reason: string) => Promise<void>;

  /** `files[i]` is the file of `extents[i]`. The reader releases the files. */
  constructor(options: {
    readonly extents: readonly Extent[];
    readonly files: readonly ExtentFile[];
    readonly readHashes: () => Uint8Array;
    /** Called when bytes are missing or unreadable. */
    readonly onDamaged: (reason: string) => Promise<void>;
  }) {
    assert(options.extents.length === options.files.length, "each extent has a file");
    this.#extents = options.extents;
    this.#files = options.files;
    this.#readHashes = options.readHashes;
    this.#onDamaged = options.onDamaged;
    let lengthBytes = 0;
    for (const extent of options.extents) lengthBytes += extent.lengthBytes;
    this.lengthBytes = lengthBytes;
  }

  hashes(): Uint8Array {
    return this.#readHashes();
  }

  async read(target: Uint8Array, offsetBytes: number, use: CacheUse = "keep"): Promise<void> {
    assert(offsetBytes + target.length <= this.lengthBytes, "a read ends within the chunk");
    let startBytes = 0;
    for (const [position, extent] of this.#extents.entries()) {
      const from = Math.max(offsetBytes, startBytes);
      const to = Math.min(offsetBytes + target.length, startBytes + extent.lengthBytes);
      if (from < to) {
        const part = target.subarray(from - offsetBytes, to - offsetBytes);
        const file = this.#files[position];
        assert(file !== undefined, "each extent has a file");
        await this.#readExtent(file, part, extent.offsetBytes + from - startBytes, use);
      }
      startBytes += extent.lengthBytes;
    }
  }

  release(): void {
    for (const file of this.#files) file.release();
  }

  async #readExtent(
    file: ExtentFile,
    part: Uint8Array,
    offsetBytes: number,
    use: CacheUse,
  ): Promise<void> {
    const count = await tryRead(() => file.read(part, offsetBytes, use));
    if (count === part.length) return;
    const found = count === null ? "they cannot be read" : `the file ends after ${count} of them`;
    const reason = `${file.name}: ${part.length} bytes at ${offsetBytes}: ${found}`;
    await this.#onDamaged(reason);
    throw new AshlarError("CHUNK_NOT_FOUND", `Cannot read bytes of a chunk: ${reason}`);
  }
}

/** Returns the bytes read. Null on EIO: a damaged sector, which is not a failed disk. */
async function tryRead(read: () => Promise<number>): Promise<number | null> {
  try {
    return await read();
  } catch (error) {
    if (isAshlarError(error, "DISK_FAILED") && error.details["errno"] === "EIO") return null;
    throw error;
  }
}
