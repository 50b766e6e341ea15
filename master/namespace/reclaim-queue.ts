import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { type ByteText, type Key, prefixEnd, readU64, TABLE_BYTE, u64 } from "./keys.ts";
import type { RecordReader } from "./overlay.ts";
import { RECLAIMS, type UnversionedTable } from "./tables.ts";

/**
 * The kinds of subjects in the reclaim queue. The code is the second part of the row's key, so it
 * is on disk. "history" sorts first: within one index, superseded positions release their chunks
 * before the content of these positions is removed.
 *
 * From feature level 14 on a removal leaves one row of the kind "removed", which names the old versions of the
 * inode and of its directory entry. The inode has no record. A row of the kind "inode" names an inode that
 * still has its record. There are three cases:
 *
 * - a removal below level 14. Rows of the kind "history" name the old versions
 * - a removal, at any level, by the entry that has written the inode or the directory entry. A record that the
 *   entry has written is in no readable state, so the history does not have it
 * - a subdirectory of a removed directory, at any level: `reclaim` queues it
 *
 * Rows of both kinds can be in one queue.
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
  /** Whether other rows belong to the inode: those of the chunks of a file, or of a directory. */
  readonly hasParts: boolean;
}

/** The flags of the subject of a row: see `hasParts`. */
const PARTS = "1";
const NO_PARTS = "0";

/** Returns the key of the row of an inode that the entry `index` has removed from the tree. */
export function removedKey(index: LogIndex, { id, parent, name, hasParts }: Removed): Key {
  return reclaimKey(
    index,
    RECLAIM_KIND.removed,
    u64(id) + (hasParts ? PARTS : NO_PARTS) + u64(parent) + name,
  );
}

/** Decodes the subject of a row of the kind "removed". */
export function removedOf(subject: ByteText): Removed {
  return {
    id: readU64(subject, 0) as InodeId,
    hasParts: subject[8] === PARTS,
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
