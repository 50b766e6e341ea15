import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import { entrySizeBytes } from "../raft/entries.ts";
import type { Entry } from "../raft/messages.ts";
import { sizeOfEntry } from "./log-record.ts";

/**
 * The entries of the log in memory: those after `base`, without gaps.
 *
 * Invariant: entry i stands at position i - base.index - 1, and terms never fall.
 */
export class LogEntries {
  #base: { readonly index: LogIndex; readonly term: Term };
  #entries: Entry[] = [];
  #sizeBytes = 0;

  constructor(base: { readonly index: LogIndex; readonly term: Term }) {
    this.#base = base;
  }

  /** Index and term of what precedes the first entry. */
  get base(): { readonly index: LogIndex; readonly term: Term } {
    return this.#base;
  }

  get firstIndex(): LogIndex {
    return (this.#base.index + 1) as LogIndex;
  }

  get lastIndex(): LogIndex {
    return (this.#base.index + this.#entries.length) as LogIndex;
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#base.term;
  }

  /** Bytes that the entries take in the file. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The term of the entry at `index`, which is from base.index to lastIndex. */
  termAt(index: LogIndex): Term {
    if (index === this.#base.index) return this.#base.term;
    return this.#at(index).term;
  }

  #at(index: number): Entry {
    const entry = present(this.#entries[index - this.#base.index - 1], "the log holds the index");
    assert(entry.index === index, "an entry stands at its index");
    return entry;
  }

  /** Entries from `first` up to `end` (exclusive): at least one, then as many as `bytesMax` holds. */
  slice(first: LogIndex, end: LogIndex, bytesMax: number): Entry[] {
    assert(first > this.#base.index, "entries that were compacted are not read");
    assert(end <= this.lastIndex + 1, "entries that are not there are not read");
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

  push(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, "entries come without gaps");
    assert(entry.term >= this.lastTerm, "terms never fall");
    this.#entries.push(entry);
    this.#sizeBytes += sizeOfEntry(entry);
  }

  /**
   * Drops what follows `last`. Below the base, which only reading old segments meets, `lastTerm`
   * becomes the term of the new base.
   */
  truncate(lastIndex: LogIndex, lastTerm: Term): void {
    assert(lastIndex <= this.lastIndex, "only what is there is dropped");
    if (lastIndex < this.#base.index) {
      this.reset({ index: lastIndex, term: lastTerm });
      return;
    }
    assert(this.termAt(lastIndex) === lastTerm, "what stays before a truncation is unchanged");
    for (const entry of this.#entries.splice(lastIndex - this.#base.index)) {
      this.#sizeBytes -= sizeOfEntry(entry);
    }
  }

  /** Forgets what is up to `index`; its term stays known. */
  compact(index: LogIndex): void {
    assert(index <= this.lastIndex, "only what is there is compacted");
    if (index <= this.#base.index) return;
    const term = this.termAt(index);
    const dropped = this.#entries.slice(0, index - this.#base.index);
    this.#entries = this.#entries.slice(dropped.length);
    for (const entry of dropped) this.#sizeBytes -= sizeOfEntry(entry);
    this.#base = { index, term };
  }

  reset(base: { readonly index: LogIndex; readonly term: Term }): void {
    this.#base = base;
    this.#entries = [];
    this.#sizeBytes = 0;
  }

  /**
   * The index up to which the log may be forgotten so that at most `entriesMax` entries and about
   * `bytesMax` bytes remain before `durable`, and all that is after it.
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
