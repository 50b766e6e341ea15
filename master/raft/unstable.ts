import { assert, present } from "../../shared/base/assert.ts";
import type { LogIndex, Term } from "../../shared/base/ids.ts";
import { indexAfter, indexBefore, minIndex } from "./entries.ts";
import type { Entry, EntryPosition, Snapshot } from "./messages.ts";
import type { LogRange } from "./storage.ts";

/**
 * The end of the log that the storage may not show yet, with the snapshot it may not show yet.
 *
 * It holds entries from the moment they are known until their write is durable, so that the log
 * reads the same whatever the writer has reached. Its first index may be far before the end of the
 * storage: then the write under way truncates.
 */
export class Unstable {
  /** Precedes the entries, if there is one. */
  #snapshot: Snapshot | null = null;
  #isSnapshotInProgress = false;
  #entries: readonly Entry[] = [];
  /** Index of `#entries[0]`; the next one to come if there is none. */
  #firstIndex: LogIndex;
  /** Entries before it are handed to the writer. Invariant: `#firstIndex <= #takenIndex`. */
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

  /** The end of the log, or `null` if only the storage knows it. */
  get lastIndex(): LogIndex | null {
    if (this.#entries.length > 0) return indexBefore(this.#endIndex());
    return this.#snapshot === null ? null : this.#snapshot.index;
  }

  /** `null` if only the storage can know it. */
  term(index: LogIndex): Term | null {
    if (index < this.#firstIndex) {
      return this.#snapshot?.index === index ? this.#snapshot.term : null;
    }
    return this.#entries[index - this.#firstIndex]?.term ?? null;
  }

  /** What the writer has not been given yet. */
  nextEntries(): readonly Entry[] {
    const takenCount = this.#inProgressIndex - this.#firstIndex;
    return takenCount === 0 ? this.#entries : this.#entries.slice(takenCount);
  }

  hasNextEntries(): boolean {
    return this.#endIndex() > this.#inProgressIndex;
  }

  nextSnapshot(): Snapshot | null {
    return this.#isSnapshotInProgress ? null : this.#snapshot;
  }

  /** The writer was given everything. */
  acceptInProgress(): void {
    this.#inProgressIndex = this.#endIndex();
    if (this.#snapshot !== null) this.#isSnapshotInProgress = true;
  }

  /**
   * The entries up to `position` are durable, and no write under way can overwrite them: the caller
   * vouches for it (see `stepStorageAppended` in `step.ts`). Another entry at the index, or none, means
   * that the news is out of date.
   */
  stableTo(position: EntryPosition): void {
    if (position.index < this.#firstIndex) return;
    if (this.term(position.index) !== position.term) return;
    const afterIndex = indexAfter(position.index);
    assert(afterIndex <= this.#inProgressIndex, "what is durable was handed to the writer");
    this.#entries = this.#entries.slice(afterIndex - this.#firstIndex);
    this.#firstIndex = afterIndex;
  }

  /** The snapshot at `index` is durable and in the storage. */
  stableSnapshotTo(index: LogIndex): void {
    if (this.#snapshot?.index !== index) return;
    this.#snapshot = null;
    this.#isSnapshotInProgress = false;
  }

  /** The log is `snapshot` and nothing else. */
  restore(snapshot: Snapshot): void {
    this.#firstIndex = indexAfter(snapshot.index);
    this.#inProgressIndex = this.#firstIndex;
    this.#entries = [];
    this.#snapshot = snapshot;
    this.#isSnapshotInProgress = false;
  }

  /** Appends `entries`, after dropping whatever stands at their first index and behind. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const fromIndex = present(entries[0], "there is something to append").index;
    assert(fromIndex <= this.#endIndex(), "the log has no gap");
    if (fromIndex <= this.#firstIndex) {
      assert(
        this.#snapshot === null || fromIndex > this.#snapshot.index,
        "a snapshot is committed",
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

  slice(range: LogRange): readonly Entry[] {
    assert(range.fromIndex <= range.toIndex, "a range does not end before it begins");
    assert(range.fromIndex >= this.#firstIndex, "the range begins in the unstable log");
    assert(range.toIndex <= this.#endIndex(), "the range ends in the unstable log");
    return this.#entries.slice(
      range.fromIndex - this.#firstIndex,
      range.toIndex - this.#firstIndex,
    );
  }

  /** The index behind the last entry. */
  #endIndex(): LogIndex {
    return indexAfter(this.#firstIndex, this.#entries.length);
  }
}
