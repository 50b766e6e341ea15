import { assert } from "../../shared/base/assert.ts";
import type { ChunkId, InodeId, LogIndex } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import { CostMeter, ENTRY_UNITS_MAX } from "./cost.ts";
import {
  FEATURE_LEVEL_COST,
  FEATURE_LEVEL_LONG_FILES,
  FEATURE_LEVEL_REMOVED,
} from "./feature-levels.ts";
import type { FeedRecord } from "./feed-records.ts";
import { FEED, feedKey, storedBytes } from "./feed-table.ts";
import {
  type ByteText,
  type ContentId,
  directoryKey,
  entryKey,
  historyKey,
  inodeKey,
  type Key,
  META_KEY,
  positionKey,
} from "./keys.ts";
import { MeteredOverlay } from "./metered-overlay.ts";
import type { Overlay } from "./overlay.ts";
import { RECLAIM_KIND, type ReclaimKind, reclaimKey, removedKey } from "./reclaim-queue.ts";
import type {
  ChunkRecord,
  DirectoryRecord,
  EntryRecord,
  InodeRecord,
  PositionRecord,
  TotalsRecord,
} from "./records.ts";
import type { ReplicaChanges } from "./replica-changes.ts";
import { State } from "./state.ts";
import {
  DIRECTORIES,
  POSITIONS,
  RECLAIMS,
  type Table,
  TOTALS,
  type UnversionedTable,
} from "./tables.ts";
import { ENTRIES, HISTORY, INODES, type VersionedRecord } from "./tree-tables.ts";

type Mutable<Value> = { -readonly [Field in keyof Value]: Value[Field] };

/**
 * The state while one log entry changes it. Reads include the changes of the entry. Writes copy the
 * superseded records to the history. `rollback` undoes all changes of the entry. `finish` completes
 * the entry.
 */
export class Change extends State {
  readonly index: LogIndex;
  /** The cluster's time in ms since 1970. Increases over all entries, except at a step of the clock. */
  readonly nowMs: number;
  readonly hasher: Hasher;
  /** `contentRoot` of an empty file of the default chunk size. Most files start empty. */
  readonly emptyRoot: Uint8Array;
  /** Private, so that no caller can write a versioned record without its history. */
  readonly #overlay: MeteredOverlay;
  readonly #layers: Overlay;
  readonly #meter: CostMeter;
  /** The totals after the changes of this entry. Null if unchanged. Written once, by `finish`. */
  #totals: Mutable<TotalsRecord> | null = null;
  #restoredChunks = 0;
  /** Feed events of this entry, in order. Written once, by `finish`. */
  #events: FeedRecord[] = [];
  readonly #replicaChanges: ReplicaChanges;
  /** Chunks whose replicas this entry has changed. Passed to `#replicaChanges` by `finish`. */
  #changedChunks: [ChunkId, ChunkRecord][] = [];

  constructor(options: {
    readonly overlay: Overlay;
    readonly hasher: Hasher;
    readonly emptyRoot: Uint8Array;
    readonly replicaChanges: ReplicaChanges;
    readonly index: LogIndex;
    readonly nowMs: number;
  }) {
    const meter = new CostMeter();
    const overlay = new MeteredOverlay(options.overlay, meter);
    super(overlay);
    this.#meter = meter;
    this.#overlay = overlay;
    this.#layers = options.overlay;
    this.hasher = options.hasher;
    this.emptyRoot = options.emptyRoot;
    this.#replicaChanges = options.replicaChanges;
    this.index = options.index;
    this.nowMs = options.nowMs;
    this.#layers.begin();
  }

  /** The cost of the entry so far: see cost.ts. */
  get units(): number {
    return this.#meter.units;
  }

  /** Whether the cluster's feature level bounds the cost of an entry. */
  get isCostBounded(): boolean {
    return this.featureLevel >= FEATURE_LEVEL_COST;
  }

