import { randomBytes } from "../../sample-tree.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Each block names its stamp and its position, and is otherwise the same. */
const BLOCK_BYTES = 64 * KIB;
const TEMPLATE = randomBytes(BLOCK_BYTES, 7);
const HEADER_BYTES = 16;

/** Returns the size of the content of a stamp: 5 KiB to 40 MiB, most of it in files of several MiB. */
export function sizeOf(stamp: number): number {
  const odd = (stamp * 7919) % 10_007;
  if (stamp % 10 < 4) return 5 * KIB + odd * 90;
  if (stamp % 10 < 8) return 1 * MIB + odd * 1_100;
  return 12 * MIB + odd * 2_900;
}

/** Writes the content of `stamp` from `offsetBytes` on to `target`. */
export function fillContent(stamp: number, offsetBytes: number, target: Uint8Array): void {
  let done = 0;
  while (done < target.length) {
    const at = offsetBytes + done;
    const inBlock = at % BLOCK_BYTES;
    const length = Math.min(BLOCK_BYTES - inBlock, target.length - done);
    target.set(TEMPLATE.subarray(inBlock, inBlock + length), done);
    const header = headerOf(stamp, Math.floor(at / BLOCK_BYTES));
    if (inBlock < HEADER_BYTES) {
      target.set(header.subarray(inBlock, Math.min(HEADER_BYTES, inBlock + length)), done);
    }
    done += length;
  }
}

function headerOf(stamp: number, block: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeDoubleLE(stamp, 0);
  header.writeDoubleLE(block, 8);
  return header;
}

/** Returns the stamp in the first block of a file. */
function stampOf(firstBytes: Uint8Array): number {
  if (firstBytes.length < HEADER_BYTES) return Number.NaN;
  return Buffer.from(firstBytes.buffer, firstBytes.byteOffset, HEADER_BYTES).readDoubleLE(0);
}

/** Of all checks: each uses it in one step. */
let scratch = new Uint8Array(0);

/** Checks the pieces of a file, from its first byte on. */
export class ContentCheck {
  #stamp: number | null = null;
  #checkedBytes = 0;

  get checkedBytes(): number {
    return this.#checkedBytes;
  }

  /** Stamp of the content. Null before the first piece. */
  get stamp(): number | null {
    return this.#stamp;
  }

  /** Checks the next piece. Returns what is wrong, or null. */
  add(piece: Uint8Array): string | null {
    this.#stamp ??= stampOf(piece);
    const stamp = this.#stamp;
    if (!Number.isSafeInteger(stamp)) return `${piece.length} first bytes without a stamp`;
    if (scratch.length < piece.length) scratch = new Uint8Array(piece.length);
    const expected = scratch.subarray(0, piece.length);
    fillContent(stamp, this.#checkedBytes, expected);
    if (Buffer.compare(expected, piece) !== 0) {
      return `bytes ${this.#checkedBytes} to ${this.#checkedBytes + piece.length} are not those of stamp ${stamp}`;
    }
    this.#checkedBytes += piece.length;
    return null;
  }
}
