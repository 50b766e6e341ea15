import { assert } from "../../shared/base/assert.ts";

/**
 * Reads single fields of a msgpack array (https://github.com/msgpack/msgpack/blob/master/spec.md) and skips the
 * others: to decode the whole array takes several times as long. The fields must be read in ascending order. Nested
 * arrays and maps are not supported.
 */
export class MsgpackArray {
  readonly #bytes: Uint8Array;
  readonly #count: number;
  /** Number of the next field, and where it starts. */
  #field = 0;
  #at = 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    const type = this.#byte(0);
    assert(type >= 0x90 && type <= 0x9f, "the row is a msgpack array of at most 15 fields");
    this.#count = type & 0x0f;
  }

  /** Returns a field that is an integer below 128. */
  byteOf(field: number): number {
    const type = this.#byte(this.#start(field));
    assert(type < 0x80, "the field is a small integer");
    return type;
  }

  /** Returns the length of a field of at most 255 bytes. */
  lengthOf(field: number): number {
    const start = this.#start(field);
    assert(this.#byte(start) === 0xc4, "the field has at most 255 bytes");
    return this.#byte(start + 1);
  }

  isNull(field: number): boolean {
    return this.#byte(this.#start(field)) === 0xc0;
  }

  #start(field: number): number {
    assert(field >= this.#field && field < this.#count, "the fields are read in ascending order");
    for (; this.#field < field; this.#field += 1) this.#at += this.#lengthAt(this.#at);
    return this.#at;
  }

  /** Returns the length of the value at `at`, with its type. */
  #lengthAt(at: number): number {
    const type = this.#byte(at);
    if (type < 0x80 || type >= 0xe0) return 1;
    if (type >= 0xa0 && type < 0xc0) return 1 + (type & 0x1f);
    const fixed = FIXED_LENGTHS[type - 0xc0];
    if (fixed !== undefined && fixed > 0) return fixed;
    if (type === 0xc4 || type === 0xd9) return 2 + this.#byte(at + 1);
    assert(type === 0xc5 || type === 0xda, "the value has a supported type");
    return 3 + this.#byte(at + 1) * 256 + this.#byte(at + 2);
  }

  #byte(at: number): number {
    const byte = this.#bytes[at];
    assert(byte !== undefined, "the row is complete");
    return byte;
  }
}

/** Lengths of null, booleans and numbers, by their type above 0xc0. 0 for other types. */
const FIXED_LENGTHS = [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9];
