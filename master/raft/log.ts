import { assert } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import {
  entriesSizeBytes,
  entrySizeBytes,
  indexAfter,
  indexBefore,
  limitSize,
  maxIndex,
  minIndex,
} from "./entries.ts";
import type { Entry, EntryPosition, Snapshot } from "./messages.ts";
import { INDEX_ZERO, TERM_ZERO } from "./messages.ts";
import type { EntriesResult, LogRange, SnapshotResult, Storage } from "./storage.ts";
import { Unstable } from "./unstable.ts";

export interface CoreLogOptions {
  readonly storage: Storage;
  readonly applyingBytesMax: number;
  readonly applyUnstable: boolean;
}

/**
 * The whole log of one member as the core sees it: the storage, and behind it what the storage may
 * not show yet. The files are `RaftLog` in `master/storage`.
 *
 * Invariant: `appliedIndex <= applyingIndex <= committedIndex <= lastIndex()`.
 */
export class CoreLog {
  readonly unstable: Unstable;
  readonly #storage: Storage;
  readonly #applyingBytesMax: number;
  readonly #applyUnstable: boolean;
  /** Known to be durable on a quorum. Never goes back. */
  #committedIndex: LogIndex;
  /** Handed out to be applied. */
  #applyingIndex: LogIndex;
  #appliedIndex: LogIndex;
  #applyingBytes = 0;
  /** Nothing more is handed out until something was applied. */
  #isApplyingPaused = false;
  /** The storage is loading what comes next; cleared by `entriesLoaded`. */
  #isApplyingUnavailable = false;

  constructor(options: CoreLogOptions) {
    this.#storage = options.storage;
    this.#applyingBytesMax = options.applyingBytesMax;
    this.#applyUnstable = options.applyUnstable;
    this.unstable = new Unstable(indexAfter(options.storage.lastIndex()));
    const compactedIndex = indexBefore(options.storage.firstIndex());
    this.#committedIndex = compactedIndex;
    this.#applyingIndex = compactedIndex;
    this.#appliedIndex = compactedIndex;
  }

