import type { ChunkId, InodeId, LogIndex, ServerId } from "../../shared/base/ids.ts";
import type { ChunkKeys } from "../../shared/protocol/chunk-keys.ts";
import type { ByteText, ContentId } from "./keys.ts";

/**
 * The records of the tables. A record is immutable: a change writes a new record under the same
 * key.
 */

/** The fields that files and directories have in common. */

export interface InodeCommon {
  readonly id: InodeId;
  /** The directory of the inode. Null for the root, and below level 14 for an inode that was removed. */
  readonly parent: InodeId | null;
  /** The name in the directory. A removed inode keeps its last name. */
  readonly name: ByteText;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeMs: number;
  readonly ctimeMs: number;
  /** Index of the log entry that wrote this record. Earlier states do not have the record. */
  readonly version: LogIndex;
  /** Name of the storage class. */
  readonly storageClass: string;
}

/** The inode of a file. */
export interface FileInode extends InodeCommon {
  readonly kind: "file";
  readonly mtimeMs: number;
  /** `copies` of the storage class at the time when the class of the file was set. */
  readonly copiesWanted: number;
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly contentRoot: Uint8Array;
  readonly content: FileContent;
}

/**
 * Makes the record of a file. All file records are made here, so that they have one shape for the
 * engine and reads of their fields are fast.
 */
export function makeFileInode(
  common: InodeCommon,
  own: Omit<FileInode, "kind" | Exclude<keyof InodeCommon, "atimeMs">>,
): FileInode {
  return {
    kind: "file",
    id: common.id,
    parent: common.parent,
    name: common.name,
    mode: common.mode,
    uid: common.uid,
    gid: common.gid,
    atimeMs: own.atimeMs,
    ctimeMs: common.ctimeMs,
    version: common.version,
    storageClass: common.storageClass,
    mtimeMs: own.mtimeMs,
    copiesWanted: own.copiesWanted,
    sizeBytes: own.sizeBytes,
    chunkSizeBytes: own.chunkSizeBytes,
    contentRoot: own.contentRoot,
    content: own.content,
  };
}

/** The inode of a directory. Its entry count and times are in a `DirectoryRecord`. */
export interface DirectoryInode extends InodeCommon {
  readonly kind: "directory";
}

/** An inode of either kind. */
export type InodeRecord = FileInode | DirectoryInode;

/** Where the bytes of a file are: in its inode, or in the chunks of a content. */
export type FileContent =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "chunks"; readonly contentId: ContentId; readonly chunkCount: number };

/**
 * The fields of a directory that change with every added or removed entry.
 *
 * This record has no history, so that 10,000 creates in a directory do not leave 10,000 old
 * versions of its inode. A read of the past shows the current values (docs/client.md, "The past").
 */
export interface DirectoryRecord {
  readonly entryCount: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** Index of the log entry that wrote this record. */
  readonly version: LogIndex;
}

/** An entry of a directory: the inode of a name. */
export interface EntryRecord {
  readonly inode: InodeId;
  /** Index of the log entry that wrote this record. Earlier states do not have the record. */
  readonly version: LogIndex;
  /** The kind of the inode, as d_type of readdir(3). The kind of an inode never changes. */
  readonly isDirectory: boolean;
}

/**
 * A content: the chunks of a file, each under a position. A content is changed in place only while
 * it has one reference. A file that shares its content copies the content before a change.
 */
export interface ContentRecord {
  /** Inodes with this content, and queued reclaims of such inodes. At 0 it is being deleted. */
  readonly referenceCount: number;
}

/** The chunk at one position of a content. */
export interface PositionRecord {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  /** Index of the log entry that wrote this record. Earlier states do not have the record. */
  readonly version: LogIndex;
}

/** A chunk that at least one position references. */
export interface ChunkRecord {
  readonly lengthBytes: number;
  /**
   * Positions that reference the chunk, present ones and those in the history.
   *
   * Invariant: at least 1. The entry that drops the last reference deletes the chunk.
   */
  readonly referenceCount: number;
  /**
   * The largest wanted number of copies among all files that added a reference. Never decreases.
   */
  readonly copiesWanted: number;
  /** Servers that proved by a receipt that they have the chunk. Sorted by server. */
  readonly replicas: readonly ReplicaRecord[];
}

/** A copy of a chunk on one server. */
export interface ReplicaRecord {
  readonly serverId: ServerId;
  /** Index of the newest intent under which the server sealed the chunk, as far as known. */
  readonly intentIndex: LogIndex;
}

