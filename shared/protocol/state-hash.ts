/** Length of a state hash. */
const STATE_HASH_BYTES = 16;

/** Key of the row with the applied index and the hash. It describes a commit and is not state. */
const APPLIED_KEY = [0x4d, 0x61];
/** Key of the row with the members. Consensus determines it, and a restore rewrites it. */
const MEMBERSHIP_KEY = [0x4d, 0x6d];

/**
 * The hash of a set of rows: the sum of the hashes of the rows, in four lanes modulo 2^32.
 *
 * A new or removed row is one addition or subtraction, in any order. So every commit updates the
 * hash, and it is never computed over the whole state. It is not secure against an adversary: it
 * detects replicas that differ by a fault, at a tenth of the cost of BLAKE3
 * (docs/decisions/0009-state-hash.md).
 */
export class StateHash {
  readonly #sums = new Uint32Array(4);
  readonly #row = new Uint32Array(4);

  /** @param bytes a result of `bytes()`; default: the hash of no rows */
  constructor(bytes?: Uint8Array) {
    if (bytes === undefined) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let lane = 0; lane < 4; lane += 1) this.#sums[lane] = view.getUint32(lane * 4, true);
  }

  /** Adds a row. */
  add(key: Uint8Array, value: Uint8Array): void {
    if (!isHashed(key)) return;
    this.#hashRow(key, value);
    for (let lane = 0; lane < 4; lane += 1) {
      this.#sums[lane] = (this.#sums[lane] as number) + (this.#row[lane] as number);
    }
  }

  /** Removes a row that was added before. */
  remove(key: Uint8Array, value: Uint8Array): void {
    if (!isHashed(key)) return;
    this.#hashRow(key, value);
    for (let lane = 0; lane < 4; lane += 1) {
      this.#sums[lane] = (this.#sums[lane] as number) - (this.#row[lane] as number);
    }
  }

  /** Returns the hash as STATE_HASH_BYTES bytes. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(STATE_HASH_BYTES);
    const view = new DataView(bytes.buffer);
    for (const [lane, sum] of this.#sums.entries()) view.setUint32(lane * 4, sum, true);
    return bytes;
  }

  /**
   * Hashes the key, then the value with that hash as the seed: key and value cannot be exchanged.
   */
  #hashRow(key: Uint8Array, value: Uint8Array): void {
    this.#row.fill(0);
    murmur128(key, this.#row);
    murmur128(value, this.#row);
  }
}

/** Returns whether the row is part of the hash. Two rows are not: see the keys above. */
function isHashed(key: Uint8Array): boolean {
  if (key.length !== 2) return true;
  return !isKey(key, APPLIED_KEY) && !isKey(key, MEMBERSHIP_KEY);
}

const isKey = (key: Uint8Array, [first, second]: readonly number[]): boolean =>
  key[0] === first && key[1] === second;

// MurmurHash3 x86_128 by Austin Appleby, in the public domain (github.com/aappleby/smhasher), with
// one seed for each lane.
const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;
const BLOCK_BYTES = 16;
/** The last partial block of the input, padded with zeros. */
const TAIL = new Uint8Array(BLOCK_BYTES);

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));
const mix1 = (word: number): number => Math.imul(rotate(Math.imul(word, C1), 15), C2);
const mix2 = (word: number): number => Math.imul(rotate(Math.imul(word, C2), 16), C3);
const mix3 = (word: number): number => Math.imul(rotate(Math.imul(word, C3), 17), C4);
const mix4 = (word: number): number => Math.imul(rotate(Math.imul(word, C4), 18), C1);

/** Returns four bytes from `offset`, little-endian. */
const wordAt = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset] as number) |
  ((bytes[offset + 1] as number) << 8) |
  ((bytes[offset + 2] as number) << 16) |
  ((bytes[offset + 3] as number) << 24);

function finalMix(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Hashes `bytes` with the seeds in `lanes`, and stores the hash in `lanes`. */
function murmur128(bytes: Uint8Array, lanes: Uint32Array): void {
  let h1 = lanes[0] as number;
  let h2 = lanes[1] as number;
  let h3 = lanes[2] as number;
  let h4 = lanes[3] as number;
  const blocksEnd = bytes.length - (bytes.length % BLOCK_BYTES);
  for (let offset = 0; offset < blocksEnd; offset += BLOCK_BYTES) {
    h1 ^= mix1(wordAt(bytes, offset));
    h1 = (Math.imul(rotate(h1, 19) + h2, 5) + 0x561ccd1b) | 0;
    h2 ^= mix2(wordAt(bytes, offset + 4));
    h2 = (Math.imul(rotate(h2, 17) + h3, 5) + 0x0bcaa747) | 0;
    h3 ^= mix3(wordAt(bytes, offset + 8));
    h3 = (Math.imul(rotate(h3, 15) + h4, 5) + 0x96cd1c35) | 0;
    h4 ^= mix4(wordAt(bytes, offset + 12));
    h4 = (Math.imul(rotate(h4, 13) + h1, 5) + 0x32ac3b17) | 0;
  }
  if (blocksEnd < bytes.length) {
    // Zeros mix to zero, so padding gives the same result as the reference code, which skips it.
    TAIL.fill(0);
    for (let index = blocksEnd; index < bytes.length; index += 1) {
      TAIL[index - blocksEnd] = bytes[index] as number;
    }
    h1 ^= mix1(wordAt(TAIL, 0));
    h2 ^= mix2(wordAt(TAIL, 4));
    h3 ^= mix3(wordAt(TAIL, 8));
    h4 ^= mix4(wordAt(TAIL, 12));
  }
  h1 ^= bytes.length;
  h2 ^= bytes.length;
  h3 ^= bytes.length;
  h4 ^= bytes.length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = finalMix(h1);
  h2 = finalMix(h2);
  h3 = finalMix(h3);
  h4 = finalMix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  lanes[0] = h1;
  lanes[1] = h2 + h1;
  lanes[2] = h3 + h1;
  lanes[3] = h4 + h1;
}
