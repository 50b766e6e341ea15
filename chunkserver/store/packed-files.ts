import { assert } from "../../shared/base/assert.ts";
import type { RecordChange } from "./chunk-index.ts";
import { type Extent, type ExtentFileName, isPacked } from "./chunk-record.ts";
import type { ExtentFile, ExtentFiles } from "./extent-files.ts";

/** A packed file takes no further chunk from this length on. */
export const PACKED_BYTES_MAX = 256 * 1024 * 1024;

/** Below this share of live bytes a packed file is rewritten. */
const LIVE_SHARE_MIN = 0.5;

interface PackedFile {
  /** Bytes of chunks that the index names. */
  liveBytes: number;
  /** Extents that the index names. */
  liveCount: number;
  /** Where the next chunk goes; what is live and what is not adds up to it. */
  endBytes: number;
  /**
   * Partial chunks in the file. Their bytes are in no record yet, so the file must not be deleted
   * while there are any.
   */
  writerCount: number;
}

/** Room for one chunk in a packed file. The file is released by its taker. */
export interface PackedRoom {
  readonly file: ExtentFile;
  readonly offsetBytes: number;
}

/**
 * Which bytes of packed files live, and where the next small chunk goes.
 *
 * Counts what the index committed (`onCommitted`), so a file is found empty only after nothing
 * durable names it.
 */
export class PackedFiles {
  readonly #files: ExtentFiles;
  readonly #byName = new Map<ExtentFileName, PackedFile>();
  /** The file that is appended to. */
  #current: ExtentFileName | null = null;
  #taking: Promise<unknown> = Promise.resolve();

  constructor(files: ExtentFiles) {
    this.#files = files;
  }

  /** A file that was there at the start. Whether all that the index names in it is there. */
  adopt(name: ExtentFileName, lengthBytes: number): boolean {
    const file = this.#entry(name);
    const isWhole = lengthBytes >= file.endBytes;
    file.endBytes = Math.max(file.endBytes, lengthBytes);
    return isWhole;
  }

  /** Goes on appending to a file that was adopted. */
  appendTo(name: ExtentFileName): void {
    assert(this.#byName.has(name), "only a known file is appended to");
    this.#current = name;
  }

  onCommitted(change: RecordChange): void {
    for (const extent of change.before?.extents ?? []) this.#count(extent, -1);
    for (const extent of change.after?.extents ?? []) this.#count(extent, 1);
  }

  /** Room for `lengthBytes` at the end of the current file, or of a new one. */
  take(lengthBytes: number): Promise<PackedRoom> {
    assert(lengthBytes > 0 && lengthBytes <= PACKED_BYTES_MAX, "a small chunk fits a packed file");
    const taken = this.#taking.then(() => this.#take(lengthBytes));
    this.#taking = taken.catch(() => {}); // The caller gets the error; the next one tries anew.
    return taken;
  }

  /** The partial chunk in the file was sealed, and counts by its record now, or was given up. */
  release(name: ExtentFileName): void {
    const file = this.#entry(name);
    file.writerCount -= 1;
    assert(file.writerCount >= 0, "room is given back once");
  }

  /** Forgets and returns a file in which nothing lives; null if there is none. */
  takeEmpty(): ExtentFileName | null {
    for (const [name, file] of this.#byName) {
      if (file.liveCount > 0 || file.writerCount > 0 || name === this.#current) continue;
      this.#byName.delete(name);
      return name;
    }
    return null;
  }

  /** The fullest file of those worth rewriting; null if there is none. */
  sparse(): ExtentFileName | null {
    for (const [name, file] of this.#byName) {
      if (file.writerCount > 0 || name === this.#current || file.liveCount === 0) continue;
      if (file.liveBytes < file.endBytes * LIVE_SHARE_MIN) return name;
    }
    return null;
  }

  get fileCount(): number {
    return this.#byName.size;
  }

  /** Bytes in packed files that no record names. */
  get deadBytes(): number {
    let dead = 0;
    for (const file of this.#byName.values()) dead += file.endBytes - file.liveBytes;
    return dead;
  }

  async #take(lengthBytes: number): Promise<PackedRoom> {
    const current = this.#current === null ? null : this.#entry(this.#current);
    const fits = current !== null && current.endBytes + lengthBytes <= PACKED_BYTES_MAX;
    const appendTo = fits ? this.#current : null;
    this.#current = null; // If the open fails, the next chunk goes to a new file.
    const file =
      appendTo === null ? await this.#files.create("packed") : await this.#files.open(appendTo);
    this.#current = file.name;
    const entry = this.#entry(file.name);
    const offsetBytes = entry.endBytes;
    entry.endBytes += lengthBytes;
    entry.writerCount += 1;
    return { file, offsetBytes };
  }

  #entry(name: ExtentFileName): PackedFile {
    assert(isPacked(name), "large files are not packed");
    let file = this.#byName.get(name);
    if (file === undefined) {
      file = { liveBytes: 0, liveCount: 0, endBytes: 0, writerCount: 0 };
      this.#byName.set(name, file);
    }
    return file;
  }

  #count(extent: Extent, sign: 1 | -1): void {
    if (!isPacked(extent.file)) return;
    const file = this.#entry(extent.file);
    file.liveBytes += sign * extent.lengthBytes;
    file.liveCount += sign;
    file.endBytes = Math.max(file.endBytes, extent.offsetBytes + extent.lengthBytes);
    assert(file.liveCount >= 0 && file.liveBytes >= 0, "no more dies than lived");
  }
}
