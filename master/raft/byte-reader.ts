import { AshlarError } from "../../shared/base/errors.ts";

/** The upper half of `Number.MAX_SAFE_INTEGER`. */
const HIGH_MAX = 2 ** 21 - 1;

/** Reads what a peer or a disk gave us. Everything that does not fit is PROTOCOL_ERROR. */
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

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  /** An unsigned integer of 8 bytes that a number can hold. */
  integer(): number {
    const low = this.u32();
    const high = this.u32();
    if (high > HIGH_MAX) throw malformed("an integer up to 2^53 - 1");
    return high * 2 ** 32 + low;
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw malformed("a flag of 0 or 1");
    return value === 1;
  }

  /** A length, then so many bytes: a view, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const offset = this.#advance(length);
    return this.#bytes.subarray(offset, offset + length);
  }

  /** A count of items of at least `itemBytesMin` each, which must fit into what is left. */
  count(itemBytesMin: number): number {
    const count = this.u32();
    if (count * itemBytesMin > this.remainingBytes) throw malformed("as many items as announced");
    return count;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.remainingBytes !== 0) throw malformed("nothing behind the end");
  }

  #advance(count: number): number {
    if (count > this.remainingBytes) throw malformed(`${count} more bytes`);
    const offset = this.#offset;
    this.#offset += count;
    return offset;
  }
}

export function malformed(expected: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot decode Raft data: expected ${expected}`);
}
