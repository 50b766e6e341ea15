import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { EntryPosition } from "../raft/messages.ts";

/** Consecutive entries of one term, up to the next run. */
interface Run {
  readonly firstIndex: number;
  readonly term: Term;
}

/**
 * The terms of all entries after `base`, in memory that grows with the number of terms and not with
 * the number of entries: terms never decrease in a log, and most entries have the term of the entry
 * before.
 */
export class TermRuns {
  #base: EntryPosition;
  #lastIndex: LogIndex;
  /** The runs by ascending index. The first one contains the entry after `base`. */
  #runs: Run[] = [];

  constructor(base: EntryPosition) {
    this.#base = base;
    this.#lastIndex = base.index;
  }

  /** Position of the entry before the first one. */
  get base(): EntryPosition {
    return this.#base;
  }

  /** Index of the last entry; `base.index` if there are none. */
  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  /** Term of the last entry; `base.term` if there are none. */
  get lastTerm(): Term {
    return this.#runs.at(-1)?.term ?? this.#base.term;
  }

  /** Returns the term of an index from `base.index` to `lastIndex`. */
  termAt(index: LogIndex): Term {
    if (index === this.#base.index) return this.#base.term;
    assert(index > this.#base.index && index <= this.#lastIndex, "the index is in the log");
    return present(this.#runs[this.#positionOf(index)], "a run contains each entry").term;
  }

  /** Returns the first index after the base of the run that contains `index`. */
  startAt(index: LogIndex): LogIndex {
    assert(index > this.#base.index && index <= this.#lastIndex, "the index is in the log");
    const run = present(this.#runs[this.#positionOf(index)], "a run contains each entry");
    return Math.max(run.firstIndex, this.#base.index + 1) as LogIndex;
  }

  /** Appends entries of one term, up to `last`. */
  extend(last: EntryPosition): void {
    assert(last.index >= this.#lastIndex, "entries are appended after the last one");
    assert(last.term >= this.lastTerm, "terms never decrease");
    if (last.index === this.#lastIndex) return;
    if (this.#runs.at(-1)?.term !== last.term) {
      this.#runs.push({ firstIndex: this.#lastIndex + 1, term: last.term });
    }
    this.#lastIndex = last.index;
  }

  /** Drops the entries after `lastIndex`, which is not before the base. */
  truncate(lastIndex: LogIndex): void {
    assert(lastIndex >= this.#base.index, "a truncation ends after the base");
    while ((this.#runs.at(-1)?.firstIndex ?? 0) > lastIndex) this.#runs.pop();
    this.#lastIndex = lastIndex;
  }

  /** Drops the entries up to `index`, whose term remains available as that of the base. */
  compact(index: LogIndex): void {
    const base = { index, term: this.termAt(index) };
    const next = index < this.#lastIndex ? this.#positionOf(index + 1) : this.#runs.length;
    this.#runs = this.#runs.slice(next);
    this.#base = base;
  }

  /** Drops all entries: the log continues after `base`. */
  reset(base: EntryPosition): void {
    this.#base = base;
    this.#lastIndex = base.index;
    this.#runs = [];
  }

  /** Returns the position of the run that contains `index`. */
  #positionOf(index: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (present(this.#runs[middle], "a run at its position").firstIndex <= index) low = middle;
      else high = middle;
    }
    return low;
  }
}
