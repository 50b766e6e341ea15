import { assert } from "../../shared/base/assert.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
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
  TABLE_BYTE,
  u64,
} from "./keys.ts";
import type { Overlay } from "./overlay.ts";
import type {
  DirectoryRecord,
  EntryRecord,
  InodeRecord,
  PositionRecord,
  TotalsRecord,
} from "./records.ts";
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

/**
 * What waits until no readable state shows it: the second part of a reclaim key. History first, so
 * that within one index old positions give up their chunks before their content goes.
 */
export const RECLAIM_KIND = { history: "1", content: "2", inode: "3" } as const;
export type ReclaimKind = (typeof RECLAIM_KIND)[keyof typeof RECLAIM_KIND];

export function reclaimKey(index: LogIndex, kind: ReclaimKind, what: ByteText): Key {
  return (TABLE_BYTE.reclaim + u64(index) + kind + what) as Key;
}

type Mutable<Value> = { -readonly [Field in keyof Value]: Value[Field] };

/**
 * What becomes of the state by one entry: reads, and writes that keep the history. `finish` ends it;
 * `rollback` takes back all that it has done so far.
 */
export class Change extends State {
  readonly index: LogIndex;
  /** The leader's time, monotone over all entries. */
  readonly nowMs: number;
  readonly hasher: Hasher;
  /** `contentRoot` of an empty file of the default chunk size: most files begin as one. */
  readonly emptyRoot: Uint8Array;
  /**
   * Private: a write that bypasses this class would bypass the history.
   */
  readonly #overlay: Overlay;
  /** The totals as this entry has changed them; written once, at its end. */
  #totals: Mutable<TotalsRecord> | null = null;
  #restoredChunks = 0;
  /** What it did, for the feed; written once, at its end. */
  #events: FeedRecord[] = [];

  constructor(options: {
    readonly overlay: Overlay;
    readonly hasher: Hasher;
    readonly emptyRoot: Uint8Array;
    readonly index: LogIndex;
    readonly nowMs: number;
  }) {
    super(options.overlay);
    this.#overlay = options.overlay;
    this.hasher = options.hasher;
    this.emptyRoot = options.emptyRoot;
    this.index = options.index;
    this.nowMs = options.nowMs;
    this.#overlay.begin();
  }

  /** Chunks that this entry has referred to by way of the past. @returns how many, with these. */
  addRestoredChunks(chunkCount: number): number {
    this.#restoredChunks += chunkCount;
    return this.#restoredChunks;
  }

