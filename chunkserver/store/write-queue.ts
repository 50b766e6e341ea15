import { assert } from "../../shared/base/assert.ts";
import type { CacheUse, DiskFile } from "../../shared/ports/disk.ts";

/** Maximum number of bytes written with one system call. */
const CALL_BYTES_MAX = 512 * 1024;
/** Maximum number of buffers written with one system call. */
const CALL_PARTS_MAX = 64;

interface QueuedWrite {
  readonly bytes: Uint8Array;
  readonly offsetBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes to one file with one system call at a time, and merges adjacent small writes.
 *
 * Parallel writes to one file would not be faster: the kernel holds the inode lock for one of them,
 * and the others occupy threads that other files could use.
 */
export class WriteQueue {
  readonly #file: Promise<DiskFile>;
  readonly #use: CacheUse;
  readonly #queue: QueuedWrite[] = [];
  #isWriting = false;

  constructor(file: Promise<DiskFile>, use: CacheUse) {
    this.#file = file;
    this.#use = use;
  }

  /** Resolves when the operating system has accepted the bytes. */
  write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes, offsetBytes, resolve, reject });
      if (this.#isWriting) return;
      this.#isWriting = true;
      this.#drain().catch(reject);
    });
  }

  async #drain(): Promise<void> {
    try {
      const file = await this.#file;
      while (this.#queue.length > 0) await this.#writeRun(file, this.#takeRun());
    } catch (error) {
      // The file could not be opened.
      for (const queued of this.#queue.splice(0)) queued.reject(error);
    } finally {
      this.#isWriting = false;
    }
  }

  /** Removes and returns the first queued write and the adjacent writes after it. */
  #takeRun(): readonly QueuedWrite[] {
    let count = 0;
    let lengthBytes = 0;
    let endBytes = this.#queue[0]?.offsetBytes;
    for (const { bytes, offsetBytes } of this.#queue) {
      const fits = count < CALL_PARTS_MAX && lengthBytes + bytes.length <= CALL_BYTES_MAX;
      if (offsetBytes !== endBytes || (count > 0 && !fits)) break;
      count += 1;
      lengthBytes += bytes.length;
      endBytes = offsetBytes + bytes.length;
    }
    assert(count > 0, "the queue is not empty");
    return this.#queue.splice(0, count);
  }

  async #writeRun(file: DiskFile, run: readonly QueuedWrite[]): Promise<void> {
    const [first] = run;
    assert(first !== undefined, "the queue is not empty");
    const buffers = run.map(({ bytes }) => bytes);
    try {
      await file.write(buffers, first.offsetBytes, this.#use);
      for (const { resolve } of run) resolve();
    } catch (error) {
      for (const { reject } of run) reject(error);
    }
  }
}
