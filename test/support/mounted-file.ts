import assert from "node:assert/strict";
import { AshlarError } from "../../shared/base/errors.ts";
import type { DiskFile } from "../../shared/ports/disk.ts";
import type { MemoryFile } from "./memory-file.ts";

/** An operation of a process on its disk. */
export interface DiskOperation {
  readonly kind: "open" | "read" | "write" | "sync" | "truncate" | "rename" | "remove" | "make";
  readonly path: string;
}

/** The operations of a disk that its files use. */
interface FileHost {
  /** Simulates the delay, the crash and the fault of an operation. */
  begin(operation: DiskOperation): Promise<void>;
  checkSpace(growthBytes: number, path: string): void;
}

/** Returns the error of the Disk port for an errno. */
export function diskFailure(errno: string, path: string): AshlarError {
  const codes = { ENOENT: "NOT_FOUND", EEXIST: "ALREADY_EXISTS", ENOSPC: "NO_SPACE" } as const;
  const code = Object.hasOwn(codes, errno) ? codes[errno as keyof typeof codes] : "DISK_FAILED";
  const cause = Object.assign(new Error(errno), { code: errno });
  return new AshlarError(code, `Cannot use ${path}: ${errno}`, { cause, details: { path, errno } });
}

/** An open file of a `MemoryDisk`. */
export class MountedFile implements DiskFile {
  readonly #disk: FileHost;
  readonly #file: MemoryFile;
  readonly #path: string;
  readonly #writable: boolean;
  #closed = false;

  constructor(
    disk: FileHost,
    file: MemoryFile,
    options: { readonly path: string; readonly writable: boolean },
  ) {
    this.#disk = disk;
    this.#file = file;
    this.#path = options.path;
    this.#writable = options.writable;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<number> {
    await this.#begin("read");
    return this.#file.read(target, offsetBytes);
  }

  async write(parts: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    await this.#begin("write");
    if (!this.#writable) throw diskFailure("EBADF", this.#path);
    let nextOffset = offsetBytes;
    for (const part of parts) {
      this.#disk.checkSpace(nextOffset + part.length - this.#file.lengthBytes, this.#path);
      this.#file.write(part, nextOffset);
      nextOffset += part.length;
    }
  }

  async writeDurably(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    await this.write([bytes], offsetBytes);
    await this.sync();
  }

  async sync(): Promise<void> {
    assert.ok(!this.#closed, `a closed file is not used: ${this.#path}`);
    const covered = this.#file.changeCount;
    try {
      await this.#disk.begin({ kind: "sync", path: this.#path });
    } catch (error) {
      this.#file.failSync();
      throw error;
    }
    this.#file.sync(covered);
  }

  async truncate(lengthBytes: number): Promise<void> {
    await this.#begin("truncate");
    if (!this.#writable) throw diskFailure("EINVAL", this.#path);
    this.#disk.checkSpace(lengthBytes - this.#file.lengthBytes, this.#path);
    this.#file.truncate(lengthBytes);
  }

  async size(): Promise<{ readonly lengthBytes: number; readonly allocatedBytes: number }> {
    await this.#begin("read");
    const lengthBytes = this.#file.lengthBytes;
    return { lengthBytes, allocatedBytes: Math.ceil(lengthBytes / 4096) * 4096 };
  }

  async close(): Promise<void> {
    assert.ok(!this.#closed, `a file is closed once: ${this.#path}`);
    this.#closed = true;
  }

  #begin(kind: DiskOperation["kind"]): Promise<void> {
    assert.ok(!this.#closed, `a closed file is not used: ${this.#path}`);
    return this.#disk.begin({ kind, path: this.#path });
  }
}
