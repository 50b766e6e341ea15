import type { LogIndex, Term } from "../shared/base/ids.ts";
import type { OrderedReader } from "../shared/ports/ordered-store.ts";

/**
 * What the driver needs of the replicated state. Implemented by `master/namespace`.
 *
 * The log is the truth and the store lags behind it: `apply` changes a bounded overlay in memory
 * and answers at once; `flush` writes what has gathered, with the index it stands for, in one
 * commit. After a crash the store is a consistent earlier state and replay completes it.
 */
export interface StateMachine {
  /** Index of the last entry that `apply` has seen. Reads show the state after it. */
  readonly appliedIndex: LogIndex;
  /** Index and term that the store on disk stands for. The log is needed from the next index on. */
  readonly durable: {
    readonly index: LogIndex;
    readonly term: Term;
    /** What the rows in the store should hash to. Null: this state keeps no hash. */
    readonly stateHash: Uint8Array | null;
  };
  /** Bytes in the overlay that are not in the store yet. The driver pauses applying over its bound. */
  readonly unflushedBytes: number;
  /**
   * Applies one committed entry: a pure function of the state and the entry. Entries come in order
   * without gaps; empty ones (a new leader's) and membership changes only move the index.
   *
   * @returns the outcome, which the driver hands to the proposer without looking at it.
   * @throws {AshlarError} VERSION_MISMATCH, STATE_DIVERGED, STORE_CORRUPT: this member must stop.
   */
  apply(entry: AppliedEntry): unknown;
  /**
   * Writes the overlay as it is now. One call at a time.
   *
   * @throws {AshlarError} STATE_DIVERGED; as OrderedStore.commit
   */
  flush(): Promise<void>;
  /** The whole state as it is durable in the store, pinned. Release it when it is sent. */
  openSnapshot(): StateSnapshot;
}

export interface AppliedEntry {
  readonly index: LogIndex;
  readonly term: Term;
  /** Empty for entries that carry no command. */
  readonly data: Uint8Array;
  /**
   * The encoded membership after this entry where the entry changed it, else null. It is stored
   * beside the index, for snapshots and restarts.
   */
  readonly membership: Uint8Array | null;
}

export interface StateSnapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Uint8Array;
  /** Replicas at the same index have equal hashes. Null: this state keeps none. */
  readonly stateHash: Uint8Array | null;
  /** Every key and value, with those that hold the index and the membership. */
  readonly reader: OrderedReader;
  release(): void;
}
