import { compareBytes } from "../../shared/base/bytes.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { DIGEST_BYTES, type Digest } from "../../shared/base/ids.ts";
import type { Hasher, HashStream } from "../../shared/ports/hasher.ts";
import type { KeyValue } from "../../shared/ports/ordered-store.ts";
import { decodePairs, encodePairs, sizeOfPair } from "../../shared/protocol/pairs.ts";

/**
 * A range ends when it has at least 1/2,048 of the bytes before it, and at least its minimum. So a state of
 * 128 MiB has 2,048 ranges of 64 KiB, and the number grows with the logarithm of the size: RANGES_MAX at
 * about 137 GiB.
 */
const RANGES_PER_STATE = 2_048;
/**
 * Maximum number of ranges in a list. With the keys of a namespace (at most 300 bytes, usually 30) a
 * list takes 2 to 6 MB of memory. Beyond this number the last range grows without a limit.
 */
export const RANGES_MAX = 16_384;
/** Approximate size of the body of a message with ranges. */
const PAGE_BYTES = 256 * 1024;

const NO_KEY = new Uint8Array(0);
const NO_BYTES = new Uint8Array(0);

/**
 * Consecutive rows that the receiver of a snapshot has. The ranges of a list adjoin: a range begins
 * after the end of the previous one, the first one with the first key.
 */
export interface HeldRange {
  /** Last key of the range. The range may have no row with this key. */
  readonly end: Uint8Array;
  /** BLAKE3 over the encoding of the rows. Null: the rows are not known and must be replaced. */
  readonly digest: Digest | null;
}

/** A range that the sender asks the receiver to keep. */
export interface RangeToKeep extends HeldRange {
  /** The key before the range. Empty for the first range. */
  readonly after: Uint8Array;
  readonly digest: Digest;
}

/** Returns the smallest key after `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/**
 * The ranges of a partial snapshot, during one transfer. Up to `position` the rows are those of the
 * sender. After it they are rows of an earlier transfer, if any.
 */
export class HeldRanges {
  readonly #hasher: Hasher | null;
  readonly #bytesMin: number;
  readonly #earlier: readonly HeldRange[];
  /** Number of ranges in `#earlier` that end at or before `position`. */
  #passedCount = 0;
  readonly #verified: HeldRange[] = [];
  /** The received rows after the last verified range. Null if there are none. */
  #open: { readonly digest: HashStream; sizeBytes: number } | null = null;
  #position = NO_KEY;
  /** Size of all rows up to `position`. */
  #sizeBytes = 0;

  /**
   * @param options.hasher null: no ranges are made, only the position is known
   * @param options.bytesMin smallest size of a range, apart from the last one
   * @param options.earlier the ranges that remain from an earlier transfer
   */
  constructor(options: {
    readonly hasher: Hasher | null;
    readonly bytesMin: number;
    readonly earlier?: readonly HeldRange[];
  }) {
    this.#hasher = options.hasher;
    this.#bytesMin = options.bytesMin;
    this.#earlier = options.earlier ?? [];
  }

  /** The last key up to which the rows are those of the sender. Empty if there is none. */
  get position(): Uint8Array {
    return this.#position;
  }

  /** Whether rows of an earlier transfer may be after `position`. */
  get hasEarlierRows(): boolean {
    return this.#passedCount < this.#earlier.length;
  }

  /** Whether no rows are held. */
  get isEmpty(): boolean {
    return this.#position.length === 0 && !this.hasEarlierRows;
  }

