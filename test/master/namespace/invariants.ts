import assert from "node:assert/strict";
import { FEED, feedIndexOf, storedBytes } from "../../../master/namespace/feed-table.ts";
import {
  bytesToText,
  type Key,
  keyOfHistory,
  readU64,
  TABLE_BYTE,
  textToBytes,
  textToHex,
} from "../../../master/namespace/keys.ts";
import type {
  FileInode,
  InodeRecord,
  PositionRecord,
  TotalsRecord,
} from "../../../master/namespace/records.ts";
import {
  CHUNKS,
  CONTENTS,
  DIRECTORIES,
  POSITIONS,
  PURGES,
  RECLAIMS,
  type Table,
  TOMBSTONES,
  TOTALS,
} from "../../../master/namespace/tables.ts";
import { ENTRIES, HISTORY, INODES } from "../../../master/namespace/tree-tables.ts";
import type { OrderedReader } from "../../../shared/ports/ordered-store.ts";

/** A flushed state as decoded tables. Keys are without the byte of their table. */
class Tables {
  readonly #store: OrderedReader;

  constructor(store: OrderedReader) {
    this.#store = store;
  }

  rows<Value>(table: Table<Value>, byte: string): Map<string, Value> {
    const rows = new Map<string, Value>();
    for (const [key, value] of this.#raw(byte)) rows.set(key.slice(1), table.decode(value, key));
    return rows;
  }

  keys(byte: string): Set<string> {
    return new Set([...this.#raw(byte).keys()].map((key) => key.slice(1)));
  }

  #raw(byte: string): Map<Key, Uint8Array> {
    const start = textToBytes(byte);
    const end = Uint8Array.of(byte.charCodeAt(0) + 1);
    const rows = [...this.#store.range({ start, end })];
    return new Map(rows.map(({ key, value }) => [bytesToText(key) as Key, value]));
  }
}

/** Recounts all that is stored twice. The store is flushed. */
export function checkInvariants(store: OrderedReader): void {
  const tables = new Tables(store);
  const totals = [...tables.rows(TOTALS, "Mt").values()][0] as TotalsRecord;
  const inodes = tables.rows(INODES, TABLE_BYTE.inode);
  checkTree(tables, inodes, totals);
  checkContents(tables, inodes);
  checkChunks(tables, totals);
  checkHistory(tables);
  const queued = tables.keys(TABLE_BYTE.reclaim).size;
  assert.equal(totals.historyVersions, queued, "the rows of the history recount");
  checkFeed(tables, totals);
}

/** The feed's bytes are recounted; below its floor only the rest of one entry waits to go. */
function checkFeed(tables: Tables, totals: TotalsRecord): void {
  let bytes = 0;
  for (const [key, record] of tables.rows(FEED, TABLE_BYTE.feed)) {
    bytes += storedBytes(record);
    const index = feedIndexOf((TABLE_BYTE.feed + key) as Key);
    assert.ok(index >= totals.feedFloor - 1, `an event of index ${index} is left`);
  }
  assert.equal(totals.feedBytes, bytes);
}

function checkTree(tables: Tables, inodes: Map<string, InodeRecord>, totals: TotalsRecord): void {
  const entries = tables.rows(ENTRIES, TABLE_BYTE.entry);
  const directories = tables.rows(DIRECTORIES, TABLE_BYTE.directory);
  const queued = queuedInodes(tables);
  const counts = new Map<string, number>();
  const held = new Set<number>();
  for (const [key, entry] of entries) {
    const parent = key.slice(0, 8);
    counts.set(parent, (counts.get(parent) ?? 0) + 1);
    const inode = [...inodes.values()].find(({ id }) => id === entry.inode);
    assert.ok(inode !== undefined, "an entry has its inode");
    assert.equal(inode.parent, readU64(parent, 0), "an inode knows its directory");
    assert.equal(inode.name, key.slice(8), "an inode knows its name");
    assert.ok(!held.has(entry.inode), "an inode has one entry");
    held.add(entry.inode);
  }
  for (const [key, inode] of inodes) {
    const isHeld = inode.id === 1 || held.has(inode.id) || queued.has(inode.id);
    assert.ok(isHeld, `inode ${inode.id} is in the tree or in the reclaim queue`);
    if (inode.kind !== "directory") continue;
    const directory = directories.get(key);
    assert.ok(directory !== undefined, "a directory has its record");
    // A directory that is being reclaimed loses entries without counting.
    if (!queued.has(inode.id)) assert.equal(directory.entryCount, counts.get(key) ?? 0);
  }
  for (const key of directories.keys()) assert.equal(inodes.get(key)?.kind, "directory");
  checkCounts(inodes, queued, totals);
}

function queuedInodes(tables: Tables): Set<number> {
  const queued = new Set<number>();
  for (const key of tables.rows(RECLAIMS, TABLE_BYTE.reclaim).keys()) {
    if (key[8] === "3") queued.add(readU64(key, 9));
  }
  return queued;
}

/** Inodes at the top of what was removed are not counted; what is below is, until it is reclaimed. */
function checkCounts(
  inodes: Map<string, InodeRecord>,
  queued: Set<number>,
  totals: TotalsRecord,
): void {
  const counted = [...inodes.values()].filter((inode) => !queued.has(inode.id));
  const files = counted.filter((inode): inode is FileInode => inode.kind === "file");
  assert.equal(totals.fileCount, files.length);
  assert.equal(totals.directoryCount, counted.length - files.length);
  const bytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  assert.equal(totals.logicalBytes, bytes);
}

function checkContents(tables: Tables, inodes: Map<string, InodeRecord>): void {
  const references = new Map<string, number>();
  const add = (id: string, count: number): void => {
    references.set(id, (references.get(id) ?? 0) + count);
  };
  const counts = new Map<number, number>();
  for (const inode of inodes.values()) {
    if (inode.kind !== "file" || inode.content.kind !== "chunks") continue;
    add(String(inode.content.contentId), 1);
    counts.set(inode.content.contentId, inode.content.chunkCount);
  }
  for (const [key, count] of tables.rows(RECLAIMS, TABLE_BYTE.reclaim)) {
    if (key[8] === "2") add(String(readU64(key, 9)), count);
  }
  const contents = tables.rows(CONTENTS, TABLE_BYTE.content);
  for (const [key, { referenceCount }] of contents) {
    assert.equal(
      referenceCount,
      references.get(String(readU64(key, 0))) ?? 0,
      "references recount",
    );
  }
  const positions = new Map<number, number>();
  for (const key of tables.rows(POSITIONS, TABLE_BYTE.position).keys()) {
    assert.ok(contents.has(key.slice(0, 8)), "a position is of a content");
    const id = readU64(key, 0);
    positions.set(id, (positions.get(id) ?? 0) + 1);
  }
  for (const [id, count] of counts)
    assert.equal(positions.get(id), count, "all positions are there");
}

function checkChunks(tables: Tables, totals: TotalsRecord): void {
  const references = new Map<string, number>();
  const count = ({ chunkId }: PositionRecord): void => {
    references.set(chunkId, (references.get(chunkId) ?? 0) + 1);
  };
  for (const position of tables.rows(POSITIONS, TABLE_BYTE.position).values()) count(position);
  for (const [key, value] of tables.rows(HISTORY, TABLE_BYTE.history)) {
    if (key[0] === TABLE_BYTE.position) count(value as PositionRecord);
  }
  const chunks = tables.rows(CHUNKS, TABLE_BYTE.chunk);
  const replicas = new Set<string>();
  const wanting = new Set<string>();
  for (const [key, chunk] of chunks) {
    assert.equal(chunk.referenceCount, references.get(textToHex(key)), "chunk references recount");
    for (const { serverId } of chunk.replicas) replicas.add(serverId + textToHex(key));
    if (chunk.replicas.length < chunk.copiesWanted) wanting.add(key);
  }
  assert.equal(chunks.size, references.size, "what a position names is known");
  assert.equal(totals.chunkCount, chunks.size);
  const mirror = new Set([...tables.keys(TABLE_BYTE.replica)].map(textToHex));
  assert.deepEqual(mirror, replicas, "the replica table mirrors the chunks");
  assert.deepEqual(
    tables.keys(TABLE_BYTE.underReplicated),
    wanting,
    "the wanting table mirrors the chunks",
  );
  const purges = tables.rows(PURGES, TABLE_BYTE.purge);
  assert.equal(purges.size, totals.purgesPending);
  for (const key of purges.keys())
    assert.ok(!mirror.has(textToHex(key)), "a copy that counts stays");
  const ages = [...tables.rows(TOMBSTONES, TABLE_BYTE.tombstone)].length;
  assert.equal(tables.keys(TABLE_BYTE.tombstoneAge).size, ages);
}

/** Every old version has its row in the queue, so that it goes one day, and the other way round. */
function checkHistory(tables: Tables): void {
  const history = tables.keys(TABLE_BYTE.history);
  const queued = new Set<string>();
  for (const key of tables.rows(RECLAIMS, TABLE_BYTE.reclaim).keys()) {
    if (key[8] === "1") queued.add(key.slice(10));
  }
  assert.deepEqual(history, queued);
  for (const [key, value] of tables.rows(HISTORY, TABLE_BYTE.history)) {
    const full = (TABLE_BYTE.history + key) as Key;
    assert.ok(keyOfHistory(full).length > 8);
    assert.ok(value.version < readU64(full, full.length - 8), "a version was alive at some index");
  }
}
