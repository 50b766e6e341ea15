/** The place of an item in a `LinkedFifo`. */
export class Place<Item> {
  readonly item: Item;
  previous: Place<Item> | null = null;
  next: Place<Item> | null = null;

  constructor(item: Item) {
    this.item = item;
  }
}

/** A queue from which any item can be removed in constant time. A removed item takes no memory. */
export class LinkedFifo<Item> {
  #first: Place<Item> | null = null;
  #last: Place<Item> | null = null;

  get isEmpty(): boolean {
    return this.#first === null;
  }

  /** Adds an item at the end, and returns its place for `remove`. */
  push(item: Item): Place<Item> {
    const place = new Place(item);
    place.previous = this.#last;
    if (this.#last === null) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    return place;
  }

  /** Removes the first item and returns it. */
  shift(): Item | undefined {
    const first = this.#first;
    if (first === null) return undefined;
    this.remove(first);
    return first.item;
  }

  /** Removes an item that is in this queue. */
  remove(place: Place<Item>): void {
    const { previous, next } = place;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    place.previous = null;
    place.next = null;
  }
}
