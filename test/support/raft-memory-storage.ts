import { indexAfter, limitSize, positionOf } from "../../master/raft/entries.ts";
import type {
  Entry,
  EntryPosition,
  HardState,
  Membership,
  Snapshot,
  StorageAppend,
} from "../../master/raft/messages.ts";
import { INDEX_ZERO, NO_MEMBER, TERM_ZERO } from "../../master/raft/messages.ts";
import type {
  EntriesResult,
  LogRange,
  SnapshotResult,
  Storage,
  TermResult,
} from "../../master/raft/storage.ts";
import { assert } from "../../shared/base/assert.ts";
import type { LogIndex } from "../../shared/base/ids.ts";

const EMPTY_HARD_STATE: HardState = {
  term: TERM_ZERO,
  votedFor: NO_MEMBER,
  commitIndex: INDEX_ZERO,
};

/** A membership without members. */
export const EMPTY_MEMBERSHIP: Membership = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** A Raft log in memory, for tests of the core and its simulation. */
export class MemoryStorage implements Storage {
  #hardState: HardState = EMPTY_HARD_STATE;
  #snapshot: Snapshot | null = null;
  /** Position of the last compacted entry, which precedes `#entries[0]`. */
  #compacted: EntryPosition = { index: INDEX_ZERO, term: TERM_ZERO };
  #entries: readonly Entry[] = [];

  initialState(): { readonly hardState: HardState; readonly membership: Membership } {
    const membership = this.#snapshot?.membership ?? EMPTY_MEMBERSHIP;
    return { hardState: this.#hardState, membership };
  }

  entries(range: LogRange, bytesMax: number): EntriesResult {
    assert(range.fromIndex < range.toIndex, "the range is not empty");
    assert(range.toIndex <= indexAfter(this.lastIndex()), "the range ends within the log");
    if (range.fromIndex <= this.#compacted.index) return { kind: "compacted" };
    const fromOffset = this.#offsetOf(range.fromIndex);
    const entries = this.#entries.slice(fromOffset, this.#offsetOf(range.toIndex));
    return { kind: "entries", entries: limitSize(entries, bytesMax) };
  }

  term(index: LogIndex): TermResult {
    if (index < this.#compacted.index) return { kind: "compacted" };
    if (index === this.#compacted.index) return { kind: "term", term: this.#compacted.term };
    const entry = this.#entries[this.#offsetOf(index)];
    return entry === undefined ? { kind: "unavailable" } : { kind: "term", term: entry.term };
  }

  termStart(index: LogIndex): LogIndex {
    let start = index;
    const entryAt = (at: number) => this.#entries[this.#offsetOf(at as LogIndex)];
    while (entryAt(start - 1)?.term === entryAt(index)?.term) start = (start - 1) as LogIndex;
    return start;
  }

  firstIndex(): LogIndex {
    return indexAfter(this.#compacted.index);
  }

  lastIndex(): LogIndex {
    return indexAfter(this.#compacted.index, this.#entries.length);
  }

  snapshot(): SnapshotResult {
    if (this.#snapshot === null) return { kind: "unavailable" };
    return { kind: "snapshot", snapshot: this.#snapshot };
  }

  /** Performs the writes of `append`, without its replies. */
  write(append: Pick<StorageAppend, "hardState" | "snapshot" | "entries">): void {
    if (append.snapshot !== null) this.#replaceBy(append.snapshot);
    this.#append(append.entries);
    if (append.hardState !== null) this.#hardState = append.hardState;
  }

  /** Stores a snapshot. Does not drop entries. */
  saveSnapshot(snapshot: Snapshot): void {
    assert(snapshot.index <= this.lastIndex(), "the state does not exceed the log");
    this.#snapshot = snapshot;
  }

  /** Drops the entries up to and including `index`. */
  compact(index: LogIndex): void {
    assert(index > this.#compacted.index, "the log has entries to compact");
    const last = this.#entries[this.#offsetOf(index)];
    assert(last !== undefined, "the compacted index is in the log");
    this.#entries = this.#entries.slice(this.#offsetOf(index) + 1);
    this.#compacted = positionOf(last);
  }

  #replaceBy(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#compacted = positionOf(snapshot);
    this.#entries = [];
  }

  #append(entries: readonly Entry[]): void {
    const fresh = entries.filter((entry) => entry.index > this.#compacted.index);
    const first = fresh[0];
    if (first === undefined) return;
    assert(first.index <= indexAfter(this.lastIndex()), "the log has no gap");
    this.#entries = this.#entries.slice(0, this.#offsetOf(first.index)).concat(fresh);
  }

  #offsetOf(index: LogIndex): number {
    return index - this.#compacted.index - 1;
  }
}
