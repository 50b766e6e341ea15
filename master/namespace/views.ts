import type { ChunkId, LogIndex, ServerId, SessionId } from "../../shared/base/ids.ts";
import type { EntryName } from "../../shared/base/path.ts";
import type { Attributes } from "../../shared/protocol/attributes.ts";
import type { PathVersion } from "../../shared/protocol/history-api.ts";

/** What queries answer. All of it is a copy: the caller may keep it. */

/** One page of a listing, in byte order of the names. */
export interface ListingPage {
  readonly entries: readonly { readonly name: EntryName; readonly attributes: Attributes }[];
  readonly isLast: boolean;
}

/** A part of a file's content, and where its bytes are. */
export interface ContentPart {
  readonly attributes: Attributes;
  /** The whole content of an inline file, else null. */
  readonly inlineBytes: Uint8Array | null;
  /** From the first wanted position on. Empty for an inline file. */
  readonly chunks: readonly {
    readonly id: ChunkId;
    readonly lengthBytes: number;
    readonly replicas: readonly ServerId[];
  }[];
}

/** What the state knows of one chunk. */
export interface ChunkView {
  readonly lengthBytes: number;
  /** Positions of contents that hold the chunk, old versions and removed files included. */
  readonly referenceCount: number;
  /** The largest number of copies among the files that took a reference. */
  readonly copiesWanted: number;
  /** Sorted by server. */
  readonly replicas: readonly { readonly serverId: ServerId; readonly intentIndex: LogIndex }[];
}

export interface SessionView {
  readonly sessionId: SessionId;
  readonly clientName: string;
  readonly openedMs: number;
  /** The leader's time of its last mutation or `keep-session`. */
  readonly activeMs: number;
}

export interface PurgeView {
  readonly chunkId: ChunkId;
  readonly purgeIndex: LogIndex;
}

export interface Counters {
  readonly fileCount: number;
  readonly directoryCount: number;
  readonly chunkCount: number;
  /** Bytes of the files as their owners see them; those below a removed tree count until reclaimed. */
  readonly logicalBytes: number;
  readonly purgesPending: number;
  /** Superseded records, replaced contents and removed inodes that the history keeps. */
  readonly historyVersions: number;
}

export interface PathHistoryPage {
  /** Oldest first. */
  readonly versions: readonly PathVersion[];
  /** Where the next page begins; null after the last. */
  readonly next: LogIndex | null;
}