  /** Adds received rows, which have replaced all rows from `position` to the last key of `pairs`. */
  addRows(pairs: readonly KeyValue[], body: Uint8Array): void {
    if (this.#hasher !== null) this.#hashRows(this.#hasher, pairs, body);
    const last = pairs.at(-1);
    if (last !== undefined) this.#moveTo(last.key);
  }

  #hashRows(hasher: Hasher, pairs: readonly KeyValue[], body: Uint8Array): void {
    let offset = 0;
    let hashedTo = 0;
    for (const pair of pairs) {
      const sizeBytes = sizeOfPair(pair);
      offset += sizeBytes;
      this.#open ??= { digest: hasher.stream(), sizeBytes: 0 };
      this.#open.sizeBytes += sizeBytes;
      this.#sizeBytes += sizeBytes;
      if (this.#open.sizeBytes < this.#rangeBytes || this.#count >= RANGES_MAX) continue;
      this.#open.digest.update(body.subarray(hashedTo, offset));
      hashedTo = offset;
      this.#moveTo(pair.key);
      this.#closeOpen();
    }
    if (hashedTo < offset) this.#open?.digest.update(body.subarray(hashedTo, offset));
  }

  /**
   * Returns the range with this number in the earlier list.
   *
   * @throws {AshlarError} PROTOCOL_ERROR if the list has no such range, its rows are not known, or
   *   the sender has passed it
   */
  rangeToKeep(number: number): RangeToKeep {
    const range = this.#earlier[number];
    if (range === undefined || range.digest === null) {
      throw malformed(`the range ${number} to keep was not reported`);
    }
    const after = this.#earlier[number - 1]?.end ?? NO_KEY;
    if (compareBytes(after, this.#position) < 0) {
      throw malformed(`the range ${number} to keep is before the last row`);
    }
    return { ...range, after, digest: range.digest };
  }

  /** Adds a kept range. No rows are between `position` and its begin. */
  addKept({ end, digest }: RangeToKeep, sizeBytes: number): void {
    this.#closeOpen();
    this.#verified.push({ end, digest });
    this.#sizeBytes += sizeBytes;
    this.#moveTo(end);
  }

  /**
   * Returns the end of the range with this number in the earlier list. Null if `position` has reached it.
   *
   * @throws {AshlarError} PROTOCOL_ERROR if the list has no such range
   */
  endToDrop(number: number): Uint8Array | null {
    const range = this.#earlier[number];
    if (range === undefined) throw malformed(`the range ${number} to drop was not reported`);
    return compareBytes(range.end, this.#position) > 0 ? range.end : null;
  }

  /** Moves to `key`. No rows are between `position` and it. */
  pass(key: Uint8Array): void {
    this.#moveTo(key);
  }

  /** Records that all rows of an earlier transfer after `position` were removed. */
  dropEarlier(): void {
    this.#passedCount = this.#earlier.length;
  }

  /** Returns the ranges of all rows. Called once, at the end of the transfer. */
  close(): readonly HeldRange[] {
    this.#closeOpen();
    const [next, ...others] = this.#earlier.slice(this.#passedCount);
    const ranges = [...this.#verified];
    if (next !== undefined) {
      const after = this.#earlier[this.#passedCount - 1]?.end ?? NO_KEY;
      // The sender has sent rows of the range and not all of them.
      const isCut = compareBytes(after, this.#position) < 0;
      ranges.push(isCut ? { end: next.end, digest: null } : next, ...others);
    }
    const last = ranges.at(-1);
    if (last === undefined || ranges.length <= RANGES_MAX) return ranges;
    return [...ranges.slice(0, RANGES_MAX - 1), { end: last.end, digest: null }];
  }

  get #rangeBytes(): number {
    return Math.max(this.#bytesMin, this.#sizeBytes / RANGES_PER_STATE);
  }

  get #count(): number {
    return this.#verified.length + this.#earlier.length - this.#passedCount;
  }

  #moveTo(key: Uint8Array): void {
    this.#position = key.slice();
    for (;;) {
      const next = this.#earlier[this.#passedCount];
      if (next === undefined || compareBytes(next.end, key) > 0) return;
      this.#passedCount += 1;
    }
  }

  #closeOpen(): void {
    if (this.#open === null) return;
    this.#verified.push({ end: this.#position, digest: this.#open.digest.digest() });
    this.#open = null;
  }
}

/** Encodes the ranges of a list as the bodies of `held` messages. An empty list has one body. */
export function encodeRanges(ranges: readonly HeldRange[]): readonly Uint8Array[] {
  const pages: Uint8Array[] = [];
  let pairs: KeyValue[] = [];
  let sizeBytes = 0;
  for (const { end, digest } of ranges) {
    const pair = { key: end, value: digest ?? NO_BYTES };
    pairs.push(pair);
    sizeBytes += sizeOfPair(pair);
    if (sizeBytes < PAGE_BYTES) continue;
    pages.push(encodePairs(pairs));
    pairs = [];
    sizeBytes = 0;
  }
  if (pairs.length > 0 || pages.length === 0) pages.push(encodePairs(pairs));
  return pages;
}

/**
 * Adds the ranges in the body of a `held` message to `ranges`.
 *
 * @throws {AshlarError} PROTOCOL_ERROR if the ranges are not in order, or too many
 */
export function decodeRanges(body: Uint8Array, ranges: HeldRange[]): void {
  for (const { key, value } of decodePairs(body.slice())) {
    if (value.length !== 0 && value.length !== DIGEST_BYTES) {
      throw malformed("a digest has a wrong length");
    }
    const previous = ranges.at(-1)?.end ?? NO_KEY;
    if (compareBytes(previous, key) >= 0) throw malformed("the ranges are not in order");
    if (ranges.length === RANGES_MAX) throw malformed(`there are more than ${RANGES_MAX} ranges`);
    ranges.push({ end: key, digest: value.length === 0 ? null : (value as Digest) });
  }
}

function malformed(reason: string): AshlarError {
  return new AshlarError("PROTOCOL_ERROR", `Cannot resume a snapshot: ${reason}`);
}
