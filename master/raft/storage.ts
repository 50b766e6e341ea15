import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Entry, HardState, Membership, Snapshot } from "./messages.ts";

/** A half-open range of log indexes. */
export interface LogRange {
  readonly fromIndex: LogIndex;
  /** Exclusive. */
  readonly toIndex: LogIndex;
}

/** Result of reading entries. */
export type EntriesResult =
  /** The longest prefix of the range of at most `bytesMax`, but at least one entry. */
  | { readonly kind: "entries"; readonly entries: readonly Entry[] }
  /** The range begins before `firstIndex()`. */
  | { readonly kind: "compacted" }
  /**
   * The entries are on disk and not in memory. The storage starts to load them, and its owner calls
   * `RaftNode.entriesLoaded` when they are loaded. The core continues without them until then.
   */
  | { readonly kind: "unavailable" };

/** Result of reading the term of an entry. */
export type TermResult =
  | { readonly kind: "term"; readonly term: Term }
  | { readonly kind: "compacted" }
  /** The index is after the end of the log. */
  | { readonly kind: "unavailable" };

/** Result of reading the snapshot. */
export type SnapshotResult =
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot }
  /** No snapshot is ready; the core asks again later. */
  | { readonly kind: "unavailable" };

/**
 * The stored log, as the core reads it. All methods return immediately, from memory.
 *
 * It contains at least every `StorageAppend` whose replies were delivered. It may contain pending
 * ones too, but always a prefix of them in their order. The core reads here only the entries that
 * it no longer holds itself.
 */
export interface Storage {
  /**
   * Returns the durable state at the start of the member. Called once. `membership` is that at the
   * applied index (`RaftOptions.appliedIndex`): later changes are applied again.
   */
  initialState(): { readonly hardState: HardState; readonly membership: Membership };
  /** Reads entries. `range` is not empty and ends at most at `lastIndex() + 1`. */
  entries(range: LogRange, bytesMax: number): EntriesResult;
  /** Returns the term of an entry; known from `firstIndex() - 1` to `lastIndex()`. */
  term(index: LogIndex): TermResult;
  /**
   * Returns the first index after `firstIndex() - 1` from which all entries up to `index` have the
   * term of `index`, which is from `firstIndex()` to `lastIndex()`.
   */
  termStart(index: LogIndex): LogIndex;
  /** Returns the index of the first entry that is not compacted; 1 if none ever was. */
  firstIndex(): LogIndex;
  /** Returns the index of the last entry; `firstIndex() - 1` if the log is empty. */
  lastIndex(): LogIndex;
  /**
   * Returns a snapshot for a follower whose next entry is compacted: at or after `firstIndex() - 1`
   * and as recent as possible. A snapshot from before the follower was added is useless to it, so
   * an old one is not sufficient. While a new snapshot is being made, the result is `unavailable`.
   */
  snapshot(): SnapshotResult;
}
