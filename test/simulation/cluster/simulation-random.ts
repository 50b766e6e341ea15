import { present } from "../../../shared/base/assert.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

/**
 * Source of randomness for one purpose. Each part of a simulation has its own, so that the draws of
 * one part do not change the values that other parts draw.
 */
export class SimulationRandom extends SeededRandom {
  /**
   * Returns a source that is seeded by a hash of both values. The hash depends on every character
   * of `purpose`: a changed string produces different numbers, and a different run for the same
   * seed.
   */
  static forPurpose(seed: number, purpose: string): SimulationRandom {
    return new SimulationRandom(mix(seed, purpose));
  }

  /** Returns true with this probability, in [0, 1]. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** Returns a uniformly distributed number in [`low`, `high`). */
  uniform(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  /**
   * Returns a number in [`low`, `high`) with a uniformly distributed logarithm: each order of
   * magnitude is equally likely. Both ends are positive.
   */
  logUniform(low: number, high: number): number {
    return Math.exp(this.uniform(Math.log(low), Math.log(high)));
  }

  /** Returns one of the items, each with the same probability. */
  pick<T>(items: readonly T[]): T {
    return present(items[this.integer(items.length)], "the list to pick from is not empty");
  }

  /**
   * Returns a key with a probability proportional to its weight. Depends on the order of the keys.
   */
  pickWeighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const keys = Object.keys(weights) as Key[];
    let left = this.fraction() * keys.reduce((sum, key) => sum + weights[key], 0);
    for (const key of keys) {
      left -= weights[key];
      if (left < 0) return key;
    }
    return present(keys.at(-1), "the weights are not empty");
  }
}

/** Returns FNV-1a over the purpose, with the seed mixed into the offset basis. */
function mix(seed: number, purpose: string): number {
  let hash = Math.imul(seed ^ 0x811c9dc5, 0x01000193) >>> 0;
  for (const character of purpose) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return hash;
}
