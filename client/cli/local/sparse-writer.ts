import fs from "node:fs";
import { promisify } from "node:util";

const writeDescriptor = promisify(fs.write);
const truncateDescriptor = promisify(fs.ftruncate);

/** A shorter write is a copy to the page cache, which takes less time than a thread to do it. */
const THREAD_BYTES_MIN = 256 * 1024;

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
  readonly #descriptor: number;
  #positionBytes = 0;
  /** End of the last byte that was written. */
  #sizeBytes = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
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

  /** Sets the size of the file if it ends with a hole. */
  async end(): Promise<void> {
    if (this.#sizeBytes === this.#positionBytes) return;
    await truncateDescriptor(this.#descriptor, this.#positionBytes);
  }

  async #writeAt(bytes: Uint8Array, positionBytes: number): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      const length = bytes.length - offset;
      const position = positionBytes + offset;
      offset +=
        length < THREAD_BYTES_MIN
          ? fs.writeSync(this.#descriptor, bytes, offset, length, position)
          : (await writeDescriptor(this.#descriptor, bytes, offset, length, position)).bytesWritten;
    }
    this.#sizeBytes = positionBytes + bytes.length;
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
