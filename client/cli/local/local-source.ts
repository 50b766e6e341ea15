import type { BigIntStats } from "node:fs";
import { AshlarError } from "../../../shared/base/errors.ts";
import { openReadable, type ReadableFile } from "../../../shared/platform/readable-file.ts";
import type { FillSource } from "../../options.ts";
import type { LocalPath } from "../local-path.ts";
import type { HashCheck } from "./hash-check.ts";
import { localError, specialFileError } from "./local-error.ts";
import { SparseReader } from "./sparse-reader.ts";

const READ_BYTES = 1024 * 1024;

/** Options of `LocalSource.open`. */
export interface LocalSourceOptions {
  /** Ends a read that waits for the writer of a FIFO. */
  readonly signal: AbortSignal;
  readonly check?: HashCheck | null;
  /** Whether a file that is not regular is refused. */
  readonly isRegularOnly?: boolean;
}

/**
 * A local file as a source of bytes, read once from its beginning. The last read fails if the file
 * changed meanwhile, or if its bytes do not have the expected hash. A put from the source then
 * publishes nothing.
 */
export class LocalSource implements FillSource, AsyncDisposable {
  readonly #path: LocalPath;
  readonly #file: ReadableFile;
  /** Null for a file without holes, and after a direct read was refused. */
  #sparse: SparseReader | null;
  readonly #check: HashCheck | null;
  #positionBytes = 0;

  private constructor(
    path: LocalPath,
    opened: { readonly file: ReadableFile; readonly sparse: SparseReader | null },
    check: HashCheck | null,
  ) {
    this.#path = path;
    this.#file = opened.file;
    this.#sparse = opened.sparse;
    this.#check = check;
  }

  /**
   * @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … with the path in the message; UNSUPPORTED
   *   for a socket, and with `isRegularOnly` for every special file
   */
  static async open(path: LocalPath, options: LocalSourceOptions): Promise<LocalSource> {
    const { signal, check = null, isRegularOnly = false } = options;
    try {
      const file = await openReadable(path.systemPath, { signal });
      try {
        if (isRegularOnly && !file.stats.isFile()) throw specialFileError(path, file.stats);
        const isRegular = file.stats.isFile();
        const sparse = isRegular ? await SparseReader.open(path.systemPath, file.stats) : null;
        return new LocalSource(path, { file, sparse }, check);
      } catch (error) {
        await file[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      throw localError(error, "open", path);
    }
  }

  /** Stats at the time of opening. */
  get stats(): BigIntStats {
    return this.#file.stats;
  }

  /** @throws {AshlarError} SOURCE_CHANGED, CHUNK_CORRUPT at the end; DISK_FAILED */
  async fill(target: Uint8Array): Promise<number> {
    const count = await this.#read(target);
    this.#positionBytes += count;
    this.#check?.update(target.subarray(0, count));
    if (count > 0) return count;
    this.#checkUnchanged();
    this.#check?.end();
    return 0;
  }

  /**
   * Yields arrays of 1 MiB; the last can be shorter. An array is valid until the next is requested.
   */
  async *parts(): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (;;) {
      let filled = 0;
      while (filled < READ_BYTES) {
        const count = await this.fill(buffer.subarray(filled));
        if (count === 0) break;
        filled += count;
      }
      if (filled > 0) yield buffer.subarray(0, filled);
      if (filled < READ_BYTES) return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sparse?.[Symbol.asyncDispose]();
    await this.#file[Symbol.asyncDispose]();
  }

  async #read(target: Uint8Array): Promise<number> {
    try {
      return (
        (await this.#readSparse(target)) ?? (await this.#file.read(target, this.#positionBytes))
      );
    } catch (error) {
      throw localError(error, "read", this.#path);
    }
  }

  /** Reads past the page cache; null if the file has no holes or its file system refuses. */
  async #readSparse(target: Uint8Array): Promise<number | null> {
    if (this.#sparse === null) return null;
    try {
      return await this.#sparse.read(target, this.#positionBytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
      await this.#sparse[Symbol.asyncDispose]();
      this.#sparse = null;
      return null;
    }
  }

  /**
   * Compares the size and the time of modification with those at the time of opening. The number of
   * bytes is not compared: files in /proc have the size 0, files in /sys have the size of a page.
   */
  #checkUnchanged(): void {
    const before = this.#file.stats;
    if (!before.isFile()) return;
    const after = this.#file.stat();
    if (after.mtimeNs === before.mtimeNs && after.size === before.size) return;
    throw new AshlarError(
      "SOURCE_CHANGED",
      `Cannot put the local file ${this.#path.text}: the file changed while it was read: expected ${before.size} bytes: current size is ${after.size} bytes`,
      { hint: "Repeat the put when no other process writes to the file" },
    );
  }
}
