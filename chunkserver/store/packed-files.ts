import { assert } from "../../shared/base/assert.ts";
import type { RecordChange } from "./chunk-index.ts";
import { type Extent, type ExtentFileName, isPacked } from "./chunk-record.ts";
import type { ExtentFile, ExtentFiles } from "./extent-files.ts";

/** Length at which a packed file accepts no further chunk. */
export const PACKED_BYTES_MAX = 256 * 1024 * 1024;

/** A packed file with a smaller share of live bytes is rewritten. */
const LIVE_SHARE_MIN = 0.5;

interface PackedFile {
  /** Bytes of chunks with a record in the index. */
  liveBytes: number;
  /** Extents with a record in the index. */
  liveCount: number;
  /** Offset of the next chunk: the sum of live and dead bytes. */
  endBytes: number;
  /**
   * Partial chunks in the file, including those that wait for its open. No record refers to their
   * bytes yet, so the file must not be deleted while this number is above 0.
   */
  writerCount: number;
  /** Whether the disk cannot read the remaining chunks. Reset when one of them is removed. */
  isRewriteSkipped: boolean;
}

/** Byte range for one chunk in a packed file. The caller releases the file. */
export interface PackedAllocation {
  readonly file: ExtentFile;
  readonly offsetBytes: number;
}

/**
 * Counts the live bytes of the packed files, and allocates a byte range for each new small chunk.
 *
 * The counters follow the committed changes of the index (`onCommitted`). So a file becomes empty
 * only after the removal of its last record is durable.
 */
export class PackedFiles {
  readonly #files: ExtentFiles;
  readonly #byName = new Map<ExtentFileName, PackedFile>();
  /** The file to which chunks are appended. */
  #current: ExtentFileName | null = null;
  #allocating: Promise<unknown> = Promise.resolve();

  constructor(files: ExtentFiles) {
    this.#files = files;
  }

  /**
   * Adds a file that exists at the start. Returns whether it contains all bytes that the index
   * refers to.
   */
  addExisting(name: ExtentFileName, lengthBytes: number): boolean {
    const file = this.#entry(name);
    const isWhole = lengthBytes >= file.endBytes;
    file.endBytes = Math.max(file.endBytes, lengthBytes);
    return isWhole;
  }

  /** Appends the next chunks to a file that `addExisting` has added. */
  continueFile(name: ExtentFileName): void {
    assert(this.#byName.has(name), "the file was added before");
    this.#current = name;
  }

  /** Counts a committed change of a record. */
  onCommitted(change: RecordChange): void {
    for (const extent of change.before?.extents ?? []) this.#count(extent, -1);
    for (const extent of change.after?.extents ?? []) this.#count(extent, 1);
  }

  /** Allocates `lengthBytes` at the end of the current file, or at the start of a new file. */
  allocate(lengthBytes: number): Promise<PackedAllocation> {
    assert(lengthBytes > 0 && lengthBytes <= PACKED_BYTES_MAX, "a chunk fits into a packed file");
    const allocated = this.#allocating.then(() => this.#allocate(lengthBytes));
    // The caller gets the error. The next allocation is in a new file.
    this.#allocating = allocated.catch(() => {});
    return allocated;
  }

  /** Ends one allocation: the partial chunk was sealed and has a record, or it was deleted. */
  release(name: ExtentFileName): void {
    const file = this.#entry(name);
    file.writerCount -= 1;
    assert(file.writerCount >= 0, "an allocation is released once");
  }

  /** Removes and returns a file without live chunks and without writers. Null if there is none. */
  removeEmpty(): ExtentFileName | null {
    for (const [name, file] of this.#byName) {
      if (file.liveCount > 0 || file.writerCount > 0 || name === this.#current) continue;
      this.#byName.delete(name);
      return name;
    }
    return null;
  }

  /** Returns a file whose share of live bytes is below `LIVE_SHARE_MIN`. Null if there is none. */
  findSparse(): ExtentFileName | null {
    for (const [name, file] of this.#byName) {
      if (file.writerCount > 0 || name === this.#current || file.liveCount === 0) continue;
      if (file.isRewriteSkipped) continue;
      if (file.liveBytes < file.endBytes * LIVE_SHARE_MIN) return name;
    }
    return null;
  }

  /** Excludes a file from `findSparse` until one of its chunks is removed or moved. */
  skipRewrite(name: ExtentFileName): void {
    this.#entry(name).isRewriteSkipped = true;
  }

  /** Number of packed files. */
  get fileCount(): number {
    return this.#byName.size;
  }

  /** Bytes in packed files that no record refers to. */
  get deadBytes(): number {
    let dead = 0;
    for (const file of this.#byName.values()) dead += file.endBytes - file.liveBytes;
    return dead;
  }

  async #allocate(lengthBytes: number): Promise<PackedAllocation> {
    const appendTo = this.#current;
    this.#current = null; // If the open fails, the next allocation is in a new file.
    if (appendTo !== null && this.#entry(appendTo).endBytes + lengthBytes <= PACKED_BYTES_MAX) {
      return await this.#append(appendTo, lengthBytes);
    }
    const file = await this.#files.create("packed");
    this.#current = file.name;
    return { file, offsetBytes: this.#take(file.name, lengthBytes) };
  }

  async #append(name: ExtentFileName, lengthBytes: number): Promise<PackedAllocation> {
    // Before the open: an empty file could be deleted during it, and the chunk be written into a
    // file without a name.
    const offsetBytes = this.#take(name, lengthBytes);
    try {
      const file = await this.#files.open(name);
      this.#current = name;
      return { file, offsetBytes };
    } catch (error) {
      this.release(name);
      throw error;
    }
  }

  /** Takes a byte range for a writer. Returns its offset. */
  #take(name: ExtentFileName, lengthBytes: number): number {
    const entry = this.#entry(name);
    const offsetBytes = entry.endBytes;
    entry.endBytes += lengthBytes;
    entry.writerCount += 1;
    return offsetBytes;
  }

  #entry(name: ExtentFileName): PackedFile {
    assert(isPacked(name), "large files are not packed");
    let file = this.#byName.get(name);
    if (file === undefined) {
      file = { liveBytes: 0, liveCount: 0, endBytes: 0, writerCount: 0, isRewriteSkipped: false };
      this.#byName.set(name, file);
    }
    return file;
  }

  #count(extent: Extent, sign: 1 | -1): void {
    if (!isPacked(extent.file)) return;
    const file = this.#entry(extent.file);
    file.liveBytes += sign * extent.lengthBytes;
    file.liveCount += sign;
    file.isRewriteSkipped = false;
    file.endBytes = Math.max(file.endBytes, extent.offsetBytes + extent.lengthBytes);
    assert(file.liveCount >= 0 && file.liveBytes >= 0, "only live extents are removed");
  }
}
