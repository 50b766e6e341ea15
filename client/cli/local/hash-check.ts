import { toHex } from "../../../shared/base/bytes.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { HashStream } from "../../../shared/ports/hasher.ts";
import { invalidValue } from "../parse-values.ts";

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
