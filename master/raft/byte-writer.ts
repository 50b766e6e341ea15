import { assert } from "../../shared/base/assert.ts";

/** Writes little-endian fields. The buffer grows by doubling, so a message is copied about once. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacityBytes = 256) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Writes an unsigned integer of 1 byte. */
  u8(value: number): void {
    assert(value >= 0 && value <= 0xff, "the value fits into a byte");
    const offset = this.#advance(1); // Must precede any use of the view, which it may replace.
    this.#view.setUint8(offset, value);
  }

  /** Writes an unsigned integer of 4 bytes. */
  u32(value: number): void {
    assert(Number.isInteger(value), "the value is an integer");
    assert(value >= 0 && value <= 0xffff_ffff, "the value fits into four bytes");
    const offset = this.#advance(4);
    this.#view.setUint32(offset, value, true);
  }

  /** Writes an unsigned integer of 8 bytes, at most 2^53 - 1. */
  integer(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "the value is an unsigned integer");
    this.u32(value % 2 ** 32);
    this.u32(Math.floor(value / 2 ** 32));
  }

  /** Writes a boolean as 1 byte. */
  flag(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  /** Writes the length (4 bytes) and the bytes. */
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    const offset = this.#advance(value.length);
    this.#bytes.set(value, offset);
  }

  /** Returns the written bytes. The writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #advance(count: number): number {
    const offset = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) this.#grow();
    return offset;
  }

  #grow(): void {
    const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