  finish(): void {
    if (this.#events.length > 0) this.#writeEvents();
    if (this.#totals !== null) this.#overlay.set(TOTALS, META_KEY.totals, this.#totals);
    this.#overlay.end();
  }

  rollback(): void {
    this.#totals = null;
    this.#events = [];
    this.#overlay.rollback();
  }

  override get totals(): TotalsRecord {
    return this.#totals ?? super.totals;
  }

  updateTotals(changes: Partial<TotalsRecord>): void {
    this.#totals ??= { ...super.totals };
    Object.assign(this.#totals, changes);
  }

  /** Tells those who watch. In the order in which things happen. */
  addEvent(event: FeedRecord): void {
    this.#events.push(event);
  }

  #writeEvents(): void {
    const { index } = this;
    let { feedBytes } = this.totals;
    for (let sequence = 0; sequence < this.#events.length; sequence += 1) {
      const event = this.#events[sequence] as FeedRecord;
      this.#overlay.insert(FEED, feedKey({ index, sequence }), event);
      feedBytes += storedBytes(event);
    }
    this.updateTotals({ feedBytes });
  }

  putInode(inode: InodeRecord): void {
    assert(inode.version === this.index, "a record names the entry that writes it");
    this.#supersede(INODES, inodeKey(inode.id));
    this.#overlay.set(INODES, inodeKey(inode.id), inode);
  }

  /** An inode under an id that never was used: there is nothing to keep. */
  putNewInode(inode: InodeRecord): void {
    assert(inode.version === this.index, "a record names the entry that writes it");
    assert(inode.id < this.totals.nextInode, "a new inode has an id that was handed out");
    this.#overlay.insert(INODES, inodeKey(inode.id), inode);
  }

  /** Takes a name that the caller has found free: there is nothing to keep. */
  putEntry(parent: InodeId, name: ByteText, { id, kind }: InodeRecord): void {
    const isDirectory = kind === "directory";
    const record: EntryRecord = { inode: id, version: this.index, isDirectory };
    this.#overlay.insert(ENTRIES, entryKey(parent, name), record);
  }

  deleteEntry(parent: InodeId, name: ByteText): void {
    this.#supersede(ENTRIES, entryKey(parent, name));
    this.#overlay.delete(ENTRIES, entryKey(parent, name));
  }

  /** The position of a content under an id that never was used. */
  putNewPosition(id: ContentId, position: number, record: PositionRecord): void {
    assert(record.version === this.index, "a record names the entry that writes it");
    this.#overlay.insert(POSITIONS, positionKey(id, position), record);
  }

  /** @returns true if the old value went to the history, and its chunk reference with it. */
  putPosition(id: ContentId, position: number, record: PositionRecord): boolean {
    assert(record.version === this.index, "a record names the entry that writes it");
    const isKept = this.#supersede(POSITIONS, positionKey(id, position));
    this.#overlay.set(POSITIONS, positionKey(id, position), record);
    return isKept;
  }

  /** @returns as `putPosition`. */
  deletePosition(id: ContentId, position: number): boolean {
    const isKept = this.#supersede(POSITIONS, positionKey(id, position));
    this.#overlay.delete(POSITIONS, positionKey(id, position));
    return isKept;
  }

  /** Writes a record of a table without a history. The old value is lost. */
  putUnversioned<Value>(table: UnversionedTable<Value>, key: Key, value: Value): void {
    this.#overlay.set(table, key, value);
  }

  /** `putUnversioned` where the caller knows that the key has no value: see `Overlay.insert`. */
  insertUnversioned<Value>(table: UnversionedTable<Value>, key: Key, value: Value): void {
    this.#overlay.insert(table, key, value);
  }

  /** Deletes a record of a table without a history. The old value is lost. */
  deleteUnversioned<Value>(table: UnversionedTable<Value>, key: Key): void {
    this.#overlay.delete(table, key);
  }

  /**
   * Deletes a record, or a superseded version in the history, that no readable state shows. The
   * history gets no copy of it, so `reclaim` is the only caller.
   */
  deleteUnreadable(table: Table<VersionedRecord>, key: Key): void {
    this.#overlay.delete(table, key);
  }

  putDirectory(id: InodeId, record: DirectoryRecord): void {
    this.#overlay.set(DIRECTORIES, directoryKey(id), record);
  }

  /** Queues what this entry took out of sight. Counts, if it did so more than once. */
  queueReclaim(kind: ReclaimKind, what: ByteText): void {
    const key = reclaimKey(this.index, kind, what);
    const before = this.#overlay.get(RECLAIMS, key);
    this.#overlay.set(RECLAIMS, key, (before ?? 0) + 1);
    if (before === undefined) this.countReclaimRows(1);
  }

  /** Counts a row of the reclaim queue that came (1) or went (-1). */
  countReclaimRows(difference: 1 | -1): void {
    const { historyVersions } = this.totals;
    this.updateTotals({ historyVersions: historyVersions + difference });
  }

  /** Moves the present value to the history, unless this entry wrote it: then nobody can read it. */
  #supersede<Value extends VersionedRecord>(table: Table<Value>, key: Key): boolean {
    const old = this.#overlay.get(table, key);
    if (old === undefined || old.version === this.index) return false;
    assert(old.version < this.index, "entries are applied in order");
    const history = historyKey(key, this.index);
    this.#overlay.insert(HISTORY, history, old);
    this.queueReclaim(RECLAIM_KIND.history, history);
    return true;
  }
}