/** A client session, with its window of mutations. */
export interface SessionRecord {
  readonly clientName: string;
  readonly openedMs: number;
  readonly activeMs: number;
  /** The highest applied sequence. 0 before the first mutation. */
  readonly highestSequence: number;
  /**
   * The lowest sequence whose outcome is kept.
   *
   * Invariant: `highestSequence - floorSequence` is less than SESSION_OUTCOMES_MAX, so a session has at
   * most SESSION_OUTCOMES_MAX outcomes.
   */
  readonly floorSequence: number;
}

/**
 * An unfinished upload of a session: chunks that a later commit may name without receipts.
 *
 * Invariant: the content has one reference, that of this record. It is never shared or shown.
 */
export interface StagedRecord {
  readonly contentId: ContentId;
  readonly chunkCount: number;
  readonly sizeBytes: number;
  /** The leader's time of the first `stage`, in ms since 1970. */
  readonly createdMs: number;
  /** Absent for an upload that began below feature level 11: it cannot be published. */
  readonly segments?: UploadSegments | undefined;
}

/** What `publish` must know of the chunks of an upload, which it does not read. */
export interface UploadSegments {
  /** The digests of the segments (see `segmentDigestOf`), concatenated. */
  readonly digests: Uint8Array;
  /** Length of all chunks but the last. 0 if they differ, or if there is no such chunk. */
  readonly fullBytes: number;
  readonly lastBytes: number;
  /** The fewest wanted copies of all steps of the upload. Every chunk has at least as many. */
  readonly copiesWanted: number;
}

/**
 * The sums of all unfinished uploads of one session. A session without uploads has no record.
 *
 * Invariant: at most STAGED_UPLOADS_MAX uploads and STAGED_CHUNKS_MAX chunks.
 */
export interface StagedTotalsRecord {
  readonly uploadCount: number;
  readonly chunkCount: number;
}

/** Counters and floors of the whole state. They change with nearly every entry. */
export interface TotalsRecord {
  readonly nextInode: InodeId;
  readonly nextContent: ContentId;
  /** The leader's time, monotone: the largest `nowMs` of all commands. */
  readonly clockMs: number;
  /** Time of the last row of the time table. */
  readonly timedMs: number;
  /** Lowest readable index. Never decreases. */
  readonly historyFloor: LogIndex;
  /** Commits under older intents are refused. Never decreases. */
  readonly intentFloor: LogIndex;
  readonly fileCount: number;
  readonly directoryCount: number;
  readonly chunkCount: number;
  readonly logicalBytes: number;
  readonly purgesPending: number;
  /**
   * Rows of the reclaim queue: superseded records, replaced contents and removed inodes that the
   * history keeps. A removed tree is one row until it is reclaimed.
   */
  readonly historyVersions: number;
  /** The feed has every event from this index on. Never decreases. */
  readonly feedFloor: LogIndex;
  /** Approximate size of the feed on disk. */
  readonly feedBytes: number;
  /** Sum of the sizes of all unfinished uploads, without replication. */
  readonly stagedBytes: number;
}

/** The rules of the enrolment of chunkservers, and the keys of intents and receipts: docs/decisions/0019. */
export interface EnrolmentRecord {
  /** Whether a chunkserver enrols without a token. */
  readonly isOpen: boolean;
  /** The secret from which the credential of each chunkserver is derived, 32 bytes. */
  readonly enrolmentKey: Uint8Array;
  /**
   * Differs after a restore from a backup, and not after a rotation of the chunk key: the chunkservers
   * confirm all their chunks again when it changes. 32 bytes.
   */
  readonly restoreId: Uint8Array;
  /**
   * The accepted versions of the chunk key, oldest first.
   *
   * Invariant: 1 to CHUNK_KEYS_MAX, with ascending versions and indexes.
   */
  readonly keys: ChunkKeys;
  /** Invariant: at most JOIN_TOKENS_MAX. */
  readonly tokens: readonly JoinToken[];
}

/** A join token, of which the state has only the hash. */
export interface JoinToken {
  readonly hash: Uint8Array;
  /** In cluster time. */
  readonly expiresMs: number;
}

/** The position in the log of the state in a store, and the hash of this state. */
export interface AppliedRecord {
  readonly formatVersion: number;
  readonly index: LogIndex;
  readonly term: number;
  /**
   * Hash of all rows except this row and the membership. Null if an older version wrote the store.
   */
  readonly stateHash: Uint8Array | null;
  /** Checksum of the fields above and the membership. Null if an older version wrote the store. */
  readonly checksum: Uint8Array | null;
}

/** A step of the time of the state, see `step-clock`. */
export interface ClockStep {
  /** Index of the entry that made the step. */
  readonly index: LogIndex;
  readonly fromMs: number;
  readonly toMs: number;
}