  /** Whether `FEATURE_LEVEL_LONG_FILES` is reached. Not counted: the units of lower levels must not change. */
  get isLongWorkDivided(): boolean {
    return new State(this.#layers).featureLevel >= FEATURE_LEVEL_LONG_FILES;
  }

  /** Whether `FEATURE_LEVEL_REMOVED` is reached. Not counted, as above. */
  get #isRemovalOneRow(): boolean {
    return new State(this.#layers).featureLevel >= FEATURE_LEVEL_REMOVED;
  }

  /** Counts the bytes of the command. */
  countCommand(bytes: number): void {
    this.#meter.countCommand(bytes);
  }

  /** Refuses the command with TOO_LARGE when it costs more than one entry may. */
  limitCost(): void {
    if (this.isCostBounded) this.#meter.limit(ENTRY_UNITS_MAX);
  }

  /** Limits what follows to `unitsMax`, however much the entry has cost before. */
  allowUnits(unitsMax: number): void {
    this.endCostLimit(); // The feature level is read from a row, which costs a unit.
    if (this.isCostBounded) this.#meter.limit(this.#meter.units + unitsMax);
  }

  /** Ends the limit of the cost: the rest of the entry is small and must not be refused. */
  endCostLimit(): void {
    this.#meter.removeLimit();
  }

  /**
   * Adds to the number of chunks that this entry has restored from the past.
   *
   * @returns the sum for this entry
   */
  addRestoredChunks(chunkCount: number): number {
    this.#restoredChunks += chunkCount;
    return this.#restoredChunks;
  }

  /** Writes the totals and the feed events. The entry cannot be rolled back after this. */
  finish(): void {
    if (this.#events.length > 0) this.#writeEvents();
    if (this.#totals !== null) this.#overlay.set(TOTALS, META_KEY.totals, this.#totals);
    this.#layers.end();
    for (const [id, chunk] of this.#changedChunks) this.#replicaChanges.add(id, chunk);
  }

  /** Undoes every change of this entry, and ends the limit of its cost. More changes may follow. */
  rollback(): void {
    this.endCostLimit();
    this.#totals = null;
    this.#events = [];
    this.#changedChunks = [];
    this.#layers.rollback();
  }

  /** The totals, with the changes of this entry. */
  override get totals(): TotalsRecord {
    return this.#totals ?? super.totals;
  }

  /** Replaces the named fields of the totals. */
  updateTotals(changes: Partial<TotalsRecord>): void {
    this.#totals ??= { ...super.totals };
    Object.assign(this.#totals, changes);
  }

  /** Notes that the replicas of a chunk, or their wanted number, have changed. */
  noteReplicas(id: ChunkId, chunk: ChunkRecord): void {
    this.#changedChunks.push([id, chunk]);
  }

  /** Adds an event to the change feed. Events must be added in the order of the changes. */
  addEvent(event: FeedRecord): void {
    this.#meter.countWrite();
    this.#events.push(event);
  }

  #writeEvents(): void {
    const { index } = this;
    let { feedBytes } = this.totals;
    for (let sequence = 0; sequence < this.#events.length; sequence += 1) {
      const event = this.#events[sequence] as FeedRecord;
      this.#layers.insert(FEED, feedKey({ index, sequence }), event);
      feedBytes += storedBytes(event);
    }
    this.updateTotals({ feedBytes });
  }

  /** Writes an inode. The old record moves to the history. */
  putInode(inode: InodeRecord): void {
    assert(inode.version === this.index, "a record's version is the entry that writes it");
    this.#supersede(INODES, inodeKey(inode.id));
    this.#overlay.set(INODES, inodeKey(inode.id), inode);
  }

  /** Writes an inode under an id that was never used. No old record exists. */
  putNewInode(inode: InodeRecord): void {
    assert(inode.version === this.index, "a record's version is the entry that writes it");
    assert(inode.id < this.totals.nextInode, "the id of a new inode was allocated");
    this.#overlay.insert(INODES, inodeKey(inode.id), inode);
  }

  /** Writes a directory entry under a name that the caller knows to be free. */
  putEntry(parent: InodeId, name: ByteText, { id, kind }: InodeRecord): void {
    const isDirectory = kind === "directory";
    const record: EntryRecord = { inode: id, version: this.index, isDirectory };
    this.#overlay.insert(ENTRIES, entryKey(parent, name), record);
  }

  /** Deletes a directory entry. The old record moves to the history. */
  deleteEntry(parent: InodeId, name: ByteText): void {
    this.#supersede(ENTRIES, entryKey(parent, name));
    this.#overlay.delete(entryKey(parent, name));
  }

  /**
   * Deletes an inode and its directory entry. Both move to the history, and one row of the reclaim queue names
   * them: "removed" in `RECLAIM_KIND`.
   *
   * @returns false if nothing was changed: below `FEATURE_LEVEL_REMOVED`, and if this entry has written the
   *   inode or its directory entry. In the second case no readable state shows them, and the history must not
   *   have them
   */
  deleteInode(inode: InodeRecord, entry: EntryRecord): boolean {
    if (!this.#isRemovalOneRow) return false;
    if (inode.version === this.index || entry.version === this.index) return false;
    const { id, parent, name } = inode;
    assert(parent !== null, "the root is never removed");
    const hasParts = inode.kind === "directory" || inode.content.kind === "chunks";
    this.#moveToHistory(entryKey(parent, name), entry);
    this.#moveToHistory(inodeKey(id), inode);
    const key = removedKey(this.index, { id, parent, name, hasParts });
    this.#overlay.insert(RECLAIMS, key, this.nowMs);
    this.countReclaimRows(1);
    return true;
  }

  #moveToHistory(key: Key, old: VersionedRecord): void {
    this.#overlay.insert(HISTORY, historyKey(key, this.index), old);
    this.#overlay.delete(key);
  }

  /** Writes a position of a content whose id was never used. No old record exists. */
  putNewPosition(id: ContentId, position: number, record: PositionRecord): void {
    assert(record.version === this.index, "a record's version is the entry that writes it");
    this.#overlay.insert(POSITIONS, positionKey(id, position), record);
  }

  /**
   * Writes a position of a content.
   *
   * @returns true if the old record moved to the history. The history then holds its chunk
   *   reference; otherwise the caller must drop that reference.
   */
  putPosition(id: ContentId, position: number, record: PositionRecord): boolean {
    assert(record.version === this.index, "a record's version is the entry that writes it");
    const isKept = this.#supersede(POSITIONS, positionKey(id, position));
    this.#overlay.set(POSITIONS, positionKey(id, position), record);
    return isKept;
  }

  /** Deletes a position of a content. @returns the same as `putPosition` */
  deletePosition(id: ContentId, position: number): boolean {
    const isKept = this.#supersede(POSITIONS, positionKey(id, position));
    this.#overlay.delete(positionKey(id, position));
    return isKept;
  }

  /** Writes a record of a table without a history. The old value is lost. */
  putUnversioned<Value>(table: UnversionedTable<Value>, key: Key, value: Value): void {
    this.#overlay.set(table, key, value);
  }

  /** Writes a record under a key that has no value: see `Overlay.insert`. */
  insertUnversioned<Value>(table: UnversionedTable<Value>, key: Key, value: Value): void {
    this.#overlay.insert(table, key, value);
  }

  /** Deletes a record of a table without a history. The old value is lost. */
  deleteUnversioned<Value>(_table: UnversionedTable<Value>, key: Key): void {
    this.#overlay.delete(key);
  }

  /**
   * Deletes a record, or a superseded version in the history, that no readable state shows. The
   * history gets no copy of it, so `reclaim` is the only caller.
   */
  deleteUnreadable(_table: Table<VersionedRecord>, key: Key): void {
    this.#overlay.delete(key);
  }

  /** Writes the record of a directory, which has no history: see `DirectoryRecord`. */
  putDirectory(id: InodeId, record: DirectoryRecord): void {
    this.#overlay.set(DIRECTORIES, directoryKey(id), record);
  }

  /**
   * Queues a subject that this entry made invisible to reads of the current state. The value of the
   * row is the number of times that this entry queued the subject.
   */
  queueReclaim(kind: ReclaimKind, subject: ByteText): void {
    this.#queue(reclaimKey(this.index, kind, subject));
  }

  /**
   * Queues a subject that no state shows, so that it is reclaimed without the retention: under
   * index 0, which is at or below every history floor.
   */
  queueReclaimAtOnce(kind: ReclaimKind, subject: ByteText): void {
    this.#queue(reclaimKey(0 as LogIndex, kind, subject));
  }

  #queue(key: Key): void {
    const before = this.#overlay.get(RECLAIMS, key);
    this.#overlay.set(RECLAIMS, key, (before ?? 0) + 1);
    if (before === undefined) this.countReclaimRows(1);
  }

  /** Counts one row of the reclaim queue that was added (1) or removed (-1). */
  countReclaimRows(difference: 1 | -1): void {
    const { historyVersions } = this.totals;
    this.updateTotals({ historyVersions: historyVersions + difference });
  }

  /**
   * Copies the current record to the history. Skips a record that this entry wrote itself: no
   * readable state shows it.
   *
   * @returns whether a record was copied
   */
  #supersede<Value extends VersionedRecord>(table: Table<Value>, key: Key): boolean {
    const old = this.#overlay.get(table, key);
    if (old === undefined || old.version === this.index) return false;
    assert(old.version < this.index, "entries are applied in the order of their indexes");
    const history = historyKey(key, this.index);
    this.#overlay.insert(HISTORY, history, old);
    this.queueReclaim(RECLAIM_KIND.history, history);
    return true;
  }
}
