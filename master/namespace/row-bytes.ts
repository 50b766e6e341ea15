import { assert } from "../../shared/base/assert.ts";
import { type ByteText, bytesToText, putText } from "./keys.ts";

/**
 * The encoding of rows of the tables that nearly every operation reads or writes. Rows are encoded
 * field by field, which takes a fraction of the time and the memory of a general encoding.
 *
 *     integer  LEB128: 7 bits a byte, the lowest first, the top bit set in all but the last
 *     number   IEEE 754 binary64, 8 bytes, little-endian
 *     bytes    an integer, the length, then the bytes
 */
const MORE = 0x80;
const LOW_BITS = 0x7f;
/** The largest integer for which the bit operations of the engine are exact. */
const INT31_MAX = 0x7fffffff;

const NUMBER_BYTES = 8;
const numberView = new DataView(new ArrayBuffer(NUMBER_BYTES));
const numberBytes = new Uint8Array(numberView.buffer);

const INITIAL_BYTES = 4_096;
/** Up to this length, joining single characters is faster than `bytesToText`. */
const SHORT_BYTES = 24;

/** Encodes rows, one after the other, in a buffer that it reuses. */
export class RowWriter {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #length = 0;

  /** Starts a new row. */
  begin(): void {
    this.#length = 0;
  }

  /** Returns a copy of the bytes written since `begin`. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  integer(value: number): void {
    assert(
      Number.isSafeInteger(value) && value >= 0,
      "an integer of a row is not negative and safe",
    );
    this.#reserve(NUMBER_BYTES);
    let rest = value;
    while (rest > INT31_MAX) {
      this.#bytes[this.#length] = (rest % MORE) | MORE;
      this.#length += 1;
      rest = Math.floor(rest / MORE);
    }
    while (rest > LOW_BITS) {
      this.#bytes[this.#length] = (rest & LOW_BITS) | MORE;
      this.#length += 1;
      rest >>>= 7;
    }
    this.#bytes[this.#length] = rest;
    this.#length += 1;
  }

  number(value: number): void {
    this.#reserve(NUMBER_BYTES);
    numberView.setFloat64(0, value, true);
    for (let index = 0; index < NUMBER_BYTES; index += 1) {
      this.#bytes[this.#length + index] = numberBytes[index] as number;
    }
    this.#length += NUMBER_BYTES;
  }

  bytes(value: Uint8Array): void {
    this.integer(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: ByteText): void {
    this.integer(value.length);
    this.#reserve(value.length);
    putText(this.#bytes, this.#length, value);
    this.#length += value.length;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Decodes the fields of one row. Returned arrays are copies, not views of the row. */
export class RowReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.#offset];
    assert(value !== undefined, "a row holds all its fields");
    this.#offset += 1;
    return value;
  }

  integer(): number {
    let value = 0;
    for (let factor = 1; ; factor *= MORE) {
      const byte = this.byte();
      value += (byte & LOW_BITS) * factor;
      if (byte < MORE) return value;
    }
  }

  number(): number {
    for (let index = 0; index < NUMBER_BYTES; index += 1) numberBytes[index] = this.byte();
    return numberView.getFloat64(0, true);
  }

  bytes(): Uint8Array {
    const start = this.#take(this.integer());
    return this.#bytes.slice(start, this.#offset);
  }

  text(): ByteText {
    const count = this.integer();
    const start = this.#take(count);
    if (count > SHORT_BYTES) return bytesToText(this.#bytes.subarray(start, this.#offset));
    let text = "";
    for (let index = start; index < this.#offset; index += 1) {
      text += String.fromCharCode(this.#bytes[index] as number);
    }
    return text;
  }

  #take(count: number): number {
    const start = this.#offset;
    this.#offset += count;
    assert(this.#offset <= this.#bytes.length, "a row holds all its fields");
    return start;
  }
}
