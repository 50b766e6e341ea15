import fs from "node:fs";
import { assert } from "../base/assert.ts";
import type { DiskFile } from "../ports/disk.ts";
import { diskError } from "./disk-error.ts";

/** The unit of `st_blocks` in bytes, whatever the file system's block size is: stat(2). */
const STAT_BLOCK_BYTES = 512;

/**
 * A file by its descriptor, through the callbacks of node:fs: a FileHandle costs half as much CPU
 * time again for each small call (docs/dependencies.md tells how that was measured).
 */
export class NodeDiskFile implements DiskFile {
  readonly #descriptor: number;
  readonly #path: string;
  /**
   * Calls under way. The descriptor is closed only at 0: its number is free for another file from
   * then on, and a late write would go there.
   */
  #callCount = 0;
  #closing = false;
  #onIdle: (() => void) | null = null;

  constructor(descriptor: number, path: string) {
    this.#descriptor = descriptor;
    this.#path = path;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<number> {
    this.#begin();
    try {
      let readBytes = 0;
      while (readBytes < target.length) {
        const rest = readBytes === 0 ? target : target.subarray(readBytes);
        const count = await this.#readOnce(rest, offsetBytes + readBytes);
        if (count === 0) break;
        readBytes += count;
      }
      return readBytes;
    } finally {
      this.#end();
    }
  }

  async write(parts: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    this.#begin();
    try {
      let remaining = parts;
      let nextOffset = offsetBytes;
      for (;;) {
        const first = remaining[0];
        if (first === undefined) return;
        const count =
          remaining.length === 1
            ? await this.#writeOnce(first, nextOffset)
            : await this.#writeVector(remaining, nextOffset);
        assert(count > 0 || first.length === 0, "a write that succeeds takes bytes");
        nextOffset += count;
        remaining = withoutFirst(remaining, count);
      }
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

  #readOnce(target: Uint8Array, offsetBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const settle = this.#settle("read", resolve, reject);
      fs.read(this.#descriptor, target, 0, target.length, offsetBytes, settle);
    });
  }

  #writeOnce(bytes: Uint8Array, offsetBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const settle = this.#settle("write", resolve, reject);
      fs.write(this.#descriptor, bytes, 0, bytes.length, offsetBytes, settle);
    });
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

/** What is left of `parts` after their first `countBytes` bytes were written; no empty part leads. */
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

/** open(2). New files get `fileMode`, less the umask. */
export function openDescriptor(absolute: string, flags: number, fileMode = 0o666): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(absolute, flags, fileMode, (error, descriptor) => {
      if (error === null) resolve(descriptor);
      else reject(diskError("open", absolute, error));
    });
  });
}

/** fsync(2), which for a directory is what makes its names durable. */
export function syncDescriptor(descriptor: number, absolute: string): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(descriptor, (error) => {
      if (error === null) resolve();
      else reject(diskError("sync", absolute, error));
    });
  });
}

export function closeDescriptor(descriptor: number, absolute: string): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.close(descriptor, (error) => {
      if (!error) resolve();
      else reject(diskError("close", absolute, error));
    });
  });
}
