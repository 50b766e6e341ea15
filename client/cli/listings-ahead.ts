/** Directories of one level that are listed before they are needed. */
export const AHEAD_MAX = 8;
/** Listings that are started and not taken. Each holds one page of entries. */
const STARTED_MAX = 64;

type Listing<Entry> = AsyncGenerator<Entry, void, void>;

/** A listing whose first page is requested. */
interface Started<Entry> {
  readonly rest: Listing<Entry>;
  readonly first: Promise<IteratorResult<Entry, void>>;
}

/**
 * Lists directories one after the other, and requests the first pages of the next ones at the same
 * time: a listing of a tree then does not wait for each of its directories.
 */
export class ListingsAhead<Path extends object, Entry> implements AsyncDisposable {
  readonly #list: (path: Path) => Listing<Entry>;
  readonly #started = new Map<Path, Started<Entry>>();

  constructor(list: (path: Path) => Listing<Entry>) {
    this.#list = list;
  }

  /** Requests the first pages of directories. @param next in the order in which they are taken */
  prepare(next: readonly Path[]): void {
    for (const path of next.slice(0, AHEAD_MAX)) {
      if (this.#started.size >= STARTED_MAX) return;
      if (!this.#started.has(path)) this.#started.set(path, this.#start(path));
    }
  }

  /** Yields the entries of a directory. */
  async *take(path: Path): Listing<Entry> {
    const { first, rest } = this.#started.get(path) ?? this.#start(path);
    this.#started.delete(path);
    try {
      for (let next = await first; next.done !== true; next = await rest.next()) yield next.value;
    } finally {
      await rest.return();
    }
  }

  /** Ends the listings that were not taken. */
  async [Symbol.asyncDispose](): Promise<void> {
    const listings = [...this.#started.values()];
    this.#started.clear();
    await Promise.allSettled(listings.map(({ rest }) => rest.return()));
  }

  #start(path: Path): Started<Entry> {
    const rest = this.#list(path);
    const first = rest.next();
    first.catch(() => {}); // `take` throws the error.
    return { rest, first };
  }
}
