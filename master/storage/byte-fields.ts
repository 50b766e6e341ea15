import { assert } from "../../shared/base/assert.ts";

const TWO_32 = 2 ** 32;

/** Writes little-endian fields one after the other. */
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

  u8(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value < 256, "a u8 fits in its field");
    this.#view.setUint8(this.#offset, value);
    this.#offset += 1;
  }

  u32(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value < TWO_32, "a u32 fits in its field");
    this.#view.setUint32(this.#offset, value, true);
    this.#offset += 4;
  }

  /** An integer from 0 to 2^53 - 1, in 8 bytes. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a u64 fits in its field");
    this.#view.setUint32(this.#offset, value % TWO_32, true);
    this.#view.setUint32(this.#offset + 4, Math.floor(value / TWO_32), true);
    this.#offset += 8;
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#offset);
    this.#offset += bytes.length;
  }
}

/**
 * Reads little-endian fields one after the other. The caller has checked that the bytes are what
 * was written (a digest), so a field that does not fit is a bug of the writer.
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

  u8(): number {
    this.#offset += 1;
    return this.#view.getUint8(this.#offset - 1);
  }

  u32(): number {
    this.#offset += 4;
    return this.#view.getUint32(this.#offset - 4, true);
  }

  u64(): number {
    const low = this.u32();
    const value = this.u32() * TWO_32 + low;
    assert(Number.isSafeInteger(value), "a u64 that we wrote is a safe integer");
    return value;
  }

  /** The next `count` bytes, not copied. */
  raw(count: number): Uint8Array {
    assert(this.#offset + count <= this.#bytes.length, "a field ends before the record does");
    this.#offset += count;
    return this.#bytes.subarray(this.#offset - count, this.#offset);
  }
}
