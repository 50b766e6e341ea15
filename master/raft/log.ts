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

/** Options of the log; see `RaftSettings`. */
export interface CoreLogOptions {
  readonly storage: Storage;
  readonly applyingBytesMax: number;
  readonly applyUnstable: boolean;
}

/**
 * The whole log of one member as the core uses it: the storage, followed by the entries that may
 * not be in the storage yet (`Unstable`). The log files are `RaftLog` in `master/storage`.
 *
 * Invariant: `appliedIndex <= applyingIndex <= committedIndex <= lastIndex()`.
 */
export class CoreLog {
  readonly unstable: Unstable;
  readonly #storage: Storage;
  readonly #applyingBytesMax: number;
  readonly #applyUnstable: boolean;
  /** Highest index that is known to be committed. Never decreases. */
  #committedIndex: LogIndex;
  /** Entries up to this index were passed to the driver. */
  #applyingIndex: LogIndex;
  /** Entries up to this index are in the state. */
  #appliedIndex: LogIndex;
  /** Bytes of the entries after `#appliedIndex` and up to `#applyingIndex`. */
  #applyingBytes = 0;
  /** Whether no further entries are passed to the driver until it has applied some entries. */
  #isApplyingPaused = false;
  /** Whether the storage is loading the next entries. Cleared by `entriesLoaded`. */
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

  /** Returns the index of the first entry that is not compacted. */
  firstIndex(): LogIndex {
    const { snapshot } = this.unstable;
    return snapshot === null ? this.#storage.firstIndex() : indexAfter(snapshot.index);
  }

  /** Returns the index of the last entry. */
  lastIndex(): LogIndex {
    return this.unstable.lastIndex ?? this.#storage.lastIndex();
  }

  /** Returns the position of the last entry. */
  last(): EntryPosition {
    const index = this.lastIndex();
    const term = this.term(index);
    assert(term !== null, "the term of the last entry is known");
    return { index, term };
  }

  /** Returns the term at `index`; `null` if it is compacted or after the end. */
  term(index: LogIndex): Term | null {
    const unstableTerm = this.unstable.term(index);
    if (unstableTerm !== null) return unstableTerm;
    if (indexAfter(index) < this.firstIndex() || index > this.lastIndex()) return null;
    const result = this.#storage.term(index);
    return result.kind === "term" ? result.term : null;
  }

  /** Returns whether the log contains an entry with this index and term. */
  matches(position: EntryPosition): boolean {
    return this.term(position.index) === position.term;
  }

  /**
   * Returns whether a log that ends at `theirs` is at least as up to date as this one: Raft §5.4.1.
   */
  isUpToDate(theirs: EntryPosition): boolean {
    const ours = this.last();
    if (theirs.term !== ours.term) return theirs.term > ours.term;
    return theirs.index >= ours.index;
  }

