import { assert, present, unreachable } from "../../shared/base/assert.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import type { FeedPosition } from "../../shared/protocol/feed-api.ts";
import type { FeedRecord } from "./feed-records.ts";
import { bytesToText, type Key, prefixEnd, readU64, TABLE_BYTE, textToBytes, u64 } from "./keys.ts";
import { MsgpackArray } from "./msgpack-array.ts";
import { type Fields, ownBytes, table, type UnversionedTable } from "./tables.ts";

/**
 * The kinds of events. On disk, the kind at index n has the codes 2n for a file and 2n + 1 for a
 * directory, so this order must never change.
 */
const KINDS = ["created", "content", "removed", "renamed", "attributes", "storage-class"] as const;

/** The change feed: a value is a code, the common fields, then the fields of its kind. */
export const FEED: UnversionedTable<FeedRecord> = table({
  toFields,
  fromFields: ([code, timeMs, inode, parent, name, ...more]) => {
    const kind = present(KINDS[(code as number) >> 1], "the kind of an event is supported");
    const common = {
      timeMs: timeMs as number,
      inode: inode as InodeId,
      inodeKind: ((code as number) & 1) === 0 ? ("file" as const) : ("directory" as const),
      parent: parent === 0 ? null : (parent as InodeId),
      name: bytesToText(name as Uint8Array),
    };
    return { ...common, ...kindFieldsOf(kind, more, common.timeMs) } as FeedRecord;
  },
  sizeBytes: (record) => 150 + storedBytes(record),
});

/**
 * The feed as the sizes of its events (see `storedBytes`): most rows are read again only to be dropped. A row
 * that is not in the store yet has its record.
 */
export const FEED_SIZES: UnversionedTable<FeedRecord | { readonly storedBytes: number }> = {
  ...(FEED as UnversionedTable<never>),
  decode: (bytes) => ({ storedBytes: storedBytesOf(bytes) }),
};

const codeOf = ({ kind, inodeKind }: FeedRecord): number =>
  KINDS.indexOf(kind) * 2 + (inodeKind === "file" ? 0 : 1);

/** Returns null for a time that equals the entry's time, which is the usual case. */
const nullIfNow = (timeMs: number, nowMs: number): number | null =>
  timeMs === nowMs ? null : timeMs;

function toFields(record: FeedRecord): Fields {
  const { timeMs, inode } = record;
  const code = codeOf(record);
  const parent = record.parent ?? 0;
  const name = textToBytes(record.name);
  switch (record.kind) {
    case "created": {
      const { mode, uid, gid, storageClass, mtimeMs, sizeBytes, contentRoot } = record;
      const mtime = nullIfNow(mtimeMs, timeMs);
      const owned = [mode, uid, gid, storageClass, mtime, sizeBytes, contentRoot];
      return [code, timeMs, inode, parent, name, ...owned];
    }
    case "content": {
      const mtime = nullIfNow(record.mtimeMs, timeMs);
      return [code, timeMs, inode, parent, name, mtime, record.sizeBytes, record.contentRoot];
    }
    case "removed":
      return [code, timeMs, inode, parent, name, record.isTree];
    case "renamed": {
      const from = [record.from.parent, textToBytes(record.from.name)];
      return [code, timeMs, inode, parent, name, ...from];
    }
    case "attributes": {
      const { mode, uid, gid, mtimeMs, atimeMs } = record;
      return [code, timeMs, inode, parent, name, mode, uid, gid, mtimeMs, atimeMs];
    }
    case "storage-class":
      return [code, timeMs, inode, parent, name, record.storageClass];
    default:
      return unreachable(record);
  }
}

function kindFieldsOf(kind: FeedRecord["kind"], fields: Fields, nowMs: number): object {
  switch (kind) {
    case "created": {
      const [mode, uid, gid, storageClass, mtimeMs, sizeBytes, root] = fields;
      const owned = { kind, mode, uid, gid, storageClass };
      return { ...owned, mtimeMs: mtimeMs ?? nowMs, sizeBytes, contentRoot: rootOf(root) };
    }
    case "content": {
      const [mtimeMs, sizeBytes, root] = fields;
      return { kind, mtimeMs: mtimeMs ?? nowMs, sizeBytes, contentRoot: rootOf(root) };
    }
    case "removed":
      return { kind, isTree: fields[0] };
    case "renamed":
      return { kind, from: { parent: fields[0], name: bytesToText(fields[1] as Uint8Array) } };
    case "attributes": {
      const [mode, uid, gid, mtimeMs, atimeMs] = fields;
      return { kind, mode, uid, gid, mtimeMs, atimeMs };
    }
    case "storage-class":
      return { kind, storageClass: fields[0] };
    default:
      return unreachable(kind);
  }
}

const rootOf = (root: unknown): Uint8Array | null => (root === null ? null : ownBytes(root));

/**
 * Returns the approximate size of an event on disk, key and value. The totals add it when the event
 * is written and subtract it when the event is dropped, so the result must not change over time.
 */
export function storedBytes(record: FeedRecord): number {
  const fromBytes = record.kind === "renamed" ? 8 + record.from.name.length : 0;
  const hasRoot = "contentRoot" in record && record.contentRoot !== null;
  return 60 + record.name.length + fromBytes + (hasRoot ? 34 : 0);
}

/** Number of the field of the row of an event, after the version of the record. */
const FIELD = {
  code: 1,
  name: 5,
  created: { root: 12 },
  content: { root: 8 },
  renamed: { name: 7 },
};

/** Returns the result of `storedBytes` for a row. Skips most of its fields: `reclaim` reads every row once more. */
function storedBytesOf(row: Uint8Array): number {
  const fields = new MsgpackArray(row);
  const code = fields.byteOf(FIELD.code);
  const nameBytes = fields.lengthOf(FIELD.name);
  const kind = present(KINDS[code >> 1], "the kind of an event is supported");
  const bytes = 60 + nameBytes;
  if (kind === "renamed") return bytes + 8 + fields.lengthOf(FIELD.renamed.name);
  if (kind !== "created" && kind !== "content") return bytes;
  return bytes + (fields.isNull(FIELD[kind].root) ? 0 : 34);
}

// Keys ---------------------------------------------------------------------------------------

/** The end of every range of the feed, exclusive. */
export const FEED_END = prefixEnd(TABLE_BYTE.feed);

const U32_BYTES = 4;

/** Returns the key of an event. Events sort by index, then by their number in the entry. */
export function feedKey({ index, sequence }: FeedPosition): Key {
  assert(sequence < 2 ** 32, "an entry makes fewer than 2^32 events");
  return (TABLE_BYTE.feed + u64(index) + u64(sequence).slice(-U32_BYTES)) as Key;
}

/** Returns the position that `feedKey` encoded. */
export function feedPositionOf(key: Key): FeedPosition {
  const low = `\0\0\0\0${key.slice(-U32_BYTES)}`;
  return { index: feedIndexOf(key), sequence: readU64(low, 0) };
}

/** Returns the index of the log entry of an event. */
export const feedIndexOf = (key: Key): LogIndex => readU64(key, 1) as LogIndex;
