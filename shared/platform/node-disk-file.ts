import fs from "node:fs";
import { assert } from "../base/assert.ts";
import type { CacheUse, DiskFile } from "../ports/disk.ts";
import { diskError, errnoOf } from "./disk-error.ts";
import { PAGE_BYTES, returnScratch, roundUp, takeScratch } from "./page-memory.ts";
import { directBytesOf, SecondDescriptor } from "./second-descriptor.ts";

/** The unit of `st_blocks` in bytes, independent of the file system's block size: stat(2). */
const STAT_BLOCK_BYTES = 512;

/**
 * A file that uses its descriptor with the callback functions of node:fs. A FileHandle costs 50 %
 * more CPU time for each small call (docs/dependencies.md has the measurement).
 */
export class NodeDiskFile implements DiskFile {
  readonly #descriptor: number;
  readonly #path: string;
  readonly #direct: SecondDescriptor;
  readonly #synced: SecondDescriptor;
  /**
   * Calls in progress. The descriptor is closed only at 0: afterwards its number may belong to
   * another file, which a late write would damage.
   */
  #callCount = 0;
  #closing = false;
  #onIdle: (() => void) | null = null;

  /** `descriptor` was opened with `flags`. */
  constructor(descriptor: number, path: string, flags: number) {
    this.#descriptor = descriptor;
    this.#path = path;
    this.#direct = new SecondDescriptor(descriptor, flags, fs.constants.O_DIRECT);
    this.#synced = new SecondDescriptor(descriptor, flags, fs.constants.O_DSYNC);
  }

  async read(target: Uint8Array, offsetBytes: number, use: CacheUse = "keep"): Promise<number> {
    this.#begin();
    try {
      let readBytes = 0;
      while (readBytes < target.length) {
        const rest = readBytes === 0 ? target : target.subarray(readBytes);
        const count = await this.#readOnce(rest, offsetBytes + readBytes, use);
        if (count === 0) break;
        readBytes += count;
      }
      return readBytes;
    } finally {
      this.#end();
    }
  }

  async write(
    parts: readonly Uint8Array[],
    offsetBytes: number,
    use: CacheUse = "keep",
  ): Promise<void> {
    this.#begin();
    try {
      let remaining = parts;
      let nextOffset = offsetBytes;
      for (;;) {
        const first = remaining[0];
        if (first === undefined) return;
        const count =
          remaining.length === 1
            ? await this.#writeOnce(first, nextOffset, use)
            : await this.#writeVector(remaining, nextOffset);
        assert(count > 0 || first.length === 0, "a successful write accepts bytes");
        nextOffset += count;
        remaining = withoutFirst(remaining, count);
      }
    } finally {
      this.#end();
    }
  }

  async writeDurably(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    this.#begin();
    try {
      const synced = await this.#synced.get();
      for (let written = 0; written < bytes.length; ) {
        const rest = bytes.subarray(written);
        written += await this.#write(synced ?? this.#descriptor, rest, offsetBytes + written);
      }
      if (synced === null) await this.sync();
    } finally {
      this.#end();
    }
  }

