import { assert } from "../../shared/base/assert.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { CacheUse } from "../../shared/ports/disk.ts";
import type { Extent, ExtentFileName } from "./chunk-record.ts";
import type { ExtentFile } from "./extent-files.ts";
import { type ExtentRead, readExtent, readExtentAgain } from "./read-extent.ts";

/** A chunk, or the first bytes of a partial chunk, open for reading. `release` closes its files. */
export interface BlockReader {
  readonly lengthBytes: number;
  /** Returns the hashes of all blocks, 32 bytes each, in order. */
  hashes(): Uint8Array;
  /**
   * Fills `target` with the bytes from `offsetBytes`. The bytes are not verified.
   *
   * @throws {AshlarError} CHUNK_NOT_FOUND if a file is too short: the replica is then removed from
   *   the index. Also if the disk cannot read the bytes with any descriptor: the replica is then kept
   *   and reported.
   */
  read(target: Uint8Array, offsetBytes: number, use?: CacheUse): Promise<void>;
  /**
   * The same as `read`, with descriptors of its own, and first past the page cache. For bytes that do
   * not match their hash: the copy is condemned only if they still do not.
   */
  readAgain(target: Uint8Array, offsetBytes: number): Promise<void>;
  /** Releases the files. Called once. */
  release(): void;
}

/** What an `ExtentReader` reports. */
interface ReadEvents {
  /** Called when bytes are missing: the files end before them. */
  readonly onDamaged: (reason: string) => Promise<void>;
  /** Called when the disk cannot read the bytes of an extent at `offsetBytes` of its file. */
  readonly onUnreadable: (failure: ReadFailure) => void;
}

/** A place of a file that the disk cannot read. */
export interface ReadFailure {
  readonly file: ExtentFileName;
  readonly offsetBytes: number;
  readonly error: AshlarError;
}

/** Reads bytes from extents. */
export class ExtentReader implements BlockReader {
  readonly lengthBytes: number;
  readonly #extents: readonly Extent[];
  readonly #files: readonly ExtentFile[];
  readonly #readHashes: () => Uint8Array;
  readonly #events: ReadEvents;

  /** `files[i]` is the file of `extents[i]`. The reader releases the files. */
  constructor(
    options: ReadEvents & {
      readonly extents: readonly Extent[];
      readonly files: readonly ExtentFile[];
      readonly readHashes: () => Uint8Array;
    },
  ) {
    assert(options.extents.length === options.files.length, "each extent has a file");
    this.#extents = options.extents;
    this.#files = options.files;
    this.#readHashes = options.readHashes;
    this.#events = options;
    let lengthBytes = 0;
    for (const extent of options.extents) lengthBytes += extent.lengthBytes;
    this.lengthBytes = lengthBytes;
  }

  hashes(): Uint8Array {
    return this.#readHashes();
  }

  read(target: Uint8Array, offsetBytes: number, use: CacheUse = "keep"): Promise<void> {
    return this.#readParts(target, offsetBytes, (file, part, partOffsetBytes) =>
      readExtent(file, part, partOffsetBytes, use),
    );
  }

  readAgain(target: Uint8Array, offsetBytes: number): Promise<void> {
    return this.#readParts(target, offsetBytes, (file, part, partOffsetBytes) =>
      readExtentAgain(file, part, partOffsetBytes, "keep"),
    );
  }

  async #readParts(target: Uint8Array, offsetBytes: number, readPart: ReadPart): Promise<void> {
    assert(offsetBytes + target.length <= this.lengthBytes, "a read ends within the chunk");
    let startBytes = 0;
    for (const [position, extent] of this.#extents.entries()) {
      const from = Math.max(offsetBytes, startBytes);
      const to = Math.min(offsetBytes + target.length, startBytes + extent.lengthBytes);
      if (from < to) {
        const part = target.subarray(from - offsetBytes, to - offsetBytes);
        const file = this.#files[position];
        assert(file !== undefined, "each extent has a file");
        const partOffsetBytes = extent.offsetBytes + from - startBytes;
        const result = await readPart(file, part, partOffsetBytes);
        if (result.kind !== "whole") await this.#reportFailure(file, partOffsetBytes, result);
      }
      startBytes += extent.lengthBytes;
    }
  }

  release(): void {
    for (const file of this.#files) file.release();
  }

  async #reportFailure(
    { name }: ExtentFile,
    offsetBytes: number,
    result: Exclude<ExtentRead, { kind: "whole" }>,
  ): Promise<never> {
    const place = `${name} at byte ${offsetBytes}`;
    if (result.kind === "short") {
      const reason = `${place}: the file ends after ${result.countBytes} bytes`;
      await this.#events.onDamaged(reason);
      throw new AshlarError("CHUNK_NOT_FOUND", `Cannot read bytes of a chunk: ${reason}`);
    }
    const { error } = result;
    this.#events.onUnreadable({ file: name, offsetBytes, error });
    throw new AshlarError(
      "CHUNK_NOT_FOUND",
      `Cannot read bytes of a chunk: ${place}: ${error.message}`,
      { cause: error },
    );
  }
}

type ReadPart = (file: ExtentFile, part: Uint8Array, offsetBytes: number) => Promise<ExtentRead>;
