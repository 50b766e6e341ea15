import type { ChunkId, LogIndex, ServerId, SessionId } from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { PathVersion } from "../../shared/protocol/history-api.ts";

// The results of queries. They are copies or immutable, so the caller may keep them.

/** One page of a listing, in byte order of the names. */
export interface ListingPage {
  readonly entries: readonly { readonly name: EntryName; readonly attributes: Attributes }[];
  readonly isLast: boolean;
  /** The name after which the next page starts. Null on the last page. */
  readonly after: EntryName | null;
}

/** A part of a file's content, with the servers of its chunks. */
export interface ContentPart {
  readonly attributes: Attributes;
  /** The whole content of an inline file. Null for a file in chunks. */
  readonly inlineBytes: Uint8Array | null;
  /** The chunks from the first requested position on. Empty for an inline file. */
  readonly chunks: readonly {
    readonly id: ChunkId;
    readonly lengthBytes: number;
    readonly replicas: readonly ServerId[];
  }[];
}

/** A chunk, as the state records it. */
export interface ChunkView {
  readonly lengthBytes: number;
  /** Positions that reference the chunk, including those of old versions and removed files. */
  readonly referenceCount: number;
  /** The largest wanted number of copies among all files that added a reference. */
  readonly copiesWanted: number;
  /** The copies, sorted by server. */
  readonly replicas: readonly { readonly serverId: ServerId; readonly intentIndex: LogIndex }[];
}

/** A client session. */
export interface SessionView {
  readonly sessionId: SessionId;
  readonly clientName: string;
  readonly openedMs: number;
  /** The leader's time of the last mutation or `keep-session` of this session. */
  readonly activeMs: number;
}

/**
 * A pending purge: the server must delete its copy if the copy's intent is older than the purge.
 */
export interface PurgeView {
  readonly chunkId: ChunkId;
  readonly purgeIndex: LogIndex;
}

/** Counters of the whole state. */
export interface Counters {
  readonly fileCount: number;
  readonly directoryCount: number;
  readonly chunkCount: number;
  /** Sum of the file sizes, without replication. Files of a removed tree count until reclaimed. */
  readonly logicalBytes: number;
  /** Sum of the sizes of all unfinished uploads, without replication. Not in `logicalBytes`. */
  readonly stagedBytes: number;
  readonly purgesPending: number;
  /** Superseded records, replaced contents and removed inodes that the history keeps. */
  readonly historyVersions: number;
}

/** One page of the history of a path. */
export interface PathHistoryPage {
  /** The versions, oldest first. */
  readonly versions: readonly PathVersion[];
  /** Index where the next page starts. Null after the last page. */
  readonly next: LogIndex | null;
}
