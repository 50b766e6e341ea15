import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { HashStream } from "../../shared/ports/hasher.ts";
import type { FillSource } from "../options.ts";
import { localError } from "./local-files.ts";
import type { LocalPath } from "./local-path.ts";
import { invalidValue } from "./parse-values.ts";

const READ_BYTES = 1024 * 1024;

/**
 * A local file as a source of bytes, read once from its beginning. The last read fails if the file
 * changed meanwhile, or if its bytes do not have the expected hash. A put from the source then
 * publishes nothing.
 */
export class LocalSource implements FillSource, AsyncDisposable {
  readonly #path: LocalPath;
  readonly #file: FileHandle;
  /** Stats at the time of opening. */
  readonly #before: BigIntStats;
  readonly #check: HashCheck | null;
  #positionBytes = 0;

  private constructor(
    path: LocalPath,
    opened: { readonly file: FileHandle; readonly before: BigIntStats },
    check: HashCheck | null,
  ) {
    this.#path = path;
    this.#file = opened.file;
    this.#before = opened.before;
    this.#check = check;
  }

  /** @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … with the path in the message */
  static async open(path: LocalPath, check: HashCheck | null = null): Promise<LocalSource> {
    try {
      const file = await open(path.systemPath, constants.O_RDONLY);
      return new LocalSource(path, { file, before: await file.stat({ bigint: true }) }, check);
    } catch (error) {
      throw localError(error, "open", path);
    }
  }

  /** @throws {AshlarError} SOURCE_CHANGED, CHUNK_CORRUPT at the end; DISK_FAILED */
  async fill(target: Uint8Array): Promise<number> {
    const count = await this.#read(target);
    this.#positionBytes += count;
    this.#check?.update(target.subarray(0, count));
    if (count > 0) return count;
    await this.#checkUnchanged();
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
    await this.#file.close();
  }

  async #read(target: Uint8Array): Promise<number> {
    // A pipe cannot be read at a position.
    const position = this.#before.isFile() ? this.#positionBytes : null;
    try {
      return (await this.#file.read(target, 0, target.length, position)).bytesRead;
    } catch (error) {
      throw localError(error, "read", this.#path);
    }
  }

  async #checkUnchanged(): Promise<void> {
    const before = this.#before;
    if (!before.isFile()) return;
    const after = await this.#file.stat({ bigint: true });
    if (after.mtimeNs === before.mtimeNs && BigInt(this.#positionBytes) === before.size) return;
    throw new AshlarError(
      "SOURCE_CHANGED",
      `Cannot put the local file ${this.#path.text}: the file changed while it was read: expected ${before.size} bytes: ${this.#positionBytes} bytes were read`,
      { hint: "Repeat the put when no other process writes to the file" },
    );
  }
}

/** Compares the BLAKE3 of a source with an expected value: `put --checksum`. */
export class HashCheck {
  readonly #stream: HashStream;
  /** The expected hash, 64 lower-case hex digits. */
  readonly #digits: string;

  /** @throws {AshlarError} INVALID_ARGUMENT if `expected` is not "blake3:HEX" */
  constructor(stream: HashStream, expected: string) {
    const digits = /^blake3:([0-9a-f]{64})$/.exec(expected)?.[1];
    if (digits === undefined) {
      throw invalidValue("--checksum", "blake3: and 64 hex digits", expected);
    }
    this.#stream = stream;
    this.#digits = digits;
  }

  update(bytes: Uint8Array): void {
    this.#stream.update(bytes);
  }

  /** Call it after the last byte. @throws {AshlarError} CHUNK_CORRUPT if the hash differs */
  end(): void {
    const found = toHex(this.#stream.digest());
    if (found === this.#digits) return;
    throw new AshlarError(
      "CHUNK_CORRUPT",
      `Cannot put the source: expected the hash blake3:${this.#digits}: current value is blake3:${found}`,
    );
  }

  /** Yields the bytes of `source` and calls `end` after the last of them. */
  async *through(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const bytes of source) {
      this.update(bytes);
      yield bytes;
    }
    this.end();
  }
}
