import { assert } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";
import type { Extent } from "./chunk-record.ts";
import type { ExtentFile } from "./extent-files.ts";

/** A chunk, or the first bytes of a partial one, open for reading. Its files stay open until `release`. */
export interface BlockReader {
  readonly lengthBytes: number;
  /** The hashes of all blocks, one after the other. */
  hashes(): Uint8Array;
  /**
   * Fills `target` with the bytes from `offsetBytes`. They are not verified.
   *
   * @throws {AshlarError} CHUNK_NOT_FOUND if the bytes are not there (a short or unreadable file):
   *   the copy no longer counts.
   */
  read(target: Uint8Array, offsetBytes: number, use?: CacheUse): Promise<void>;
  release(): void;
}

/** Reads bytes that lie in extents. */
export class ExtentReader implements BlockReader {
  readonly lengthBytes: number;
  readonly #extents: readonly Extent[];
  readonly #files: readonly ExtentFile[];
  readonly #readHashes: () => Uint8Array;
  readonly #onDamaged: (reason: string) => Promise<void>;

  /** `files[i]` is the file of `extents[i]`; the reader releases them. */
  constructor(options: {
    readonly extents: readonly Extent[];
    readonly files: readonly ExtentFile[];
    readonly readHashes: () => Uint8Array;
    /** The bytes turned out to be missing or unreadable. */
    readonly onDamaged: (reason: string) => Promise<void>;
  }) {
    assert(options.extents.length === options.files.length, "a file for every extent");
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
    assert(offsetBytes + target.length <= this.lengthBytes, "a read ends in the chunk");
    let startBytes = 0;
    for (const [position, extent] of this.#extents.entries()) {
      const from = Math.max(offsetBytes, startBytes);
      const to = Math.min(offsetBytes + target.length, startBytes + extent.lengthBytes);
      if (from < to) {
        const part = target.subarray(from - offsetBytes, to - offsetBytes);
        const file = this.#files[position];
        assert(file !== undefined, "a file for every extent");
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
    const found = count === null ? "it cannot be read" : `it ends after ${count} of them`;
    const reason = `${file.name}: ${part.length} bytes at ${offsetBytes}: ${found}`;
    await this.#onDamaged(reason);
    throw new AshlarError("CHUNK_NOT_FOUND", `Cannot read a chunk's bytes: ${reason}`);
  }
}

/** Bytes read, or null if the disk cannot read them (EIO): a damaged place, not a failed disk. */
async function tryRead(read: () => Promise<number>): Promise<number | null> {
  try {
    return await read();
  } catch (error) {
    if (isAshlarError(error, "DISK_FAILED") && error.details["errno"] === "EIO") return null;
    throw error;
  }
}
