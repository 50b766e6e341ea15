/**
 * Reads a source ahead of its consumer, up to a number of items, and shows the items that were read.
 * The source runs at the same time as the consumer. One caller waits at a time.
 */
export class ReadAhead<Item> implements AsyncDisposable {
  readonly #source: AsyncIterator<Item>;
  readonly #countMax: number;
  readonly #items: Item[] = [];
  /** How the source has ended; null while it can yield items. */
  #end: { readonly error: unknown } | "done" | null = null;
  #reading: Promise<void> | null = null;
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(source: AsyncIterable<Item>, countMax: number) {
    this.#source = source[Symbol.asyncIterator]();
    this.#countMax = countMax;
  }

  /** Items that `next` will return, in their order. */
  get buffered(): readonly Item[] {
    return this.#items;
  }

  /** Resolves with the next item; null at the end. @throws the error of the source */
  async next(): Promise<Item | null> {
    for (;;) {
      this.#read();
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#end === "done") return null;
      if (this.#end !== null) throw this.#end.error;
      await this.#change();
    }
  }

  /** Resolves when `count` items are buffered, or the source has ended. At most the limit. */
  async filled(count: number): Promise<void> {
    while (this.#items.length < count && this.#end === null) {
      this.#read();
      await this.#change();
    }
  }

  /** Ends the source. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#reading;
    await this.#source.return?.();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #read(): void {
    const hasRoom = this.#end === null && this.#items.length < this.#countMax;
    // `#fill` does not reject, and does not end before its first await.
    if (hasRoom && this.#reading === null) this.#reading = this.#fill();
  }

  async #fill(): Promise<void> {
    try {
      while (!this.#isClosed && this.#items.length < this.#countMax) {
        const next = await this.#source.next();
        if (next.done === true) {
          this.#end = "done";
          break;
        }
        this.#items.push(next.value);
        this.#wake();
      }
    } catch (error) {
      this.#end = { error };
    }
    this.#reading = null;
    this.#wake();
  }
}
