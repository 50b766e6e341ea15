import { assert } from "../../shared/base/assert.ts";
import type { CacheUse, DiskFile } from "../../shared/ports/disk.ts";

/** Bytes that are gathered for one call to the system. */
const CALL_BYTES_MAX = 512 * 1024;
const CALL_PARTS_MAX = 64;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly offsetBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes to one file, one call at a time, small neighbours together.
 *
 * Two calls on one file at a time would not be faster: the kernel lets one in (the inode's lock)
 * while the others wait in threads that other files could use.
 */
export class WriteQueue {
  readonly #file: Promise<DiskFile>;
  readonly #use: CacheUse;
  readonly #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(file: Promise<DiskFile>, use: CacheUse) {
    this.#file = file;
    this.#use = use;
  }

  /** Resolves when the system has taken the bytes. */
  write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes, offsetBytes, resolve, reject });
      if (this.#isWriting) return;
      this.#isWriting = true;
      this.#drain().catch(reject);
    });
  }

  async #drain(): Promise<void> {
    try {
      const file = await this.#file;
      while (this.#waiting.length > 0) await this.#writeRun(file, this.#takeRun());
    } catch (error) {
      // The file could not be opened.
      for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
    } finally {
      this.#isWriting = false;
    }
  }

  /** The first of those that wait, and what follows it without a gap. */
  #takeRun(): readonly Waiting[] {
    let count = 0;
    let lengthBytes = 0;
    let endBytes = this.#waiting[0]?.offsetBytes;
    for (const { bytes, offsetBytes } of this.#waiting) {
      const fits = count < CALL_PARTS_MAX && lengthBytes + bytes.length <= CALL_BYTES_MAX;
      if (offsetBytes !== endBytes || (count > 0 && !fits)) break;
      count += 1;
      lengthBytes += bytes.length;
      endBytes = offsetBytes + bytes.length;
    }
    assert(count > 0, "there is something to write");
    return this.#waiting.splice(0, count);
  }

  async #writeRun(file: DiskFile, run: readonly Waiting[]): Promise<void> {
    const [first] = run;
    assert(first !== undefined, "there is something to write");
    const parts = run.map(({ bytes }) => bytes);
    try {
      await file.write(parts, first.offsetBytes, this.#use);
      for (const { resolve } of run) resolve();
    } catch (error) {
      for (const { reject } of run) reject(error);
    }
  }
}
