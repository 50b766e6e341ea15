/**
 * A queue that serves its sources in turn, and the items of one source in their order. A source with
 * many items does not delay the others.
 */
export class FairQueue<Item> {
  /** The items by source. The first source is served next. No source is without items. */
  readonly #sources = new Map<string, Set<Item>>();
  #size = 0;

  /** Number of items. */
  get size(): number {
    return this.#size;
  }

  /** Adds an item, which must not be in the queue. */
  push(source: string, item: Item): void {
    const items = this.#sources.get(source);
    if (items === undefined) this.#sources.set(source, new Set([item]));
    else items.add(item);
    this.#size += 1;
  }

  /** Returns the item that is served next. Undefined if the queue is empty. */
  peek(): Item | undefined {
    for (const items of this.#sources.values()) for (const item of items) return item;
    return undefined;
  }

  /** Removes and returns the next item. Its source is then the last one in turn. */
  shift(): Item | undefined {
    return this.shiftIf(() => true);
  }

  /** As `shift`, without the sources whose first item does not satisfy `condition`. */
  shiftIf(condition: (item: Item) => boolean): Item | undefined {
    for (const [source, items] of this.#sources) {
      for (const item of items) {
        if (!condition(item)) break;
        this.delete(source, item);
        this.#sources.delete(source);
        if (items.size > 0) this.#sources.set(source, items);
        return item;
      }
    }
    return undefined;
  }

  /** Removes an item. @returns whether it was in the queue */
  delete(source: string, item: Item): boolean {
    const items = this.#sources.get(source);
    if (items === undefined || !items.delete(item)) return false;
    this.#size -= 1;
    if (items.size === 0) this.#sources.delete(source);
    return true;
  }

  /** The items, by source. */
  *[Symbol.iterator](): Iterator<Item> {
    for (const items of this.#sources.values()) yield* items;
  }
}
