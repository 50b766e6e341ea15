import type { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore, OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { Entry, EntryPosition, HardState } from "../raft/messages.ts";

/** The member's data directory as the driver uses it. Implemented by `master/storage`. */
export interface MemberStorage {
  readonly identity: { readonly incarnation: string };
  /** The members before the first entry. Empty if the member waits to be added to a cluster. */
  readonly founders: readonly MemberId[];
  readonly incarnations: IncarnationRegister;
  readonly log: DurableLog;
  readonly states: StateDirectory;
  /**
   * Records that this member has lost entries that it had acknowledged: the directory is never opened
   * again. Durable when it resolves. @throws {AshlarError} DISK_FAILED, NO_SPACE
   */
  readonly recordLostLog: (reason: string) => Promise<void>;
}

/** Opens or creates the data directory of a member. See `openMemberStorage` of master/storage. */
export type OpenStorage = (options: {
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly log: Log;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly segmentBytes: number;
  readonly cacheBytes: number;
  readonly keptBytes: number;
  readonly founders: readonly MemberId[];
}) => Promise<MemberStorage>;

/** The known incarnation of each peer. Durable. */
export interface IncarnationRegister {
  /**
   * Resolves when `incarnation` is durably recorded as the incarnation of `peer`.
   *
   * @throws {AshlarError} WRONG_IDENTITY if another incarnation of the peer is recorded
   */
  check(peer: MemberId, incarnation: string): Promise<void>;
  /** Returns the recorded incarnation of `peer`, or null. */
  incarnationOf(peer: MemberId): string | null;
  /**
   * Resolves when these incarnations are durably recorded, in place of others.
   *
   * @throws {AshlarError} DISK_FAILED, NO_SPACE
   */
  record(incarnations: ReadonlyMap<MemberId, string>): Promise<void>;
  /** Returns whether no other incarnation of `peer` is recorded. */
  isCurrent(peer: MemberId, incarnation: string): boolean;
  /**
   * Replaces the incarnation of `peer`. Not durable: the log contains it and is read at each start.
   */
  adopt(peer: MemberId, incarnation: string): void;
}

/** The log on disk, with its last entries in memory. */
export interface DurableLog {
  /** The hard state of the last `append`, durable or not. */
  readonly hardState: HardState;
  /** The entries, including appended ones that are not durable yet. */
  readonly entries: LogView;
  /** The error after which nothing can be appended. Null while the log works. */
  readonly failure: AshlarError | null;
  /**
   * Begins the log after damage if the durable state has all entries up to there. Called before each
   * other change of the log.
   *
   * @param durableIndex index up to which the state is durable
   * @throws {AshlarError} LOG_CORRUPT if entries after it are missing; DISK_FAILED
   */
  settleDamage(durableIndex: LogIndex): Promise<void>;
  /**
   * Resolves when this batch and all earlier batches are durable. The entries of the batch replace
   * all entries from the index of its first entry on.
   *
   * @throws {AshlarError} DISK_FAILED, NO_SPACE. After either error the log appends nothing.
   */
  append(batch: {
    readonly hardState?: HardState;
    readonly entries: readonly Entry[];
  }): Promise<void>;
  /**
   * Reads entries from disk, from `first` on: at most `bytesMax`, but at least one. Empty if they
   * were compacted in the meantime.
   *
   * @throws {AshlarError} LOG_CORRUPT, DISK_FAILED
   */
  load(first: LogIndex, bytesMax: number): Promise<Entry[]>;
  /**
   * Returns the index up to which to compact, at most `limit`. If the disk is full, nothing is kept for
   * other members.
   */
  compactionPoint(limit: LogIndex, isFull?: boolean): LogIndex;
  /**
   * Returns whether a compaction to `held` keeps much more than one to `wanted`: more than the log that is
   * kept for other members.
   */
  isHeldTooLong(points: { readonly held: LogIndex; readonly wanted: LogIndex }): boolean;
  /** Drops the entries up to `index`. The durable state must contain them. */
  compactTo(index: LogIndex): Promise<void>;
  /**
   * Replaces the log by a snapshot at `base`. Atomic: after a crash before it resolves, the log is
   * either the old log or the new log.
   */
  reset(base: EntryPosition, hardState: HardState): Promise<void>;
  close(): Promise<void>;
}

/** The entries of the log: the terms of all of them, and the last ones themselves. */
export interface LogView {
  /** Position of the entry before the first one. */
  readonly base: EntryPosition;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly lastTerm: EntryPosition["term"];
  /** Index of the first entry in memory; later ones are in memory too. */
  readonly firstCachedIndex: LogIndex;
  /** Returns the term of an index from `base.index` to `lastIndex`. */
  termAt(index: LogIndex): EntryPosition["term"];
  /** Returns whether an entry after the base has this index and term. */
  has(position: EntryPosition): boolean;
  /** Returns the first index of the entries with the term of `index` that end with it. */
  termStart(index: LogIndex): LogIndex;
  /**
   * Returns entries from `first` to `end` (exclusive): at least one, at most `bytesMax` in total.
   * Null if the first one is not in memory.
   */
  slice(first: LogIndex, end: LogIndex, bytesMax: number): Entry[] | null;
}

/** An open store and the name under which `StateDirectory` knows it. */
export interface NamedStore {
  readonly name: string;
  readonly store: OrderedStore;
}

/** The stores of the state, one of them current. */
export interface StateDirectory {
  /**
   * Opens the current store.
   *
   * @throws {AshlarError} STORE_CORRUPT: the caller then calls `startOver`.
   */
  openCurrent(): Promise<NamedStore>;
  /** Replaces the current store, which must be closed, by an empty one. */
  startOver(): Promise<NamedStore>;
  /** Opens a new, empty store that is not the current one. */
  openFresh(): Promise<NamedStore>;
  /**
   * Whether the current state came from another member or a backup, and the log is not reset to it yet.
   * Durable. Otherwise the log has all entries of the state.
   */
  readonly isLogResetPending: boolean;
  /**
   * Makes a store with the state of another member the current one. The log reset is then pending. Atomic, and
   * durable when it resolves.
   */
  switchTo(name: string): Promise<void>;
  /** Records that the log is consistent with the current state. Durable when it resolves. */
  endLogReset(): Promise<void>;
  /** Removes a store. It must be closed and must not be the current one. */
  remove(name: string): Promise<void>;
}
