import { assert } from "../../shared/base/assert.ts";

const TWO_32 = 2 ** 32;

/** Writes consecutive little-endian fields into a buffer of fixed size. */
export class FieldWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Writes an unsigned integer of 1 byte. */
  u8(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value < 256, "a u8 fits in its field");
    this.#view.setUint8(this.#offset, value);
    this.#offset += 1;
  }

  /** Writes an unsigned integer of 4 bytes. */
  u32(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value < TWO_32, "a u32 fits in its field");
    this.#view.setUint32(this.#offset, value, true);
    this.#offset += 4;
  }

  /** Writes an integer from 0 to 2^53 - 1 in 8 bytes. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a u64 fits in its field");
    this.#view.setUint32(this.#offset, value % TWO_32, true);
    this.#view.setUint32(this.#offset + 4, Math.floor(value / TWO_32), true);
    this.#offset += 8;
  }

  /** Writes `bytes` without a length. */
  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#offset);
    this.#offset += bytes.length;
  }
}

/**
 * Reads consecutive little-endian fields. The caller has verified a checksum of the bytes, so a
 * field that does not fit is a bug of the writer.
 */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** Reads an unsigned integer of 1 byte. */
  u8(): number {
    this.#offset += 1;
    return this.#view.getUint8(this.#offset - 1);
  }

  /** Reads an unsigned integer of 4 bytes. */
  u32(): number {
    this.#offset += 4;
    return this.#view.getUint32(this.#offset - 4, true);
  }

  /** Reads an unsigned integer of 8 bytes, at most 2^53 - 1. */
  u64(): number {
    const low = this.u32();
    const value = this.u32() * TWO_32 + low;
    assert(Number.isSafeInteger(value), "a stored u64 is a safe integer");
    return value;
  }

  /** Returns the next `count` bytes as a view. */
  raw(count: number): Uint8Array {
    assert(this.#offset + count <= this.#bytes.length, "a field ends within the buffer");
    this.#offset += count;
    return this.#bytes.subarray(this.#offset - count, this.#offset);
  }
}
