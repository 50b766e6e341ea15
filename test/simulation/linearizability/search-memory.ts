import { assert } from "../../../shared/base/assert.ts";

/** Comparisons of sets of operations after which a search is given up: some minutes. */
const COMPARISONS_MAX = 1_000_000_000;

/** Where a search has been. */
export interface SearchMemory {
  /** Whether what follows is still to be tried. From then on it is not. */
  isNew(state: string, placed: PlacedSet): boolean;
}

/**
 * Remembers all operations that led to a state. With more of unknown output than once before nothing
 * new is possible: what is left of them may still be placed. So as few as can be are: else two dozen
 * of them, each of which nearly always fits, would be tried in every combination.
 */
export class ExhaustiveMemory implements SearchMemory {
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
    assert(this.#comparisonCount < COMPARISONS_MAX, "a history is small enough to be searched");
    if (sets.some((set) => placed.hasAllOf(set))) return false;
    sets.push(placed.copy());
    return true;
  }
}

/**
 * Cares only for the operations with a known output: quick even where many dozens of the others could
 * be combined, and blind to orders that need one of those spent on the way.
 */
export class KnownOnlyMemory implements SearchMemory {
  readonly #seen = new Set<string>();

  isNew(state: string, placed: PlacedSet): boolean {
    const countBefore = this.#seen.size;
    return this.#seen.add(`${placed.knownHash} ${state}`).size > countBefore;
  }
}

/**
 * Which operations are placed: a bit for each, and a hash of those with a known output that follows
 * every change (Zobrist).
 */
export class PlacedSet {
  readonly #words: Uint32Array;
  /** The operations with a known output. */
  readonly #known: Uint32Array;
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

  /** Whether it holds the same with a known output, and all others of `words`. */
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
