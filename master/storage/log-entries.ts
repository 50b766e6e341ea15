import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import { entrySizeBytes } from "../raft/entries.ts";
import type { Entry } from "../raft/messages.ts";
import { sizeOfEntry } from "./log-record.ts";

/**
 * The entries of the log in memory: all entries after `base`, without gaps.
 *
 * Invariant: the entry with index i is at position i - base.index - 1, and terms never decrease.
 */
export class LogEntries {
  #base: { readonly index: LogIndex; readonly term: Term };
  #entries: Entry[] = [];
  #sizeBytes = 0;

  constructor(base: { readonly index: LogIndex; readonly term: Term }) {
    this.#base = base;
  }

  /** Index and term of the entry before the first one. */
  get base(): { readonly index: LogIndex; readonly term: Term } {
    return this.#base;
  }

  /** Index of the first entry, or of the next one if there are none. */
  get firstIndex(): LogIndex {
    return (this.#base.index + 1) as LogIndex;
  }

  /** Index of the last entry; `base.index` if there are none. */
  get lastIndex(): LogIndex {
    return (this.#base.index + this.#entries.length) as LogIndex;
  }

  /** Term of the last entry; `base.term` if there are none. */
  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#base.term;
  }

  /** Size of the entries in the file. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Returns the term of the entry at `index`, from `base.index` to `lastIndex`. */
  termAt(index: LogIndex): Term {
    if (index === this.#base.index) return this.#base.term;
    return this.#at(index).term;
  }

  #at(index: number): Entry {
    const entry = present(this.#entries[index - this.#base.index - 1], "the index is in the log");
    assert(entry.index === index, "an entry is at the position of its index");
    return entry;
  }

  /** Returns entries from `first` to `end` (exclusive): at most `bytesMax`, but at least one. */
  slice(first: LogIndex, end: LogIndex, bytesMax: number): Entry[] {
    assert(first > this.#base.index, "compacted entries are not read");
    assert(end <= this.lastIndex + 1, "the range ends within the log");
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
    assert(entry.term >= this.lastTerm, "terms never decrease");
    this.#entries.push(entry);
    this.#sizeBytes += sizeOfEntry(entry);
  }

  /**
   * Drops the entries after `lastIndex`. An index before the base occurs only while old segments
   * are replayed: index and `lastTerm` then become the new base.
   */
  truncate(lastIndex: LogIndex, lastTerm: Term): void {
    assert(lastIndex <= this.lastIndex, "a truncation ends within the log");
    if (lastIndex < this.#base.index) {
      this.reset({ index: lastIndex, term: lastTerm });
      return;
    }
    assert(this.termAt(lastIndex) === lastTerm, "a truncation names the term of the last entry");
    for (const entry of this.#entries.splice(lastIndex - this.#base.index)) {
      this.#sizeBytes -= sizeOfEntry(entry);
    }
  }

  /** Drops the entries up to `index`, whose term remains available as that of the base. */
  compact(index: LogIndex): void {
    assert(index <= this.lastIndex, "a compaction ends within the log");
    if (index <= this.#base.index) return;
    const term = this.termAt(index);
    const dropped = this.#entries.slice(0, index - this.#base.index);
    this.#entries = this.#entries.slice(dropped.length);
    for (const entry of dropped) this.#sizeBytes -= sizeOfEntry(entry);
    this.#base = { index, term };
  }

  /** Drops all entries: the log continues after `base`. */
  reset(base: { readonly index: LogIndex; readonly term: Term }): void {
    this.#base = base;
    this.#entries = [];
    this.#sizeBytes = 0;
  }

  /**
   * Returns the index up to which the log may be compacted, so that at most `entriesMax` entries
   * and about `bytesMax` bytes remain before `durable`, and all entries after it.
   */
  tailStart(
    durable: LogIndex,
    tail: { readonly entriesMax: number; readonly bytesMax: number },
  ): LogIndex {
    let index = Math.min(durable, this.lastIndex);
    const floor = Math.max(this.#base.index, index - tail.entriesMax);
    let sizeBytes = 0;
    while (index > floor) {
      sizeBytes += sizeOfEntry(this.#at(index));
      if (sizeBytes > tail.bytesMax) break;
      index -= 1;
    }
    return Math.max(index, this.#base.index) as LogIndex;
  }
}
