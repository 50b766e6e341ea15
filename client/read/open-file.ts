import { AshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { FileAttributes } from "../../shared/protocol/attributes.ts";
import { Deadline } from "../deadline.ts";
import type { CallOptions, ReadFileOptions } from "../options.ts";
import type { FileHandle, Slab } from "../results.ts";
import type { FileReader } from "./file-reader.ts";

/** Implements `FileHandle`: reads one version of a file. The servers keep no state for it. */
export class OpenFile implements FileHandle {
  readonly #clock: Clock;
  readonly #reader: FileReader;
  readonly #closed = new AbortController();

  constructor(clock: Clock, reader: FileReader) {
    this.#clock = clock;
    this.#reader = reader;
  }

  get attributes(): FileAttributes {
    return this.#reader.attributes;
  }

  stat(): FileAttributes {
    return this.#reader.attributes;
  }

  async read(
    range: { readonly position: number; readonly lengthBytes: number },
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    const { position, lengthBytes } = range;
    const byteRange = { start: position, end: position + lengthBytes };
    const { startBytes, endBytes } = this.#reader.bounds(byteRange);
    const bytes = new Uint8Array(endBytes - startBytes);
    await this.readInto(bytes, startBytes, options);
    return bytes;
  }

  async readInto(target: Uint8Array, position: number, options: CallOptions = {}): Promise<number> {
    using deadline = this.#deadline(options);
    return await this.#reader.readInto(target, position, deadline);
  }

  async *stream(options: ReadFileOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    for await (const slab of this.slabs(options)) {
      const bytes = slab.bytes.slice();
      slab.release();
      yield bytes;
    }
  }

  async *slabs(options: ReadFileOptions = {}): AsyncGenerator<Slab, void, void> {
    using deadline = this.#deadline(options);
    yield* this.#reader.slabs({ ...options, deadline });
  }

  /** Makes pending and later reads fail with CANCELLED. */
  async close(): Promise<void> {
    this.#closed.abort(new AshlarError("CANCELLED", "Cannot read: the file was closed"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #deadline(options: CallOptions): Deadline {
    const deadline = new Deadline(this.#clock, "read the file", options);
    deadline.follow(this.#closed.signal);
    return deadline;
  }
}
