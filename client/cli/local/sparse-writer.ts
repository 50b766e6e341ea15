import type { FileHandle } from "node:fs/promises";

/** Aligned blocks of this size that contain only zeros become holes. */
const BLOCK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** A run of bytes within an array. */
interface Run {
  readonly start: number;
  readonly end: number;
}

/**
 * Writes a new file from its beginning and leaves out blocks of zeros: they take no space on the
 * disk. `end` sets the size.
 */
export class SparseWriter {
  readonly #file: FileHandle;
  #positionBytes = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Number of bytes so far, holes included. */
  get positionBytes(): number {
    return this.#positionBytes;
  }

  /** Appends `bytes`. */
  async write(bytes: Uint8Array): Promise<void> {
    for (const { start, end } of runsOfData(bytes, this.#positionBytes)) {
      await this.#writeAt(bytes.subarray(start, end), this.#positionBytes + start);
    }
    this.#positionBytes += bytes.length;
  }

  /** Sets the size of the file, which can end with a hole. */
  async end(): Promise<void> {
    await this.#file.truncate(this.#positionBytes);
  }

  async #writeAt(bytes: Uint8Array, positionBytes: number): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      const length = bytes.length - offset;
      const position = positionBytes + offset;
      const { bytesWritten } = await this.#file.write(bytes, offset, length, position);
      offset += bytesWritten;
    }
  }
}

/**
 * Yields the parts of `bytes` that must be written. Blocks are aligned to the file, in which `bytes`
 * begins at `positionBytes`. An incomplete block is data.
 */
function* runsOfData(bytes: Uint8Array, positionBytes: number): Generator<Run> {
  let start = 0;
  for (let offset = 0; offset < bytes.length; ) {
    const blockEnd = BLOCK_BYTES - ((positionBytes + offset) % BLOCK_BYTES);
    const end = Math.min(bytes.length, offset + blockEnd);
    if (end - offset === BLOCK_BYTES && ZEROS.equals(bytes.subarray(offset, end))) {
      if (start < offset) yield { start, end: offset };
      start = end;
    }
    offset = end;
  }
  if (start < bytes.length) yield { start, end: bytes.length };
}
