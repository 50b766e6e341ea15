import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex } from "../../shared/base/ids.ts";
import { entriesSizeBytes, limitSize } from "../raft/entries.ts";
import type { Entry } from "../raft/messages.ts";
import type { LogRange } from "../raft/storage.ts";
import type { DurableLog } from "./member-storage.ts";

/**
 * Maximum number of concurrent reads. A read beyond it is not started: its reader asks again after
 * the next `onLoaded`.
 */
const LOADS_MAX = 4;
/** A page has this part of the memory: each follower that is far behind needs one, and a next one. */
const PAGE_SHARE = 1 / 16;

/** Receives the results of the reads. */
export interface LoadListener {
  /** Called after a read: the entries may be available now, or compacted. */
  readonly onLoaded: () => void;
  /** Called when the disk does not have an entry of the log. */
  readonly onFailure: (first: LogIndex, error: AshlarError) => void;
}

/** Consecutive entries, at least one. */
interface Page {
  readonly entries: readonly Entry[];
  readonly firstIndex: number;
  /** Index after the last entry. */
  readonly endIndex: number;
}

/**
 * Entries that were read from disk for members that are far behind: the core asks for a range, and
 * asks again when it is loaded. A page stays until newer ones take its place, or the log has replaced
 * its entries.
 */
export class LoadedEntries {
  readonly #log: DurableLog;
  readonly #bytesMax: number;
  readonly #loading = new Map<LogIndex, Promise<void>>();
  /** The pages, the least recently used one first. */
  #pages: Page[] = [];
  #listener: LoadListener | null = null;

  /** @param bytesMax memory of all pages */
  constructor(log: DurableLog, bytesMax: number) {
    this.#log = log;
    this.#bytesMax = bytesMax;
  }

  /** Sets the receiver of the results. */
  listen(listener: LoadListener): void {
    this.#listener = listener;
  }

  /** Drops the pages. Resolves when no read is in progress; the listener gets no result of them. */
  async close(): Promise<void> {
    this.#listener = null;
    this.#pages = [];
    await Promise.all(this.#loading.values());
  }

  /**
   * Returns the longest prefix of `range` that is loaded, at most `bytesMax` but at least one entry.
   * Null if the first entry is not loaded: it is read then.
   */
  read({ fromIndex, toIndex }: LogRange, bytesMax: number): readonly Entry[] | null {
    const page = this.#pages.find(
      ({ firstIndex, endIndex }) => fromIndex >= firstIndex && fromIndex < endIndex,
    );
    if (page === undefined) {
      this.#load(fromIndex);
      return null;
    }
    const others = this.#pages.filter((other) => other !== page);
    const start = fromIndex - page.firstIndex;
    const found = limitSize(page.entries.slice(start, start + toIndex - fromIndex), bytesMax);
    // The log may replace entries that were not committed when it was opened. If the last entry is still
    // in it, all of them are (Raft §5.3, log matching).
    const last = found.at(-1);
    if (last === undefined || !this.#log.entries.has(last)) {
      this.#pages = others;
      this.#load(fromIndex);
      return null;
    }
    this.#pages = [...others, page];
    // The reader of the last page of entries soon needs the next one.
    const nextIndex = page.endIndex as LogIndex;
    if (nextIndex < toIndex && !this.#isLoaded(nextIndex)) this.#load(nextIndex);
    return found;
  }

  #isLoaded(index: LogIndex): boolean {
    if (index >= this.#log.entries.firstCachedIndex) return true;
    return this.#pages.some((page) => index >= page.firstIndex && index < page.endIndex);
  }

  #load(first: LogIndex): void {
    if (this.#loading.has(first) || this.#loading.size >= LOADS_MAX) return;
    this.#loading.set(first, this.#loadPage(first));
  }

  async #loadPage(first: LogIndex): Promise<void> {
    try {
      this.#add(await this.#log.load(first, this.#bytesMax * PAGE_SHARE));
    } catch (error) {
      if (!isAshlarError(error)) throw error;
      this.#listener?.onFailure(first, error);
    }
    this.#loading.delete(first);
    this.#listener?.onLoaded();
  }

  #add(entries: readonly Entry[]): void {
    const [first] = entries;
    if (first === undefined || this.#listener === null) return;
    this.#pages.push({
      entries,
      firstIndex: first.index,
      endIndex: first.index + entries.length,
    });
    // An entry may be longer than a page.
    let sizeBytes = 0;
    for (const page of this.#pages) sizeBytes += entriesSizeBytes(page.entries);
    while (sizeBytes > this.#bytesMax && this.#pages.length > 1) {
      const dropped = this.#pages.shift();
      if (dropped !== undefined) sizeBytes -= entriesSizeBytes(dropped.entries);
    }
  }
}
