import type { StoreChange } from "../../shared/ports/ordered-store.ts";
import { type Key, putText } from "./keys.ts";
import type { Cell, Layer } from "./layer.ts";

/**
 * Size of the arrays that hold the encoded keys. One array for each key would be too many objects.
 */
const SLAB_BYTES = 16 * 1024;

/**
 * The changes of one frozen layer, encoded step by step for the store. Later writes do not change
 * these values.
 */
export class FrozenCells {
  readonly #keys: Key[] = [];
  readonly #cells: Cell[] = [];
  #position = 0;
  #slab = new Uint8Array(0);
  #slabBytes = 0;

  constructor(layer: Layer) {
    layer.forEach((key, cell) => {
      this.#keys.push(key);
      this.#cells.push(cell);
    });
  }

  /**
   * Encodes and visits the next `count` changes.
   *
   * @param visit receives a change, and whether the store has no value under its key
   * @returns false after the last change
   */
  visitNext(count: number, visit: (change: StoreChange, isFresh: boolean) => void): boolean {
    const end = Math.min(this.#position + count, this.#keys.length);
    for (; this.#position < end; this.#position += 1) {
      const key = this.#keys[this.#position] as Key;
      const { table, value, isFresh } = this.#cells[this.#position] as Cell;
      const bytes = table === null ? null : table.encode(value, key);
      visit({ key: this.#keyBytes(key), value: bytes }, isFresh);
    }
    return this.#position < this.#keys.length;
  }

  #keyBytes(key: Key): Uint8Array {
    if (this.#slabBytes + key.length > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(SLAB_BYTES, key.length));
      this.#slabBytes = 0;
    }
    const start = this.#slabBytes;
    putText(this.#slab, start, key);
    this.#slabBytes += key.length;
    return this.#slab.subarray(start, this.#slabBytes);
  }
}
