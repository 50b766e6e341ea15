import { AshlarError } from "../../shared/base/errors.ts";

/** The upper half of `Number.MAX_SAFE_INTEGER`. */
const HIGH_MAX = 2 ** 21 - 1;

/**
 * Reads little-endian fields from bytes of a peer or a disk. Every method throws PROTOCOL_ERROR if
 * the bytes do not have the expected form.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Reads an unsigned integer of 1 byte. */
  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  /** Reads an unsigned integer of 4 bytes. */
  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** Reads an unsigned integer of 8 bytes, at most 2^53 - 1. */
  integer(): number {
    const low = this.u32();
    const high = this.u32();
    if (high > HIGH_MAX) throw malformed("an integer up to 2^53 - 1");
    return high * 2 ** 32 + low;
  }

  /** Reads a boolean of 1 byte. */
  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw malformed("a flag of 0 or 1");
    return value === 1;
  }

  /** Reads a length (4 bytes) and that many bytes. The result is a view, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const offset = this.#advance(length);
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Reads a count (4 bytes) of items. Each has at least `itemBytesMin`, so they must fit. */
  count(itemBytesMin: number): number {
    const count = this.u32();
    if (count * itemBytesMin > this.remainingBytes)
      throw malformed("as many items as the count says");
    return count;
  }

  /** Asserts that all bytes were read. */
  end(): void {
    if (this.remainingBytes !== 0) throw malformed("no bytes after the end");
  }

  #advance(count: number): number {
    if (count > this.remainingBytes) throw malformed(`${count} more bytes`);
    const offset = this.#offset;
    this.#offset += count;
    return offset;
  }
}

/** Returns the error for bytes that are not the `expected` ones. */
export function malformed(expected: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot decode Raft data: expected ${expected}`);
}