  async sync(): Promise<void> {
    this.#begin();
    try {
      await new Promise<void>((resolve, reject) => {
        fs.fdatasync(this.#descriptor, this.#settle("sync", resolve, reject));
      });
    } finally {
      this.#end();
    }
  }

  async truncate(lengthBytes: number): Promise<void> {
    this.#begin();
    try {
      await new Promise<void>((resolve, reject) => {
        fs.ftruncate(this.#descriptor, lengthBytes, this.#settle("truncate", resolve, reject));
      });
    } finally {
      this.#end();
    }
  }

  async size(): Promise<{ readonly lengthBytes: number; readonly allocatedBytes: number }> {
    this.#begin();
    try {
      const stats = await new Promise<fs.Stats>((resolve, reject) => {
        fs.fstat(this.#descriptor, this.#settle("measure", resolve, reject));
      });
      return { lengthBytes: stats.size, allocatedBytes: stats.blocks * STAT_BLOCK_BYTES };
    } finally {
      this.#end();
    }
  }

  async close(): Promise<void> {
    assert(!this.#closing, `a file is closed once: ${this.#path}`);
    this.#closing = true;
    if (this.#callCount > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await this.#direct.close();
    await this.#synced.close();
    await closeDescriptor(this.#descriptor, this.#path);
  }

  #begin(): void {
    assert(!this.#closing, `a closed file is not used: ${this.#path}`);
    this.#callCount += 1;
  }

  #end(): void {
    this.#callCount -= 1;
    if (this.#callCount === 0) this.#onIdle?.();
  }

  #readOnce(target: Uint8Array, offsetBytes: number, use: CacheUse): Promise<number> {
    const read = (descriptor: number, length: number): Promise<number> =>
      new Promise((resolve, reject) => {
        const settle = this.#settle("read", resolve, reject);
        fs.read(descriptor, target, 0, length, offsetBytes, settle);
      });
    if (use === "keep") return read(this.#descriptor, target.length);
    const directBytes = directBytesOf(target, offsetBytes);
    if (directBytes > 0) return this.#tryDirect(read, directBytes, target.length);
    if (use === "disk") return this.#readAround(target, offsetBytes);
    return read(this.#descriptor, target.length);
  }

  /** Reads the whole pages around the start of a range past the page cache, and copies its bytes. */
  async #readAround(target: Uint8Array, offsetBytes: number): Promise<number> {
    const skipBytes = offsetBytes % PAGE_BYTES;
    const scratch = takeScratch();
    try {
      const wanted = Math.min(target.length, scratch.length - skipBytes);
      const read = (descriptor: number, length: number): Promise<number> =>
        new Promise((resolve, reject) => {
          const settle = this.#settle("read", resolve, reject);
          fs.read(descriptor, scratch, 0, length, offsetBytes - skipBytes, settle);
        });
      const pagesBytes = roundUp(skipBytes + wanted, PAGE_BYTES);
      const count = (await this.#tryDirect(read, pagesBytes, pagesBytes)) - skipBytes;
      const found = Math.max(0, Math.min(count, wanted));
      target.set(scratch.subarray(skipBytes, skipBytes + found));
      return found;
    } finally {
      returnScratch(scratch);
    }
  }

  #writeOnce(bytes: Uint8Array, offsetBytes: number, use: CacheUse): Promise<number> {
    const directBytes = use === "pass" ? directBytesOf(bytes, offsetBytes) : 0;
    if (directBytes === 0) return this.#write(this.#descriptor, bytes, offsetBytes);
    const write = (descriptor: number, length: number): Promise<number> =>
      this.#write(descriptor, bytes.subarray(0, length), offsetBytes);
    return this.#tryDirect(write, directBytes, bytes.length);
  }

  #write(descriptor: number, bytes: Uint8Array, offsetBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const settle = this.#settle("write", resolve, reject);
      fs.write(descriptor, bytes, 0, bytes.length, offsetBytes, settle);
    });
  }

  /**
   * Uses the O_DIRECT descriptor if the file system supports it, else the descriptor of the file.
   */
  async #tryDirect(
    call: (descriptor: number, length: number) => Promise<number>,
    directBytes: number,
    lengthBytes: number,
  ): Promise<number> {
    const direct = await this.#direct.get();
    if (direct === null) return call(this.#descriptor, lengthBytes);
    try {
      return await call(direct, directBytes);
    } catch (error) {
      // Direct I/O needs a larger unit than a page, or the file system refuses the call.
      if (errnoOf((error as Error).cause) !== "EINVAL") throw error;
      this.#direct.disable();
      return call(this.#descriptor, lengthBytes);
    }
  }

  #writeVector(parts: readonly Uint8Array[], offsetBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const settle = this.#settle("write", resolve, reject);
      fs.writev(this.#descriptor, parts, offsetBytes, settle);
    });
  }

  #settle<T>(
    action: string,
    resolve: (value: T) => void,
    reject: (error: Error) => void,
  ): (error: NodeJS.ErrnoException | null, value?: T) => void {
    return (error, value) => {
      if (error === null) resolve(value as T);
      else reject(diskError(action, this.#path, error));
    };
  }
}

/**
 * Returns the rest of `parts` after their first `countBytes` bytes. The first part is not empty.
 */
function withoutFirst(parts: readonly Uint8Array[], countBytes: number): readonly Uint8Array[] {
  let skipBytes = countBytes;
  for (const [position, part] of parts.entries()) {
    if (skipBytes < part.length) {
      return [part.subarray(skipBytes), ...parts.slice(position + 1)];
    }
    skipBytes -= part.length;
  }
  return [];
}

/** Calls open(2). A new file gets `fileMode` without the bits of the umask. */
export function openDescriptor(absolute: string, flags: number, fileMode = 0o666): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(absolute, flags, fileMode, (error, descriptor) => {
      if (error === null) resolve(descriptor);
      else reject(diskError("open", absolute, error));
    });
  });
}

/** Calls fsync(2). For a directory, it makes the names durable. */
export function syncDescriptor(descriptor: number, absolute: string): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(descriptor, (error) => {
      if (error === null) resolve();
      else reject(diskError("sync", absolute, error));
    });
  });
}

/** Calls close(2). */
export function closeDescriptor(descriptor: number, absolute: string): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.close(descriptor, (error) => {
      if (!error) resolve();
      else reject(diskError("close", absolute, error));
    });
  });
}
