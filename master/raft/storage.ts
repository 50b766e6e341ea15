import type { LogIndex, Term } from "../../shared/base/ids.ts";
import type { Entry, HardState, Membership, Snapshot } from "./messages.ts";

/** A half-open range of the log. */
export interface LogRange {
  readonly fromIndex: LogIndex;
  /** Exclusive. */
  readonly toIndex: LogIndex;
}

export type EntriesResult =
  /** The longest prefix of the range within `bytesMax`, but at least one entry. */
  | { readonly kind: "entries"; readonly entries: readonly Entry[] }
  /** The range begins before `firstIndex()`. */
  | { readonly kind: "compacted" }
  /**
   * The entries are on disk only. The storage starts to load them, and its owner calls
   * `RaftNode.entriesLoaded` when they are there; until then the core does without.
   */
  | { readonly kind: "unavailable" };

export type TermResult =
  | { readonly kind: "term"; readonly term: Term }
  | { readonly kind: "compacted" }
  /** Behind the end of the log. */
  | { readonly kind: "unavailable" };

export type SnapshotResult =
  | { readonly kind: "snapshot"; readonly snapshot: Snapshot }
  /** None at the moment; the core asks again. */
  | { readonly kind: "unavailable" };

/**
 * What the core reads of its own log. Answers at once, from memory.
 *
 * It shows at least every `StorageAppend` whose replies were delivered, and may show those under
 * way, but always a prefix of their order. The core looks here only for what it no longer holds.
 */
export interface Storage {
  /**
   * What was durable when the member started. Asked once. `membership` is the one at the index that
   * was applied then (`RaftOptions.appliedIndex`): changes behind it are applied once more.
   */
  initialState(): { readonly hardState: HardState; readonly membership: Membership };
  /** `range` is not empty and ends at most behind `lastIndex()`. */
  entries(range: LogRange, bytesMax: number): EntriesResult;
  /** Known for every index from `firstIndex() - 1` to `lastIndex()`. */
  term(index: LogIndex): TermResult;
  /** The first entry that is not compacted away; 1 in a log that never was. */
  firstIndex(): LogIndex;
  /** `firstIndex() - 1` if there is no entry. */
  lastIndex(): LogIndex;
  /**
   * The state for a follower whose next entry is compacted away: at or after `firstIndex() - 1`, and
   * as new as can be. One from before the follower was added is of no use, so the state of an hour
   * ago will not do; if a new one must be made, `unavailable` until it is there.
   */
  snapshot(): SnapshotResult;
}
