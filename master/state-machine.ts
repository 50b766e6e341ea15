import type { LogIndex, Term } from "../shared/base/ids.ts";
import type { OrderedReader } from "../shared/ports/ordered-store.ts";

/**
 * The replicated state, as the driver uses it. Implemented by `master/namespace`.
 *
 * The log is authoritative and the store may lag behind it. `apply` changes a bounded overlay in
 * memory and returns immediately. `flush` writes the overlay and its index to the store in one
 * commit. After a crash the store contains a consistent earlier state, and replaying the log
 * completes it.
 */
export interface StateMachine {
  /** Index of the last applied entry. Reads return the state after it. */
  readonly appliedIndex: LogIndex;
  /** The state in the store on disk. The log is needed from the next index on. */
  readonly durable: {
    readonly index: LogIndex;
    readonly term: Term;
    /** Expected hash of the rows in the store. Null if this state keeps no hash. */
    readonly stateHash: Uint8Array | null;
  };
  /** The restore with which the log of this state begins. Undefined: it begins with entry 1. */
  readonly restored?: RestoredFrom | undefined;
  /**
   * Size of the overlay, in bytes. The driver pauses applying if it exceeds `unflushedBytesMax`.
   */
  readonly unflushedBytes: number;
  /**
   * Cost of the last applied entry, in units of about a microsecond. Every member counts the same. The
   * driver ends a turn after a number of units.
   */
  readonly entryUnits: number;
  /**
   * Applies one committed entry. The result depends on the state and the entry only. Entries arrive
   * in order and without gaps. Empty entries (of a new leader) and membership changes only advance
   * the index.
   *
   * @returns the outcome, which the driver passes to the proposer without interpreting it.
   * @throws {AshlarError} VERSION_MISMATCH, STATE_DIVERGED, STORE_CORRUPT: this member must stop.
   */
  apply(entry: AppliedEntry): unknown;
  /**
   * Writes the current overlay to the store. Durable when the promise resolves. Must not be called
   * concurrently.
   *
   * @throws {AshlarError} STATE_DIVERGED; the errors of OrderedStore.commit
   */
  flush(): Promise<void>;
  /** Opens a pinned view of the durable state in the store. The caller must release it. */
  openSnapshot(): StateSnapshot;
}

/** A restore from a backup. The log of the restored group begins after it. */
export interface RestoredFrom {
  /** The id that the members of the restored group have in common. 32 hex digits. */
  readonly restoreId: string;
  /** Identifies the backup. 16 bytes. */
  readonly backup: Uint8Array;
  /** Position of the restored state. */
  readonly index: LogIndex;
  readonly term: Term;
}

/** A committed entry that is applied. */
export interface AppliedEntry {
  readonly index: LogIndex;
  readonly term: Term;
  /** The command; empty if the entry has none. */
  readonly data: Uint8Array;
  /**
   * The encoded membership after this entry if the entry changes it, otherwise null. It is stored
   * with the index, for snapshots and restarts.
   */
  readonly membership: Uint8Array | null;
}

/** A pinned view of the durable state. */
export interface StateSnapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Uint8Array;
  /**
   * Hash of the state. Members have equal hashes at the same index. Null if this state keeps no
   * hash.
   */
  readonly stateHash: Uint8Array | null;
  /** Reads all keys and values, including those of the index and the membership. */
  readonly reader: OrderedReader;
  release(): void;
}
