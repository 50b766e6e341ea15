import fs from "node:fs";
import { isAtPage, PAGE_BYTES } from "./page-memory.ts";
import { descriptorPath } from "./procfs.ts";

/** Below this size the page cache is faster: it merges small writes and reads ahead. */
const DIRECT_BYTES_MIN = 128 * 1024;

/**
 * Returns how many bytes at the start of `bytes` can use direct I/O; 0 if the page cache is faster.
 */
export function directBytesOf(bytes: Uint8Array, offsetBytes: number): number {
  if (bytes.length < DIRECT_BYTES_MIN || offsetBytes % PAGE_BYTES !== 0 || !isAtPage(bytes)) {
    return 0;
  }
  return bytes.length - (bytes.length % PAGE_BYTES);
}

/**
 * A second descriptor of an open file, with one additional flag. It is opened at the first use.
 *
 * With O_DIRECT the descriptor bypasses the page cache. The kernel keeps both views of the file
 * consistent: a direct call writes back and drops the cached pages of its range. With O_DSYNC every
 * write is durable when it returns, together with the writes before it. See open(2).
 */
export class SecondDescriptor {
  readonly #descriptor: number;
  readonly #flags: number | null;
  #opening: Promise<number | null> | null = null;
  #isDisabled = false;

  /**
   * @param flags the flags that `descriptor` was opened with
   * @param flag the additional flag; undefined if the system does not have it
   */
  constructor(descriptor: number, flags: number, flag: number | undefined) {
    this.#descriptor = descriptor;
    const access = flags & (fs.constants.O_RDONLY | fs.constants.O_WRONLY | fs.constants.O_RDWR);
    this.#flags = flag === undefined ? null : access | flag;
  }

  /**
   * Resolves to the descriptor, or to null if the system or the file system does not support it.
   */
  get(): Promise<number | null> {
    if (this.#isDisabled) return Promise.resolve(null);
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /**
   * Ends the use of the descriptor, because the file system refused a call: `get` returns null from
   * now on. It stays open until `close`, because other calls may be using it: its number could belong
   * to another file in the meantime.
   */
  disable(): void {
    this.#isDisabled = true;
  }

  /** Closes the descriptor. No call may be using it. */
  async close(): Promise<void> {
    await close((await this.#opening) ?? null);
  }

  #open(): Promise<number | null> {
    const flags = this.#flags;
    if (flags === null) return Promise.resolve(null);
    return new Promise((resolve) => {
      // The file is opened by its descriptor, because its name may refer to another file now.
      fs.open(descriptorPath(this.#descriptor), flags, (error, second) => {
        resolve(error === null ? second : null);
      });
    });
  }
}

function close(descriptor: number | null): Promise<void> {
  return new Promise((resolve) => {
    if (descriptor === null) resolve();
    else fs.close(descriptor, () => resolve()); // The results of all writes are known.
  });
}