  /** Appends `entries`, after truncating at the first of them. @returns the new last index. */
  append(entries: readonly Entry[]): LogIndex {
    const first = entries[0];
    if (first === undefined) return this.lastIndex();
    assert(first.index > this.#committedIndex, "a committed entry is never overwritten");
    this.unstable.truncateAndAppend(entries);
    return this.lastIndex();
  }

  /**
   * Appends the entries of a leader (Raft §5.3). Keeps the entries that the log already contains
   * and the entries after them: the request may be old, and later entries may be acknowledged.
   *
   * @returns the index up to which the logs then match, or `null` if they do not match at
   *   `previous`; nothing was changed then.
   */
  appendFromLeader(previous: EntryPosition, entries: readonly Entry[]): LogIndex | null {
    if (!this.matches(previous)) return null;
    const newOffset = entries.findIndex((entry) => !this.matches(entry));
    if (newOffset !== -1) this.append(entries.slice(newOffset));
    return indexAfter(previous.index, entries.length);
  }

  /**
   * Returns the latest position at or before `index` whose term is at most `term`. A log that has
   * `term` at `index` cannot match this one after that position, because terms never decrease
   * within a log. If the term of a position is unknown, it is returned as 0 and may match.
   */
  latestPossibleMatch(index: LogIndex, term: Term): EntryPosition {
    let guess = index;
    while (guess > 0) {
      const ours = this.term(guess);
      if (ours === null) return { index: guess, term: TERM_ZERO };
      if (ours <= term) return { index: guess, term: ours };
      guess = indexBefore(this.#termStart(guess));
    }
    return { index: INDEX_ZERO, term: TERM_ZERO };
  }

  /** Raises the commit index to `index`. A lower index is ignored. */
  commitTo(index: LogIndex): void {
    if (index <= this.#committedIndex) return;
    // A log that ends before `index` has lost acknowledged entries: this member must stop.
    assert(index <= this.lastIndex(), "the log contains every acknowledged entry");
    this.#committedIndex = index;
  }

  /**
   * Commits `index`, which a quorum has, only if its entry is of the leader's own term: Raft
   * §5.4.2.
   *
   * @returns whether the commit index has changed.
   */
  commitIfInTerm(index: LogIndex, term: Term): boolean {
    if (index <= this.#committedIndex || !this.matches({ index, term })) return false;
    this.commitTo(index);
    return true;
  }

  /** Returns the entries from `fromIndex` on, at most `bytesMax`, but at least one. */
  entriesFrom(fromIndex: LogIndex, bytesMax: number): EntriesResult {
    const toIndex = indexAfter(this.lastIndex());
    if (fromIndex >= toIndex) return { kind: "entries", entries: [] };
    return this.slice({ fromIndex, toIndex }, bytesMax);
  }

  /** Returns the longest prefix of `range` of at most `bytesMax`, but at least one entry. */
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

  /** Returns the snapshot to send to a follower. */
  snapshot(): SnapshotResult {
    const { snapshot } = this.unstable;
    return snapshot === null ? this.#storage.snapshot() : { kind: "snapshot", snapshot };
  }

  /** Replaces the whole log by `snapshot`. */
  restore(snapshot: Snapshot): void {
    assert(snapshot.index > this.#committedIndex, "a snapshot never reverts committed entries");
    this.#committedIndex = snapshot.index;
    this.unstable.restore(snapshot);
  }

  /** Returns whether `nextCommitted` may return entries. */
  hasNextCommitted(): boolean {
    if (this.#isApplyingPaused || this.#isApplyingUnavailable) return false;
    // A pending snapshot is installed before any further entry is applied.
    if (this.unstable.snapshot !== null) return false;
    return this.#applyingIndex < this.#appliableIndex();
  }

  /**
   * Returns the next entries to apply. All entries being applied have at most `applyingBytesMax`.
   */
  nextCommitted(): readonly Entry[] {
    if (!this.hasNextCommitted()) return [];
    const range = {
      fromIndex: indexAfter(this.#applyingIndex),
      toIndex: indexAfter(this.#appliableIndex()),
    };
    const bytesMax = this.#applyingBytesMax - this.#applyingBytes;
    assert(bytesMax > 0, "applying is paused at the limit");
    const result = this.slice(range, bytesMax);
    assert(result.kind !== "compacted", "entries that are not applied are not compacted");
    if (result.kind === "entries") return result.entries;
    this.#isApplyingUnavailable = true;
    return [];
  }

  /** Records that `entries`, from `nextCommitted`, were passed to the driver. */
  acceptApplying(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    assert(last.index <= this.#committedIndex, "only committed entries are applied");
    this.#applyingIndex = last.index;
    this.#applyingBytes += entriesSizeBytes(entries);
    // The page was cut: the next entry would have exceeded the limit.
    const isCut = last.index < this.#appliableIndex();
    this.#isApplyingPaused = isCut || this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** Records that entries of `sizeBytes` were applied, up to `index`. */
  appliedTo(index: LogIndex, sizeBytes: number): void {
    assert(index >= this.#appliedIndex, "entries are applied in order");
    assert(index <= this.#committedIndex, "only committed entries are applied");
    this.#appliedIndex = index;
    this.#applyingIndex = maxIndex(this.#applyingIndex, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - sizeBytes);
    this.#isApplyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** Reports that the storage has loaded entries that were `unavailable`. */
  entriesLoaded(): void {
    this.#isApplyingUnavailable = false;
  }

  /** Returns `index` or an earlier index up to which all entries have the same term. */
  #termStart(index: LogIndex): LogIndex {
    const isStored =
      index < this.unstable.firstIndex &&
      index >= this.#storage.firstIndex() &&
      this.unstable.snapshot === null;
    return isStored ? this.#storage.termStart(index) : index;
  }

  /** Returns the last index that may be applied: committed and durable on this member. */
  #appliableIndex(): LogIndex {
    if (this.#applyUnstable) return this.#committedIndex;
    return minIndex(this.#committedIndex, indexBefore(this.unstable.firstIndex));
  }
}
