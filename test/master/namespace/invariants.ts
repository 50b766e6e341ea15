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
  u64,
} from "../../../master/namespace/keys.ts";
import { RECLAIM_KIND, removedOf } from "../../../master/namespace/reclaim-queue.ts";
import type {
  FileInode,
  InodeRecord,
  PositionRecord,
  TotalsRecord,
} from "../../../master/namespace/records.ts";
import { STAGED_ROOT } from "../../../master/namespace/staged-totals.ts";
import {
  CHUNKS,
  CONTENTS,
  DIRECTORIES,
  POSITIONS,
  PURGES,
  RECLAIMS,
  SESSIONS,
  STAGED,
  STAGED_TOTALS,
  type Table,
  TOMBSTONES,
  TOTALS,
} from "../../../master/namespace/tables.ts";
import { ENTRIES, HISTORY, INODES } from "../../../master/namespace/tree-tables.ts";
import type { OrderedReader } from "../../../shared/ports/ordered-store.ts";

/** The decoded tables of a flushed state. Keys do not include the byte of their table. */
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

/** Recomputes all redundant data of a flushed store and compares it with the stored data. */
export function checkInvariants(store: OrderedReader): void {
  const tables = new Tables(store);
  const totals = [...tables.rows(TOTALS, "Mt").values()][0] as TotalsRecord;
  const inodes = inodesOf(tables);
  checkTree(tables, inodes, totals);
  checkContents(tables, inodes);
  checkStaged(tables, totals);
  checkChunks(tables, totals);
  checkHistory(tables);
  const queued = tables.keys(TABLE_BYTE.reclaim).size;
  assert.equal(totals.historyVersions, queued, "historyVersions is the length of the queue");
  checkFeed(tables, totals);
}

/** Returns all inodes, also those that were removed with one row of the queue: the history has them. */
function inodesOf(tables: Tables): Map<string, InodeRecord> {
  const inodes = tables.rows(INODES, TABLE_BYTE.inode);
  const history = tables.rows(HISTORY, TABLE_BYTE.history);
  for (const [key] of tables.rows(RECLAIMS, TABLE_BYTE.reclaim)) {
    if (key[8] !== RECLAIM_KIND.removed) continue;
    const id = key.slice(9, 17);
    assert.ok(!inodes.has(id), "a removed inode has no record besides its old version");
    const version = history.get(TABLE_BYTE.inode + id + key.slice(0, 8));
    assert.ok(version !== undefined, "the history has every removed inode");
    inodes.set(id, version as InodeRecord);
  }
  return inodes;
}

/** Recomputes the size of the feed. Below its floor, only the rest of one entry may exist. */
function checkFeed(tables: Tables, totals: TotalsRecord): void {
  let bytes = 0;
  for (const [key, record] of tables.rows(FEED, TABLE_BYTE.feed)) {
    bytes += storedBytes(record);
    const index = feedIndexOf((TABLE_BYTE.feed + key) as Key);
    assert.ok(index >= totals.feedFloor - 1, `the event of index ${index} is not below the floor`);
  }
  assert.equal(totals.feedBytes, bytes);
}

function checkTree(tables: Tables, inodes: Map<string, InodeRecord>, totals: TotalsRecord): void {
  const entries = tables.rows(ENTRIES, TABLE_BYTE.entry);
  const directories = tables.rows(DIRECTORIES, TABLE_BYTE.directory);
  const queued = queuedInodes(tables);
  const counts = new Map<string, number>();
  const attached = new Set<number>();
  for (const [key, entry] of entries) {
    const parent = key.slice(0, 8);
    counts.set(parent, (counts.get(parent) ?? 0) + 1);
    const inode = [...inodes.values()].find(({ id }) => id === entry.inode);
    assert.ok(inode !== undefined, "every entry has an inode");
    assert.equal(inode.parent, readU64(parent, 0), "the parent of an inode has its entry");
    assert.equal(inode.name, key.slice(8), "an inode and its entry have the same name");
    assert.ok(!attached.has(entry.inode), "an inode has at most one entry");
    attached.add(entry.inode);
  }
  for (const [key, inode] of inodes) {
    const isReachable = inode.id === 1 || attached.has(inode.id) || queued.has(inode.id);
    assert.ok(isReachable, `inode ${inode.id} is in the tree or in the reclaim queue`);
    if (inode.kind !== "directory") continue;
    const directory = directories.get(key);
    assert.ok(directory !== undefined, "every directory inode has a directory record");
    // Reclaim deletes the entries of a removed directory without updating its entry count.
    if (!queued.has(inode.id)) assert.equal(directory.entryCount, counts.get(key) ?? 0);
  }
  for (const [key, { entryCount }] of directories) {
    const id = readU64(key, 0);
    if (id === STAGED_ROOT) assert.equal(entryCount, counts.get(key) ?? 0);
    else assert.equal(inodes.get(key)?.kind, "directory");
  }
  checkCounts(inodes, queued, totals);
}

function queuedInodes(tables: Tables): Set<number> {
  const queued = new Set<number>();
  for (const key of tables.rows(RECLAIMS, TABLE_BYTE.reclaim).keys()) {
    const kind = key[8];
    if (kind === RECLAIM_KIND.inode || kind === RECLAIM_KIND.removed) queued.add(readU64(key, 9));
  }
  return queued;
}