  get committedIndex(): LogIndex {
    return this.#committedIndex;
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  firstIndex(): LogIndex {
    const { snapshot } = this.unstable;
    return snapshot === null ? this.#storage.firstIndex() : indexAfter(snapshot.index);
  }

  lastIndex(): LogIndex {
    return this.unstable.lastIndex ?? this.#storage.lastIndex();
  }

  last(): EntryPosition {
    const index = this.lastIndex();
    const term = this.term(index);
    assert(term !== null, "the term of the last entry is known");
    return { index, term };
  }

  /** `null` if the index is compacted away or behind the end. */
  term(index: LogIndex): Term | null {
    const unstableTerm = this.unstable.term(index);
    if (unstableTerm !== null) return unstableTerm;
    if (indexAfter(index) < this.firstIndex() || index > this.lastIndex()) return null;
    const result = this.#storage.term(index);
    return result.kind === "term" ? result.term : null;
  }

  matches(position: EntryPosition): boolean {
    return this.term(position.index) === position.term;
  }

  /** Raft §5.4.1: the later last term wins; with equal terms the longer log. */
  isUpToDate(theirs: EntryPosition): boolean {
    const ours = this.last();
    if (theirs.term !== ours.term) return theirs.term > ours.term;
    return theirs.index >= ours.index;
  }

  /** @returns the index of the last entry then. */
  append(entries: readonly Entry[]): LogIndex {
    const first = entries[0];
    if (first === undefined) return this.lastIndex();
    assert(first.index > this.#committedIndex, "a committed entry is never overwritten");
    this.unstable.truncateAndAppend(entries);
    return this.lastIndex();
  }

  /**
   * Takes over what a leader sent (Raft §5.3). Entries that stand in the log already stay: the
   * request may be an old one, and what comes after them may be acknowledged.
   *
   * @returns the last index up to which the logs then match, or `null` if they do not match at
   *   `previous`; then nothing was changed.
   */
  appendFromLeader(previous: EntryPosition, entries: readonly Entry[]): LogIndex | null {
    if (!this.matches(previous)) return null;
    const newOffset = entries.findIndex((entry) => !this.matches(entry));
    if (newOffset !== -1) this.append(entries.slice(newOffset));
    return indexAfter(previous.index, entries.length);
  }

  /**
   * The latest position at or before `index` whose term is at most `term`: another log that has
   * `term` at `index` cannot match this one behind it, since terms never fall within a log. An
   * unknown term is given as 0 and may match.
   */
  latestPossibleMatch(index: LogIndex, term: Term): EntryPosition {
    for (let guess = index; guess > 0; guess = indexBefore(guess)) {
      const ours = this.term(guess);
      if (ours === null) return { index: guess, term: TERM_ZERO };
      if (ours <= term) return { index: guess, term: ours };
    }
    return { index: INDEX_ZERO, term: TERM_ZERO };
  }

  commitTo(index: LogIndex): void {
    if (index <= this.#committedIndex) return;
    // A log that ends before what it acknowledged has lost entries: this member must not go on.
    assert(index <= this.lastIndex(), "a member holds what it acknowledged");
    this.#committedIndex = index;
  }

  /** The position for which `commitTo` is right by counting: only the leader's own term, §5.4.2. */
  commitIfInTerm(index: LogIndex, term: Term): boolean {
    if (index <= this.#committedIndex || !this.matches({ index, term })) return false;
    this.commitTo(index);
    return true;
  }

  /** The entries from `fromIndex` to the end, as many as `bytesMax` allows, but at least one. */
  entriesFrom(fromIndex: LogIndex, bytesMax: number): EntriesResult {
    const toIndex = indexAfter(this.lastIndex());
    if (fromIndex >= toIndex) return { kind: "entries", entries: [] };
    return this.slice({ fromIndex, toIndex }, bytesMax);
  }

  slice(range: LogRange, bytesMax: number): EntriesResult {
    const { fromIndex, toIndex } = range;
    assert(toIndex <= indexAfter(this.lastIndex()), "the range ends within the log");
    if (fromIndex < this.firstIndex()) return { kind: "compacted" };
    const unstableIndex = this.unstable.firstIndex;
    if (fromIndex >= unstableIndex) {
      return { kind: "entries", entries: limitSize(this.unstable.slice(range), bytesMax) };
    }
    const cutIndex = minIndex(toIndex, unstableIndex);
    const stable = this.#storage.entries({ fromIndex, toIndex: cutIndex }, bytesMax);
    if (stable.kind !== "entries" || toIndex <= unstableIndex) return stable;
    if (stable.entries.length < cutIndex - fromIndex) return stable; // The limit was reached.
    const restBytes = bytesMax - entriesSizeBytes(stable.entries);
    const tail = this.unstable.slice({ fromIndex: unstableIndex, toIndex });
    const [next] = tail;
    if (next === undefined || entrySizeBytes(next) > restBytes) return stable;
    return { kind: "entries", entries: stable.entries.concat(limitSize(tail, restBytes)) };
  }

  snapshot(): SnapshotResult {
    const { snapshot } = this.unstable;
    return snapshot === null ? this.#storage.snapshot() : { kind: "snapshot", snapshot };
  }

  /** Replaces the whole log. */
  restore(snapshot: Snapshot): void {
    assert(snapshot.index > this.#committedIndex, "a snapshot never takes back what is committed");
    this.#committedIndex = snapshot.index;
    this.unstable.restore(snapshot);
  }

  /** Whether `nextCommitted` may have something. */
  hasNextCommitted(): boolean {
    if (this.#isApplyingPaused || this.#isApplyingUnavailable) return false;
    // A snapshot on its way into the storage comes before all entries.
    if (this.unstable.snapshot !== null) return false;
    return this.#applyingIndex < this.#appliableIndex();
  }

  /** What is to be applied next, within `applyingBytesMax` with what is being applied. */
  nextCommitted(): readonly Entry[] {
    if (!this.hasNextCommitted()) return [];
    const range = {
      fromIndex: indexAfter(this.#applyingIndex),
      toIndex: indexAfter(this.#appliableIndex()),
    };
    const bytesMax = this.#applyingBytesMax - this.#applyingBytes;
    assert(bytesMax > 0, "applying is paused when there is no room");
    const result = this.slice(range, bytesMax);
    assert(result.kind !== "compacted", "what is not applied is not compacted");
    if (result.kind === "entries") return result.entries;
    this.#isApplyingUnavailable = true;
    return [];
  }

  /** `entries`, from `nextCommitted`, were handed out. */
  acceptApplying(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    assert(last.index <= this.#committedIndex, "only what is committed is applied");
    this.#applyingIndex = last.index;
    this.#applyingBytes += entriesSizeBytes(entries);
    // Stopped short: the next entry would have exceeded the limit.
    const isCut = last.index < this.#appliableIndex();
    this.#isApplyingPaused = isCut || this.#applyingBytes >= this.#applyingBytesMax;
  }

  appliedTo(index: LogIndex, sizeBytes: number): void {
    assert(index >= this.#appliedIndex, "entries are applied in order");
    assert(index <= this.#committedIndex, "only what is committed is applied");
    this.#appliedIndex = index;
    this.#applyingIndex = maxIndex(this.#applyingIndex, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - sizeBytes);
    this.#isApplyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  entriesLoaded(): void {
    this.#isApplyingUnavailable = false;
  }

  #appliableIndex(): LogIndex {
    if (this.#applyUnstable) return this.#committedIndex;
    return minIndex(this.#committedIndex, indexBefore(this.unstable.firstIndex));
  }
}
