import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { toHex } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { displayName } from "../../shared/base/path.ts";
import type { HashStream } from "../../shared/ports/hasher.ts";
import type { FillSource } from "../options.ts";
import { localError } from "./local-files.ts";

const READ_BYTES = 1024 * 1024;

/**
 * The bytes of a local file, read once from its beginning. It fails at the end if the file is not
 * what it was at the start, or does not hash to what it should: a put that reads it then publishes
 * nothing.
 */
export class LocalSource implements FillSource, AsyncDisposable {
  readonly #path: Buffer;
  readonly #file: FileHandle;
  readonly #before: BigIntStats;
  readonly #check: HashCheck | null;
  #positionBytes = 0;

  private constructor(
    path: Buffer,
    opened: { readonly file: FileHandle; readonly before: BigIntStats },
    check: HashCheck | null,
  ) {
    this.#path = path;
    this.#file = opened.file;
    this.#before = opened.before;
    this.#check = check;
  }

  /** @throws {AshlarError} NOT_FOUND, PERMISSION_DENIED, … with the path in the message */
  static async open(path: Buffer, check: HashCheck | null = null): Promise<LocalSource> {
    try {
      const file = await open(path, constants.O_RDONLY);
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

  /** In arrays of 1 MiB, the last one excepted, that are valid until the next is asked for. */
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
    // A pipe has no positions.
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
      `Cannot put the local ${displayName(this.#path)}: expected it to stay as it was: it had ${before.size} bytes, and ${this.#positionBytes} were read while somebody wrote to it`,
      { hint: "Repeat the put when the writer is done" },
    );
  }
}

/** What a source must hash to: `put --checksum`. */
export class HashCheck {
  readonly #stream: HashStream;
  readonly #digits: string;

  /** @throws {AshlarError} INVALID_ARGUMENT if `wanted` is not "blake3:HEX" */
  constructor(stream: HashStream, wanted: string) {
    const digits = /^blake3:([0-9a-f]{64})$/.exec(wanted)?.[1];
    if (digits === undefined) {
      throw new AshlarError(
        "INVALID_ARGUMENT",
        `Cannot use --checksum: expected blake3: and 64 hex digits: got "${wanted}"`,
      );
    }
    this.#stream = stream;
    this.#digits = digits;
  }

  update(bytes: Uint8Array): void {
    this.#stream.update(bytes);
  }

  /** @throws {AshlarError} CHUNK_CORRUPT if the bytes hash to something else */
  end(): void {
    const found = toHex(this.#stream.digest());
    if (found === this.#digits) return;
    throw new AshlarError(
      "CHUNK_CORRUPT",
      `Cannot put the source: expected blake3:${this.#digits}: it hashes to ${found}`,
    );
  }

  /** `source`, checked as it goes by. */
  async *through(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const bytes of source) {
      this.update(bytes);
      yield bytes;
    }
    this.end();
  }
}
