import fs from "node:fs";
import { isAtPage, PAGE_BYTES } from "./page-memory.ts";
import { descriptorPath } from "./procfs.ts";

/** Below this the page cache is the faster way: it gathers small writes and reads ahead. */
const DIRECT_BYTES_MIN = 128 * 1024;

/** How many of the first of `bytes` can go past the page cache; 0: it is not worth it. */
export function directBytesOf(bytes: Uint8Array, offsetBytes: number): number {
  if (bytes.length < DIRECT_BYTES_MIN || offsetBytes % PAGE_BYTES !== 0 || !isAtPage(bytes)) {
    return 0;
  }
  return bytes.length - (bytes.length % PAGE_BYTES);
}

/**
 * A second descriptor of an open file, with a flag more: opened when it is first asked for.
 *
 * With O_DIRECT it goes past the page cache; the kernel keeps both views of a file the same: a
 * direct call writes back and drops what the page cache holds of its range. With O_DSYNC every write
 * is durable when it returns, with what was written before it. open(2).
 */
export class SecondDescriptor {
  readonly #descriptor: number;
  readonly #flags: number | null;
  #opening: Promise<number | null> | null = null;

  /**
   * `flags` are those that `descriptor` was opened with; `flag` is the one more, undefined where the
   * system has none such.
   */
  constructor(descriptor: number, flags: number, flag: number | undefined) {
    this.#descriptor = descriptor;
    const access = flags & (fs.constants.O_RDONLY | fs.constants.O_WRONLY | fs.constants.O_RDWR);
    this.#flags = flag === undefined ? null : access | flag;
  }

  /** Null if this system or this file system has no such thing. */
  get(): Promise<number | null> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** The file system refused a call after all: there is no further one. */
  async giveUp(): Promise<void> {
    const opening = this.#opening;
    this.#opening = Promise.resolve(null);
    await close(await opening);
  }

  async close(): Promise<void> {
    await close((await this.#opening) ?? null);
  }

  #open(): Promise<number | null> {
    const flags = this.#flags;
    if (flags === null) return Promise.resolve(null);
    return new Promise((resolve) => {
      // By its descriptor, not by its name, which may be another file's by now: proc(5).
      fs.open(descriptorPath(this.#descriptor), flags, (error, second) => {
        resolve(error === null ? second : null);
      });
    });
  }
}

function close(descriptor: number | null): Promise<void> {
  return new Promise((resolve) => {
    if (descriptor === null) resolve();
    else fs.close(descriptor, () => resolve()); // What was written through it is known to be.
  });
}
