import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import { entrySizeBytes, indexAfter } from "../raft/entries.ts";
import type { Entry, EntryPosition } from "../raft/messages.ts";
import { sizeOfEntry } from "./log-record.ts";
import { TermRuns } from "./term-runs.ts";

/** Memory of an entry in addition to its size in a record: its object, its view and its place. */
const ENTRY_OVERHEAD_BYTES = 150;

/**
 * The log as it is known in memory: the terms of all entries after `base`, and the last entries
 * themselves. The other entries are on disk only.
 *
 * Invariant: the cached entry with index i is at position i - firstCachedIndex, without gaps up to
 * `lastIndex`.
 */
export class LogEntries {
  readonly #terms: TermRuns;
  #firstCachedIndex: LogIndex;
  #cached: Entry[] = [];
  #cachedBytes = 0;

  constructor(base: EntryPosition) {
    this.#terms = new TermRuns(base);
    this.#firstCachedIndex = this.firstIndex;
  }

  /** Index and term of the entry before the first one. */
  get base(): EntryPosition {
    return this.#terms.base;
  }

  /** Index of the first entry, or of the next one if there are none. */
  get firstIndex(): LogIndex {
    return indexAfter(this.#terms.base.index);
  }

  /** Index of the last entry; `base.index` if there are none. */
  get lastIndex(): LogIndex {
    return this.#terms.lastIndex;
  }

  /** Term of the last entry; `base.term` if there are none. */
  get lastTerm(): Term {
    return this.#terms.lastTerm;
  }

  /** Index of the first entry that is in memory, or of the next one if none is. */
  get firstCachedIndex(): LogIndex {
    return this.#firstCachedIndex;
  }

  /** Memory of the cached entries, in bytes. */
  get cachedBytes(): number {
    return this.#cachedBytes;
  }

  /** Returns the term of the entry at `index`, from `base.index` to `lastIndex`. */
  termAt(index: LogIndex): Term {
    return this.#terms.termAt(index);
  }

  /** Returns whether an entry after the base has this index and term: then it is that entry (Raft §5.3). */
  has({ index, term }: EntryPosition): boolean {
    return index > this.base.index && index <= this.lastIndex && this.termAt(index) === term;
  }

  /** Returns the first index of the entries with the term of `index` that end with it. */
  termStart(index: LogIndex): LogIndex {
    return this.#terms.startAt(index);
  }

  /**
   * Returns entries from `first` to `end` (exclusive): at most `bytesMax`, but at least one. Null if
   * the first one is not in memory.
   */
  slice(first: LogIndex, end: LogIndex, bytesMax: number): Entry[] | null {
    assert(first > this.base.index, "compacted entries are not read");
    assert(end <= this.lastIndex + 1, "the range ends within the log");
    if (first < this.#firstCachedIndex) return null;
    const found: Entry[] = [];
    let sizeBytes = 0;
    for (let index: number = first; index < end; index += 1) {
      const entry = this.#at(index);
      sizeBytes += entrySizeBytes(entry);
      if (found.length > 0 && sizeBytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  /** Appends the entry after the last one. */
  push(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, "entries are appended without gaps");
    this.#terms.extend(entry);
    this.#cached.push(entry);
    this.#cachedBytes += memoryOf(entry);
  }

  /** Appends entries of one term up to `last` that are on disk and not in memory. */
  skipTo(last: EntryPosition): void {
    this.#terms.extend(last);
    this.#clearCache();
  }

  /**
   * Drops the entries after `lastIndex`. An index before the base occurs only while old segments
   * are replayed: index and `lastTerm` then become the new base.
   */
  truncate(lastIndex: LogIndex, lastTerm: Term): void {
    assert(lastIndex <= this.lastIndex, "a truncation ends within the log");
    if (lastIndex < this.base.index) {
      this.reset({ index: lastIndex, term: lastTerm });
      return;
    }
    assert(this.termAt(lastIndex) === lastTerm, "a truncation names the term of the last entry");
    this.#terms.truncate(lastIndex);
    if (lastIndex < this.#firstCachedIndex) this.#clearCache();
    else this.#release(this.#cached.splice(lastIndex + 1 - this.#firstCachedIndex));
  }

  /** Drops the entries up to `index`, whose term remains available as that of the base. */
  compact(index: LogIndex): void {
    assert(index <= this.lastIndex, "a compaction ends within the log");
    if (index <= this.base.index) return;
    this.#terms.compact(index);
    this.evict(index);
  }

  /** Drops all entries: the log continues after `base`. */
  reset(base: EntryPosition): void {
    this.#terms.reset(base);
    this.#clearCache();
  }

  /** Removes the entries up to `index` from memory. They must be on disk. */
  evict(index: LogIndex): void {
    const count = index + 1 - this.#firstCachedIndex;
    if (count <= 0) return;
    this.#release(this.#cached.slice(0, count));
    this.#cached = this.#cached.slice(count);
    this.#firstCachedIndex = indexAfter(index);
  }

  /**
   * Returns the index up to which entries can be removed from memory so that at most about
   * `bytesMax` remain, but at most `limit`.
   */
  evictionPoint(limit: LogIndex, bytesMax: number): LogIndex {
    let excessBytes = this.#cachedBytes - bytesMax;
    let index: number = this.#firstCachedIndex - 1;
    const end = Math.min(limit, this.lastIndex);
    while (excessBytes > 0 && index < end) {
      index += 1;
      excessBytes -= memoryOf(this.#at(index));
    }
    return index as LogIndex;
  }

  /** Copies the data of all cached entries, which are views of larger buffers, for instance of a file. */
  copyData(): void {
    this.#cached = this.#cached.map((entry) => ({ ...entry, data: entry.data.slice() }));
  }

  #at(index: number): Entry {
    const entry = present(this.#cached[index - this.#firstCachedIndex], "the entry is in memory");
    assert(entry.index === index, "an entry is at the position of its index");
    return entry;
  }

  #clearCache(): void {
    this.#cached = [];
    this.#cachedBytes = 0;
    this.#firstCachedIndex = indexAfter(this.lastIndex);
  }

  #release(dropped: readonly Entry[]): void {
    for (const entry of dropped) this.#cachedBytes -= memoryOf(entry);
  }
}

function memoryOf(entry: Entry): number {
  return sizeOfEntry(entry) + ENTRY_OVERHEAD_BYTES;
}
