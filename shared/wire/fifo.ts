/** A queue whose `shift` takes constant time on average. */
export class Fifo<Item> {
  #items: Array<Item | undefined> = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  peek(): Item | undefined {
    return this.#items[this.#first];
  }

  shift(): Item | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first] = undefined; // Frees its memory before the next splice.
    this.#first += 1;
    if (this.#first === this.#items.length) {
      this.#items = [];
      this.#first = 0;
    } else if (this.#first >= 1024) {
      this.#items.splice(0, this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Empties the queue and returns its items in order. */
  takeAll(): Item[] {
    const left = this.#items.slice(this.#first) as Item[];
    this.#items = [];
    this.#first = 0;
    return left;
  }
}
