import { assert, present } from "../../shared/base/assert.ts";
import { DIGEST_BYTES, type InodeId, type LogIndex } from "../../shared/base/ids.ts";
import {
  type ContentId,
  type Key,
  keyOfHistory,
  readU64,
  TABLE_BYTE,
  textOfUtf8,
  utf8OfText,
} from "./keys.ts";
import {
  type EntryRecord,
  type FileContent,
  type InodeCommon,
  type InodeRecord,
  makeFileInode,
  type PositionRecord,
} from "./records.ts";
import { RowReader, RowWriter } from "./row-bytes.ts";
import { POSITIONS, RECORD_VERSION, type Table } from "./tables.ts";

/**
 * The tables of the tree. Every path lookup reads them, so their rows are encoded field by field:
 * see row-bytes.ts.
 */

const writer = new RowWriter();

function begin(): RowWriter {
  writer.begin();
  writer.byte(RECORD_VERSION);
  return writer;
}

function read(bytes: Uint8Array): RowReader {
  const reader = new RowReader(bytes);
  assert(reader.byte() === RECORD_VERSION, "the version of a record is supported");
  return reader;
}

const DIRECTORY_KIND = 0;
const INLINE_KIND = 1;
const CHUNKS_KIND = 2;

/** Inodes. The fields of a row have the order of the calls in `encode`. */
export const INODES: Table<InodeRecord> = {
  encode: (inode) => {
    const row = begin();
    row.byte(kindOf(inode));
    row.integer(inode.parent ?? 0);
    row.text(inode.name);
    row.integer(inode.mode);
    row.integer(inode.uid);
    row.integer(inode.gid);
    row.number(inode.atimeMs);
    row.number(inode.ctimeMs);
    row.integer(inode.version);
    row.text(utf8OfText(inode.storageClass));
    if (inode.kind === "directory") return row.finish();
    row.number(inode.mtimeMs);
    row.integer(inode.copiesWanted);
    row.integer(inode.sizeBytes);
    row.integer(inode.chunkSizeBytes);
    assert(inode.contentRoot.length === DIGEST_BYTES, "a content root is a digest");
    row.bytes(inode.contentRoot);
    const { content } = inode;
    if (content.kind === "inline") {
      row.bytes(content.bytes);
      return row.finish();
    }
    row.integer(content.contentId);
    row.integer(content.chunkCount);
    return row.finish();
  },
  decode: (bytes, key) => {
    const row = read(bytes);
    const kind = row.byte();
    const common = readCommon(row, key);
    if (kind === DIRECTORY_KIND) return { kind: "directory", ...common };
    return makeFileInode(common, {
      atimeMs: common.atimeMs,
      mtimeMs: row.number(),
      copiesWanted: row.integer(),
      sizeBytes: row.integer(),
      chunkSizeBytes: row.integer(),
      contentRoot: row.bytes(),
      content: readContent(row, kind),
    });
  },
  sizeBytes: inodeSizeBytes,
  // Only directories are cached, because path lookups read them repeatedly. Reading a file from the
  // store is about as fast as from the cache, and millions of cached files would slow the garbage
  // collector.
  isCached: (inode) => inode.kind === "directory",
  isVersioned: true,
};

function kindOf(inode: InodeRecord): number {
  if (inode.kind === "directory") return DIRECTORY_KIND;
  return inode.content.kind === "inline" ? INLINE_KIND : CHUNKS_KIND;
}

function readCommon(row: RowReader, key: Key): InodeCommon {
  const parent = row.integer();
  return {
    id: readU64(key, 1) as InodeId,
    parent: parent === 0 ? null : (parent as InodeId),
    name: row.text(),
    mode: row.integer(),
    uid: row.integer(),
    gid: row.integer(),
    atimeMs: row.number(),
    ctimeMs: row.number(),
    version: row.integer() as LogIndex,
    storageClass: textOfUtf8(row.text()),
  };
}

function readContent(row: RowReader, kind: number): FileContent {
  if (kind === INLINE_KIND) return { kind: "inline", bytes: row.bytes() };
  assert(kind === CHUNKS_KIND, "an inode is a directory, an inline file or a file of chunks");
  return { kind: "chunks", contentId: row.integer() as ContentId, chunkCount: row.integer() };
}

/** Returns the approximate memory of an inode: its inline bytes plus a constant. */
function inodeSizeBytes(inode: InodeRecord): number {
  const isInline = inode.kind === "file" && inode.content.kind === "inline";
  return 200 + (isInline ? inode.content.bytes.length : 0);
}

const DIRECTORY_FLAG = 1;

/** Directory entries. */
export const ENTRIES: Table<EntryRecord> = {
  encode: ({ inode, version, isDirectory }) => {
    const row = begin();
    row.byte(isDirectory ? DIRECTORY_FLAG : 0);
    row.integer(inode);
    row.integer(version);
    return row.finish();
  },
  decode: (bytes) => {
    const row = read(bytes);
    const flags = row.byte();
    const inode = row.integer() as InodeId;
    const version = row.integer() as LogIndex;
    return { inode, version, isDirectory: (flags & DIRECTORY_FLAG) !== 0 };
  },
  sizeBytes: () => 0,
  isCached: (entry) => entry.isDirectory,
  isVersioned: true,
};

/** A record of a table with a history. Reads of the past use these tables only. */
export type VersionedRecord = InodeRecord | EntryRecord | PositionRecord;

const VERSIONED = new Map<string, Table<VersionedRecord>>([
  [TABLE_BYTE.inode, INODES as Table<VersionedRecord>],
  [TABLE_BYTE.entry, ENTRIES as Table<VersionedRecord>],
  [TABLE_BYTE.position, POSITIONS as Table<VersionedRecord>],
]);

function versionedTable(key: Key): Table<VersionedRecord> {
  return present(VERSIONED.get(key[0] ?? ""), "a history key belongs to a versioned table");
}

/** Superseded versions, each encoded as in its own table. */
export const HISTORY: Table<VersionedRecord> = {
  encode: (value, key) => versionedTable(keyOfHistory(key)).encode(value, keyOfHistory(key)),
  decode: (bytes, key) => versionedTable(keyOfHistory(key)).decode(bytes, keyOfHistory(key)),
  sizeBytes: (value) => ("kind" in value ? inodeSizeBytes(value) : 100),
  isCached: () => false,
  isVersioned: true,
};
