import { present } from "../../../shared/base/assert.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

/** Chance for one purpose: what one part of a simulation draws does not shift what others get. */
export class Dice extends SeededRandom {
  /** One dice for each seed and purpose. */
  static of(seed: number, purpose: string): Dice {
    return new Dice(mix(seed, purpose));
  }

  isBelow(share: number): boolean {
    return this.fraction() < share;
  }

  /** A float in [`low`, `high`). */
  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  /** As `between`, with as many values in each order of magnitude. Both ends are positive. */
  magnitude(low: number, high: number): number {
    return Math.exp(this.between(Math.log(low), Math.log(high)));
  }

  pick<T>(items: readonly T[]): T {
    return present(items[this.integer(items.length)], "something to pick from");
  }

  /** A key, as often as its weight says. */
  weighted<Key extends string>(weights: Readonly<Record<Key, number>>): Key {
    const keys = Object.keys(weights) as Key[];
    let left = this.fraction() * keys.reduce((sum, key) => sum + weights[key], 0);
    for (const key of keys) {
      left -= weights[key];
      if (left < 0) return key;
    }
    return present(keys.at(-1), "there are keys");
  }
}

/** FNV-1a over the purpose, begun with the seed. */
function mix(seed: number, purpose: string): number {
  let hash = Math.imul(seed ^ 0x811c9dc5, 0x01000193) >>> 0;
  for (const character of purpose) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return hash;
}
