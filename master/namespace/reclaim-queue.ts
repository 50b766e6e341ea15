import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { type ByteText, type Key, prefixEnd, readU64, TABLE_BYTE, u64 } from "./keys.ts";
import type { RecordReader } from "./overlay.ts";
import { RECLAIMS, type UnversionedTable } from "./tables.ts";

/**
 * The kinds of subjects in the reclaim queue. The code is the second part of the row's key, so it
 * is on disk. "history" sorts first: within one index, superseded positions release their chunks
 * before the content of these positions is removed.
 *
 * A removal below feature level 14 leaves a row of the kind "inode" with the record of the inode, and rows
 * of the kind "history" for the old versions of the record and the entry. From level 14 on it leaves one row
 * of the kind "removed" for both versions, and no record. Rows of both forms can be in one queue.
 */
export const RECLAIM_KIND = {
  history: "1",
  content: "2",
  inode: "3",
  staged: "4",
  copies: "5",
  removed: "6",
} as const;
/** A code of `RECLAIM_KIND`, one character. */
export type ReclaimKind = (typeof RECLAIM_KIND)[keyof typeof RECLAIM_KIND];

/**
 * Returns the key of a row of the reclaim queue.
 *
 * @param index the entry that made the subject invisible
 * @param subject a history key, a content id, an inode id, a session id, or what `raise-copies.ts` encodes,
 *   depending on `kind`
 */
export function reclaimKey(index: LogIndex, kind: ReclaimKind, subject: ByteText): Key {
  return (TABLE_BYTE.reclaim + u64(index) + kind + subject) as Key;
}

/**
 * The queue as `reclaim` reads it. Rows of the kind "removed" get the value 0: `reclaim` does not use
 * their time, and to decode it would take longer than to delete the row.
 */
export const QUEUED: UnversionedTable<number> = {
  ...RECLAIMS,
  decode: (bytes, key) => (kindOf(key) === RECLAIM_KIND.removed ? 0 : RECLAIMS.decode(bytes, key)),
};

/** Returns the kind of a row by its key. */
export const kindOf = (key: Key): ReclaimKind => key[1 + 8] as ReclaimKind;

/** The subject of a row of the kind "removed". */
interface Removed {
  readonly id: InodeId;
  /** The directory that had the entry of the inode. */
  readonly parent: InodeId;
  /** The name of the entry. */
  readonly name: ByteText;
  /** Whether the inode has more than its record: the chunks of a file, or a directory. */
  readonly hasMore: boolean;
}

/** The flags of the subject of a row: see `hasMore`. */
const MORE = "1";
const NO_MORE = "0";

/** Returns the key of the row of an inode that the entry `index` has removed from the tree. */
export function removedKey(index: LogIndex, { id, parent, name, hasMore }: Removed): Key {
  return reclaimKey(
    index,
    RECLAIM_KIND.removed,
    u64(id) + (hasMore ? MORE : NO_MORE) + u64(parent) + name,
  );
}

/** Decodes the subject of a row of the kind "removed". */
export function removedOf(subject: ByteText): Removed {
  return {
    id: readU64(subject, 0) as InodeId,
    hasMore: subject[8] === MORE,
    parent: readU64(subject, 9) as InodeId,
    name: subject.slice(17),
  };
}

/**
 * Returns the time of the entry `index` in ms since 1970, if the queue has a row of the kind "removed" for this
 * entry and inode.
 */
export function removalTime(
  records: RecordReader,
  index: LogIndex,
  id: InodeId,
): number | undefined {
  const start = reclaimKey(index, RECLAIM_KIND.removed, u64(id));
  return records.rows(RECLAIMS, { start, end: prefixEnd(start) }, 1)[0]?.value;
}
