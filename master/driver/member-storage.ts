import type { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore, OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { Entry, EntryPosition, HardState } from "../raft/messages.ts";

/** What the driver needs of the member's directory. Implemented by `master/storage`. */
export interface MemberStorage {
  readonly identity: { readonly incarnation: string };
  /** The members before the first entry. None for one that is to be added to a cluster. */
  readonly founders: readonly MemberId[];
  readonly incarnations: IncarnationRegister;
  readonly log: DurableLog;
  readonly states: StateDirectory;
}

export type OpenStorage = (options: {
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly log: Log;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly segmentBytes: number;
  readonly founders: readonly MemberId[];
}) => Promise<MemberStorage>;

export interface IncarnationRegister {
  /**
   * Resolves when `incarnation` is known, durably, to be that of `peer`.
   *
   * @throws {AshlarError} WRONG_IDENTITY if the peer has shown another one before.
   */
  check(peer: MemberId, incarnation: string): Promise<void>;
  /** Whether `incarnation` is the one that counts, or none is known. */
  isCurrent(peer: MemberId, incarnation: string): boolean;
  /** From now on `incarnation` is that of `peer`: the log says so, and will again after a restart. */
  adopt(peer: MemberId, incarnation: string): void;
}

/** The log on disk, with all entries after `entries.base` in memory. */
export interface DurableLog {
  /** As of the last `append`. */
  readonly hardState: HardState;
  /** With what is appended and not durable yet. */
  readonly entries: LogView;
  /** Why nothing can be appended any more; null: all is well. */
  readonly failure: AshlarError | null;
  /**
   * Resolves when the batch and all before it are durable. Its entries replace everything from the
   * index of the first one on.
   *
   * @throws {AshlarError} DISK_FAILED; NO_SPACE. Nothing is appended after either.
   */
  append(batch: {
    readonly hardState?: HardState;
    readonly entries: readonly Entry[];
  }): Promise<void>;
  /** Forgets entries up to `index`, which the state holds durably. */
  compactTo(index: LogIndex): Promise<void>;
  /** Replaces the log by a snapshot at `base`. A crash before it resolves leaves the old log. */
  reset(base: EntryPosition, hardState: HardState): Promise<void>;
  close(): Promise<void>;
}

export interface LogView {
  /** What precedes the first entry. */
  readonly base: EntryPosition;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly lastTerm: EntryPosition["term"];
  readonly sizeBytes: number;
  /** For an index from `base.index` to `lastIndex`. */
  termAt(index: LogIndex): EntryPosition["term"];
  /** Entries from `first` up to `end` (exclusive): at least one, then what `bytesMax` holds. */
  slice(first: LogIndex, end: LogIndex, bytesMax: number): Entry[];
  /** Up to where to compact so that such a tail remains before `durable`. */
  tailStart(
    durable: LogIndex,
    tail: { readonly entriesMax: number; readonly bytesMax: number },
  ): LogIndex;
}

export interface NamedStore {
  readonly name: string;
  readonly store: OrderedStore;
}

/** The stores of the state, one of them current. */
export interface StateDirectory {
  /** @throws {AshlarError} STORE_CORRUPT: `startOver` follows. */
  openCurrent(): Promise<NamedStore>;
  /** An empty store in place of the current one, which is closed. */
  startOver(): Promise<NamedStore>;
  openFresh(): Promise<NamedStore>;
  /** Makes the store the current one: durable when it resolves, all or nothing. */
  switchTo(name: string): Promise<void>;
  /** Removes a store that is closed and not current. */
  remove(name: string): Promise<void>;
}
