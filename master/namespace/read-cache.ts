import { assert } from "../../shared/base/assert.ts";
import type { Key } from "./keys.ts";

interface Cached {
  readonly value: unknown;
  readonly sizeBytes: number;
}

/**
 * A cache of recently read, decoded values, in two generations. A value that is read moves to the
 * young generation. When the young generation is full, it becomes the old one, and the previous old
 * generation is dropped. The size is bounded by about twice `generationBytesMax`.
 */
export class ReadCache {
  readonly #generationBytesMax: number;
  #young = new Map<Key, Cached>();
  #old = new Map<Key, Cached>();
  #youngBytes = 0;

  constructor(options: { readonly generationBytesMax: number }) {
    assert(options.generationBytesMax > 0, "the size of a generation is positive");
    this.#generationBytesMax = options.generationBytesMax;
  }

  get(key: Key): unknown {
    const young = this.#young.get(key);
    if (young !== undefined) return young.value;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#insert(key, old);
    return old.value;
  }

  set(key: Key, value: unknown, sizeBytes: number): void {
    this.#insert(key, { value, sizeBytes });
  }

  delete(key: Key): void {
    const young = this.#young.get(key);
    if (young !== undefined) this.#youngBytes -= young.sizeBytes;
    this.#young.delete(key);
    this.#old.delete(key);
  }

  /**
   * Inserts a value into the young generation. A stale value in the old generation may stay,
   * because `get` searches the young generation first.
   */
  #insert(key: Key, cached: Cached): void {
    this.#youngBytes -= this.#young.get(key)?.sizeBytes ?? 0;
    if (this.#youngBytes + cached.sizeBytes > this.#generationBytesMax) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(key, cached);
    this.#youngBytes += cached.sizeBytes;
  }
}
