import { assert } from "../../../shared/base/assert.ts";

/** Bound of the comparisons of operation sets in a search. They take some minutes. */
const COMPARISONS_MAX = 1_000_000_000;

/** The states that a search has visited, with the operations that led to them. */
export interface SearchMemory {
  /** Whether the search may place an operation of unknown output more than once. */
  readonly repeatsUnknown: boolean;
  /** Returns whether the search has not visited this state with these operations. Records the visit. */
  isNew(state: string, placed: PlacedSet): boolean;
}

/**
 * The memory of the complete search: all operations that led to a state.
 *
 * A visit is excluded if an earlier visit of the same state had the same operations of known output
 * and a subset of its operations of unknown output. The earlier visit could still place the
 * difference, so it allows everything that the later visit allows. Without this rule, the search
 * would try every combination of the operations of unknown output, most of which are possible
 * nearly everywhere.
 */
export class CompleteSearchMemory implements SearchMemory {
  readonly repeatsUnknown = false;
  readonly #seen = new Map<string, Uint32Array[]>();
  #comparisonCount = 0;

  isNew(state: string, placed: PlacedSet): boolean {
    const key = `${placed.knownHash} ${state}`;
    const sets = this.#seen.get(key);
    if (sets === undefined) {
      this.#seen.set(key, [placed.copy()]);
      return true;
    }
    this.#comparisonCount += sets.length;
    assert(this.#comparisonCount < COMPARISONS_MAX, "the search ends within COMPARISONS_MAX");
    if (sets.some((set) => placed.hasAllOf(set))) return false;
    sets.push(placed.copy());
    return true;
  }
}

/**
 * The memory of the fast search: only the operations of known output count. The search is fast even
 * with many dozens of operations of unknown output. It can miss valid orders that place another
 * selection of these operations.
 */
export class FastSearchMemory implements SearchMemory {
  readonly repeatsUnknown = false;
  readonly #seen = new Set<string>();

  isNew(state: string, placed: PlacedSet): boolean {
    const countBefore = this.#seen.size;
    return this.#seen.add(`${placed.knownHash} ${state}`).size > countBefore;
  }
}

/**
 * The memory of the relaxed search: it may place an operation of unknown output any number of
 * times. Every valid order is also an order of the relaxed search. So if that finds none, the
 * history is not linearizable. It ends after few steps, because only the operations of known output
 * and the state of a visit matter. These are compared exactly: a collision of hashes would make the
 * search miss an order.
 */
export class RelaxedSearchMemory implements SearchMemory {
  readonly repeatsUnknown = true;
  readonly #seen = new Set<string>();

  isNew(state: string, placed: PlacedSet): boolean {
    const countBefore = this.#seen.size;
    return this.#seen.add(`${placed.copy().join(" ")} ${state}`).size > countBefore;
  }
}

/**
 * The set of placed operations: one bit for each, and an incremental hash of those of known output
 * (Zobrist hashing).
 */
export class PlacedSet {
  readonly #words: Uint32Array;
  /** The operations of known output, placed or not. */
  readonly #known: Uint32Array;
  /** Hash of the placed operations of known output. */
  knownHash = 0;

  constructor(isKnown: readonly boolean[]) {
    this.#words = new Uint32Array(Math.ceil(isKnown.length / 32));
    this.#known = this.#words.slice();
    for (const [position, known] of isKnown.entries()) if (known) flip(this.#known, position);
  }

  toggle(position: number): void {
    flip(this.#words, position);
    if (hasBit(this.#known, position)) this.knownHash = (this.knownHash ^ mix(position)) >>> 0;
  }

  has(position: number): boolean {
    return hasBit(this.#words, position);
  }

  copy(): Uint32Array {
    return this.#words.slice();
  }

  /**
   * Returns whether this set has the same operations of known output as `words`, and all operations
   * of unknown output of `words`.
   */
  hasAllOf(words: Uint32Array): boolean {
    return words.every((word, index) => {
      const own = this.#words[index] as number;
      const known = this.#known[index] as number;
      return ((word ^ own) & known) === 0 && (word & ~own) === 0;
    });
  }
}

function flip(words: Uint32Array, position: number): void {
  const word = position >>> 5;
  words[word] = ((words[word] as number) ^ (1 << (position & 31))) >>> 0;
}

function hasBit(words: Uint32Array, position: number): boolean {
  return ((words[position >>> 5] as number) & (1 << (position & 31))) !== 0;
}

function mix(position: number): number {
  let mixed = Math.imul(position + 1, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
