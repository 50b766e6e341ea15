import { assert } from "../../shared/base/assert.ts";
import type { DiskFile } from "../../shared/ports/disk.ts";

/**
 * Bytes of one call to the system, at most. For a larger one ext4 takes larger pages, which the
 * kernel seldom has at hand: with 1 MiB the write of a GiB took 1.4 to 2.4 CPU-seconds, with
 * 256 KiB or 512 KiB 0.25 to 0.3, every time (Linux 6.18, 2 cores, virtual machine).
 */
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
  readonly #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(file: Promise<DiskFile>) {
    this.#file = file;
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
      while (this.#waiting.length > 0) await writeRun(file, this.#takeRun());
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
}

async function writeRun(file: DiskFile, run: readonly Waiting[]): Promise<void> {
  const [first] = run;
  assert(first !== undefined, "there is something to write");
  try {
    if (run.length > 1) {
      await file.write(
        run.map(({ bytes }) => bytes),
        first.offsetBytes,
      );
    } else {
      await writeInPieces(file, first);
    }
    for (const { resolve } of run) resolve();
  } catch (error) {
    for (const { reject } of run) reject(error);
  }
}

async function writeInPieces(file: DiskFile, { bytes, offsetBytes }: Waiting): Promise<void> {
  for (let start = 0; start < bytes.length; start += CALL_BYTES_MAX) {
    await file.write([bytes.subarray(start, start + CALL_BYTES_MAX)], offsetBytes + start);
  }
}
