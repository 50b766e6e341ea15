import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import { indexAfter, indexBefore, minIndex } from "./entries.ts";
import type { Entry, EntryPosition, Snapshot } from "./messages.ts";
import type { LogRange } from "./storage.ts";

/**
 * The end of the log that may not be in the storage yet: entries, and possibly a snapshot.
 *
 * It holds an entry until its write is durable, so that reading the log does not depend on the
 * progress of the writer. Its first index may be lower than the last index of the storage: the
 * pending write then truncates the storage.
 */
export class Unstable {
  /** A snapshot that replaces the storage; it precedes the entries. */
  #snapshot: Snapshot | null = null;
  #isSnapshotInProgress = false;
  #entries: readonly Entry[] = [];
  /** Index of `#entries[0]`; if there are no entries, the index of the next one. */
  #firstIndex: LogIndex;
  /** Entries before this index are being written. Invariant: `#firstIndex <= #inProgressIndex`. */
  #inProgressIndex: LogIndex;

  constructor(firstIndex: LogIndex) {
    this.#firstIndex = firstIndex;
    this.#inProgressIndex = firstIndex;
  }

  get firstIndex(): LogIndex {
    return this.#firstIndex;
  }

  get snapshot(): Snapshot | null {
    return this.#snapshot;
  }

  get hasEntries(): boolean {
    return this.#entries.length > 0;
  }

  /** Last index of the log; `null` if it is that of the storage. */
  get lastIndex(): LogIndex | null {
    if (this.#entries.length > 0) return indexBefore(this.#endIndex());
    return this.#snapshot === null ? null : this.#snapshot.index;
  }

  /** Returns the term at `index`; `null` if the index is not in the unstable log. */
  term(index: LogIndex): Term | null {
    if (index < this.#firstIndex) {
      return this.#snapshot?.index === index ? this.#snapshot.term : null;
    }
    return this.#entries[index - this.#firstIndex]?.term ?? null;
  }

  /** Returns the entries that the writer has not received yet. */
  nextEntries(): readonly Entry[] {
    const inProgressCount = this.#inProgressIndex - this.#firstIndex;
    return inProgressCount === 0 ? this.#entries : this.#entries.slice(inProgressCount);
  }

  hasNextEntries(): boolean {
    return this.#endIndex() > this.#inProgressIndex;
  }

  /** Returns the snapshot if the writer has not received it yet. */
  nextSnapshot(): Snapshot | null {
    return this.#isSnapshotInProgress ? null : this.#snapshot;
  }

  /** Records that the writer has received all entries and the snapshot. */
  acceptInProgress(): void {
    this.#inProgressIndex = this.#endIndex();
    if (this.#snapshot !== null) this.#isSnapshotInProgress = true;
  }

  /**
   * Drops the entries up to `position`, which are durable. The caller guarantees that no pending
   * write can overwrite them (see `stepStorageAppended` in `step.ts`). If the entry at the index
   * has another term or is missing, the report is outdated and ignored.
   */
  stableTo(position: EntryPosition): void {
    if (position.index < this.#firstIndex) return;
    if (this.term(position.index) !== position.term) return;
    const afterIndex = indexAfter(position.index);
    assert(afterIndex <= this.#inProgressIndex, "an entry is written before it is durable");
    this.#entries = this.#entries.slice(afterIndex - this.#firstIndex);
    this.#firstIndex = afterIndex;
  }

  /** Drops the snapshot at `index`, which is durable and in the storage. */
  stableSnapshotTo(index: LogIndex): void {
    if (this.#snapshot?.index !== index) return;
    this.#snapshot = null;
    this.#isSnapshotInProgress = false;
  }

  /** Replaces the whole log by `snapshot`. */
  restore(snapshot: Snapshot): void {
    this.#firstIndex = indexAfter(snapshot.index);
    this.#inProgressIndex = this.#firstIndex;
    this.#entries = [];
    this.#snapshot = snapshot;
    this.#isSnapshotInProgress = false;
  }

  /** Truncates the log at the index of the first entry, then appends `entries`. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const fromIndex = present(entries[0], "at least one entry is appended").index;
    assert(fromIndex <= this.#endIndex(), "the log has no gap");
    if (fromIndex <= this.#firstIndex) {
      assert(
        this.#snapshot === null || fromIndex > this.#snapshot.index,
        "entries of a snapshot are committed and not overwritten",
      );
      this.#entries = [...entries];
      this.#firstIndex = fromIndex;
      this.#inProgressIndex = fromIndex;
      return;
    }
    const kept = this.#entries.slice(0, fromIndex - this.#firstIndex);
    this.#entries = kept.concat(entries);
    this.#inProgressIndex = minIndex(this.#inProgressIndex, fromIndex);
  }

  /** Returns the entries of `range`, which must be within the unstable log. */
  slice(range: LogRange): readonly Entry[] {
    assert(range.fromIndex <= range.toIndex, "a range does not end before it starts");
    assert(range.fromIndex >= this.#firstIndex, "the range starts in the unstable log");
    assert(range.toIndex <= this.#endIndex(), "the range ends in the unstable log");
    return this.#entries.slice(
      range.fromIndex - this.#firstIndex,
      range.toIndex - this.#firstIndex,
    );
  }

  /** Returns the index after the last entry. */
  #endIndex(): LogIndex {
    return indexAfter(this.#firstIndex, this.#entries.length);
  }
}
