import type { ChunkId, InodeId, LogIndex, ServerId } from "../../shared/base/ids.ts";
import type { ByteText, ContentId } from "./keys.ts";

/** What the tables hold. A record is never changed: a change is a new record under the same key. */

export interface InodeCommon {
  readonly id: InodeId;
  /** The directory that holds it; null for the root and for what was detached from the tree. */
  readonly parent: InodeId | null;
  /** Its name there; the last one of what was detached. */
  readonly name: ByteText;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeMs: number;
  readonly ctimeMs: number;
  /** Index of the entry that wrote this record: it is absent from states before that. */
  readonly version: LogIndex;
  readonly storageClass: string;
}

export interface FileInode extends InodeCommon {
  readonly kind: "file";
  readonly mtimeMs: number;
  /** From the storage class when it was set. */
  readonly copiesWanted: number;
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly contentRoot: Uint8Array;
  readonly content: FileContent;
}

/** Every file's record is made here: one shape for the engine, which makes what reads it fast. */
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

export interface DirectoryInode extends InodeCommon {
  readonly kind: "directory";
}

export type InodeRecord = FileInode | DirectoryInode;

export type FileContent =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "chunks"; readonly contentId: ContentId; readonly chunkCount: number };

/**
 * What changes in a directory with every entry that comes or goes.
 *
 * It has no history, so that 10,000 creates in a directory do not leave 10,000 old versions of its
 * inode: a read of the past shows the present values (docs/client.md, "The past").
 */
export interface DirectoryRecord {
  readonly entryCount: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** Index of the entry that wrote this record. */
  readonly version: LogIndex;
}

export interface EntryRecord {
  readonly inode: InodeId;
  /** Index of the entry that wrote this record: it is absent from states before that. */
  readonly version: LogIndex;
  /** As d_type of readdir(3): what an inode is never changes. */
  readonly isDirectory: boolean;
}

/**
 * The chunks of a file, under positions. Changed in place only while it has one reference; who
 * shares it and changes it makes a content of its own first.
 */
export interface ContentRecord {
  /** Inodes that hold it, and waiting reclaims of inodes that held it. At 0 it is being removed. */
  readonly referenceCount: number;
}

export interface PositionRecord {
  readonly chunkId: ChunkId;
  readonly lengthBytes: number;
  /** Index of the entry that wrote this record: it is absent from states before that. */
  readonly version: LogIndex;
}

/** What the master knows of one chunk. */
export interface ChunkRecord {
  readonly lengthBytes: number;
  /**
   * Positions, present and in the history, that name the chunk. The entry that takes the last one
   * away removes the chunk, so that a chunk that is known is referenced.
   */
  readonly referenceCount: number;
  /** The largest number of copies among the files that took a reference. Never goes down. */
  readonly copiesWanted: number;
  /** Servers that have proved, by a receipt, that they hold the chunk. Sorted by server. */
  readonly replicas: readonly ReplicaRecord[];
}

export interface ReplicaRecord {
  readonly serverId: ServerId;
  /** The newest intent under which the server is known to have sealed the chunk. */
  readonly intentIndex: LogIndex;
}

export interface SessionRecord {
  readonly clientName: string;
  readonly openedMs: number;
  readonly activeMs: number;
  /** The highest sequence that was applied; 0 before the first. */
  readonly highestSequence: number;
  /**
   * Outcomes below are gone. Invariant: `highestSequence - floorSequence` is less than
   * OUTCOMES_MAX, so a session holds at most so many outcomes.
   */
  readonly floorSequence: number;
}

/** Facts that change with nearly every entry. */
export interface TotalsRecord {
  readonly nextInode: InodeId;
  readonly nextContent: ContentId;
  /** The leader's time, monotone: the largest `nowMs` of any command. */
  readonly clockMs: number;
  /** When the last row of the time table was written. */
  readonly timedMs: number;
  /** States before this index cannot be read any more. Never goes down. */
  readonly historyFloor: LogIndex;
  /** Commits under older intents are refused. Never goes down. */
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
  /** All events from this index on are in the feed. Never goes down. */
  readonly feedFloor: LogIndex;
  /** What the feed takes on disk, about. */
  readonly feedBytes: number;
}

/** The index and term that a store stands for, and the hash of the state there. */
export interface AppliedRecord {
  readonly formatVersion: number;
  readonly index: LogIndex;
  readonly term: number;
  /** Of all rows but this one and the membership; null in a store of a version that kept none. */
  readonly stateHash: Uint8Array | null;
  /** Over the fields above and the membership; null in a store of a version that kept none. */
  readonly checksum: Uint8Array | null;
}