/** Compares the counters. A removed inode is not counted; inodes below it count until reclaimed. */
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
  for (const { contentId, chunkCount } of tables.rows(STAGED, TABLE_BYTE.staged).values()) {
    add(String(contentId), 1);
    counts.set(contentId, chunkCount);
  }
  for (const [key, count] of tables.rows(RECLAIMS, TABLE_BYTE.reclaim)) {
    if (key[8] === RECLAIM_KIND.content) add(String(readU64(key, 9)), count);
  }
  const contents = tables.rows(CONTENTS, TABLE_BYTE.content);
  for (const [key, { referenceCount }] of contents) {
    assert.equal(
      referenceCount,
      references.get(String(readU64(key, 0))) ?? 0,
      "the reference count of a content is correct",
    );
  }
  const positions = new Map<number, number>();
  for (const key of tables.rows(POSITIONS, TABLE_BYTE.position).keys()) {
    assert.ok(contents.has(key.slice(0, 8)), "the content of every position exists");
    const id = readU64(key, 0);
    positions.set(id, (positions.get(id) ?? 0) + 1);
  }
  for (const [id, count] of counts)
    assert.equal(positions.get(id), count, "a content has one position for each chunk");
}

/** Checks the sums of the unfinished uploads, and that each belongs to a session or is queued. */
function checkStaged(tables: Tables, totals: TotalsRecord): void {
  const staged = tables.rows(STAGED, TABLE_BYTE.staged);
  const sessions = tables.rows(SESSIONS, TABLE_BYTE.session);
  const queued = tables.keys(TABLE_BYTE.reclaim);
  const sums = new Map<string, { uploadCount: number; chunkCount: number }>();
  let bytes = 0;
  for (const [key, { chunkCount, sizeBytes }] of staged) {
    const session = key.slice(0, 8);
    const { uploadCount, chunkCount: others } = sums.get(session) ?? {
      uploadCount: 0,
      chunkCount: 0,
    };
    sums.set(session, { uploadCount: uploadCount + 1, chunkCount: others + chunkCount });
    bytes += sizeBytes;
    const isReleased = queued.has(`${"\0".repeat(8)}4${session}`);
    assert.ok(chunkCount > 0, "an unfinished upload has a chunk");
    assert.notEqual(
      sessions.has(session),
      isReleased,
      "an unfinished upload belongs to a session, or its session is in the reclaim queue",
    );
  }
  for (const key of tables.keys(TABLE_BYTE.entry)) {
    if (readU64(key, 0) !== STAGED_ROOT) continue;
    const session = u64(Number.parseInt(key.slice(8, 24), 16));
    const { uploadCount = 0, chunkCount = 0 } = sums.get(session) ?? {};
    sums.set(session, { uploadCount: uploadCount + 1, chunkCount });
    const isReleased = queued.has(`${"\0".repeat(8)}4${session}`);
    assert.notEqual(sessions.has(session), isReleased, "an unfinished tree belongs to a session");
  }
  assert.deepEqual(tables.rows(STAGED_TOTALS, TABLE_BYTE.stagedTotals), sums);
  assert.equal(totals.stagedBytes, bytes);
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
  const underReplicated = new Set<string>();
  for (const [key, chunk] of chunks) {
    const count = references.get(textToHex(key));
    assert.equal(chunk.referenceCount, count, "the reference count of a chunk is correct");
    for (const { serverId } of chunk.replicas) replicas.add(serverId + textToHex(key));
    if (chunk.replicas.length < chunk.copiesWanted) underReplicated.add(key);
  }
  assert.equal(chunks.size, references.size, "the chunk of every position exists");
  assert.equal(totals.chunkCount, chunks.size);
  const replicaRows = new Set([...tables.keys(TABLE_BYTE.replica)].map(textToHex));
  assert.deepEqual(replicaRows, replicas, "the replica table matches the chunks");
  assert.deepEqual(
    tables.keys(TABLE_BYTE.underReplicated),
    underReplicated,
    "the under-replicated table matches the chunks",
  );
  const purges = tables.rows(PURGES, TABLE_BYTE.purge);
  assert.equal(purges.size, totals.purgesPending);
  for (const key of purges.keys())
    assert.ok(!replicaRows.has(textToHex(key)), "a recorded copy has no pending purge");
  const ages = [...tables.rows(TOMBSTONES, TABLE_BYTE.tombstone)].length;
  assert.equal(tables.keys(TABLE_BYTE.tombstoneAge).size, ages);
}

/** Checks that the rows of the reclaim queue name each superseded version once. */
function checkHistory(tables: Tables): void {
  const history = tables.rows(HISTORY, TABLE_BYTE.history);
  const queued: string[] = [];
  for (const key of tables.rows(RECLAIMS, TABLE_BYTE.reclaim).keys()) {
    const index = key.slice(0, 8);
    if (key[8] === RECLAIM_KIND.history) queued.push(key.slice(10));
    if (key[8] !== RECLAIM_KIND.removed) continue;
    const removed = removedOf(key.slice(9));
    const inode = TABLE_BYTE.inode + u64(removed.id) + index;
    const { parent, name, ...record } = history.get(inode) as InodeRecord;
    assert.ok(parent !== null, "the root is never removed");
    const isInline = record.kind === "file" && record.content.kind === "inline";
    assert.deepEqual(removed, { id: record.id, parent, name, hasParts: !isInline });
    queued.push(inode, `${TABLE_BYTE.entry}${u64(parent)}${name}\0${index}`);
  }
  assert.deepEqual([...history.keys()].sort(), queued.sort());
  for (const [key, value] of history) {
    const full = (TABLE_BYTE.history + key) as Key;
    assert.ok(keyOfHistory(full).length > 8);
    const supersededIndex = readU64(full, full.length - 8);
    assert.ok(value.version < supersededIndex, "a version existed at one index or more");
  }
}
