import type { Writable } from "node:stream";
import type { Attributes, FileAttributes } from "../shared/protocol/attributes.ts";
import type { BackupHead } from "../shared/protocol/backup-api.ts";
import type { FeedEvent } from "../shared/protocol/feed-api.ts";
import type { PathVersion as HistoryVersion } from "../shared/protocol/history-api.ts";
import type { CallOptions, ListCursor, ReadFileOptions, WatchCursor } from "./options.ts";

/** An entry of a directory. */
export interface DirectoryEntry {
  /** Name as stored: bytes, not necessarily UTF-8. */
  readonly name: Uint8Array;
  /** Name for display: one line, unambiguous (see `displayName`). */
  readonly displayName: string;
  readonly attributes: Attributes;
}

/** One page of a directory listing. */
export interface ListPage {
  /** Log index that all pages of the listing show. */
  readonly index: number;
  readonly entries: readonly DirectoryEntry[];
  /** Cursor of the next page. Null on the last page. */
  readonly next: ListCursor | null;
}

/** A file or directory that `walk` visits. */
export interface WalkEntry extends DirectoryEntry {
  /** Absolute path as text, a valid argument of the other calls (see `PathInput`). */
  readonly path: string;
  /** The same path as bytes. */
  readonly pathBytes: Uint8Array;
  /** Level below the walked directory. 1 for its own entries. */
  readonly depth: number;
}

/** Result of a committed mutation. */
export interface Committed {
  /** Log index of the commit. */
  readonly index: number;
  /** Inode that was created or changed. Null if the inode was removed. */
  readonly inode: number | null;
}

/** Result of a committed file write. */
export interface PutResult extends Committed {
  /** Size of the file. */
  readonly sizeBytes: number;
  /** Number of chunks. 0 for a small file whose content is stored inline in the metadata. */
  readonly chunkCount: number;
  /** Bytes sent over the wire. Fewer than `sizeBytes` if chunks of zeros were sent only once. */
  readonly sentBytes: number;
  /**
   * Hash of the content (see `contentRootOf`). Equal files with equal chunk sizes have equal roots.
   */
  readonly contentRoot: Uint8Array;
  /** Chunks with fewer replicas than the storage class wants. The masters repair them. */
  readonly chunksUnderReplicated: number;
}

/** Verified bytes in a receive buffer of the library, without a copy. */
export interface Slab {
  /** Valid until `release`. Must not be written to. */
  readonly bytes: Uint8Array;
  /** Position of the first byte in the file. */
  readonly positionBytes: number;
  /** Returns the buffer to the library. Must be called exactly once; otherwise the read stalls. */
  release(): void;
}

/** Result of `FileSystem.checksum`. */
export interface Checksum {
  /** BLAKE3-256 of the bytes as `b3sum` prints it: 64 hex digits. */
  readonly blake3: string;
  /** Number of bytes that were hashed. */
  readonly sizeBytes: number;
  /** Content root of the file: 64 hex digits. */
  readonly contentRoot: string;
  /** Version of the file that was read. */
  readonly version: number;
}

/** Verification result of one replica, or of the chunk if `serverId` is null. */
export interface ReplicaResult {
  /** Null if any replica may have answered (`allReplicas` is false). */
  readonly serverId: string | null;
  /** Address of the server. Null if `serverId` is null. */
  readonly address: string | null;
  /** Whether all bytes were read and match their hashes. */
  readonly isGood: boolean;
  /** Why the replica is not good. Null if it is. */
  readonly error: Error | null;
}

/** Verification result of a chunk, or of a file after all its chunks. */
export type VerifyResult =
  | {
      readonly kind: "chunk";
      /** Path of the file as text and as bytes, as in `WalkEntry`. */
      readonly path: string;
      readonly pathBytes: Uint8Array;
      /** Position of the chunk in the file, from 0. */
      readonly position: number;
      /** 64 hex digits. */
      readonly chunkId: string;
      readonly lengthBytes: number;
      /** One result per replica with `allReplicas`, else one result for the chunk. */
      readonly replicas: readonly ReplicaResult[];
      /** Number of replicas that the storage class of the file wants. */
      readonly copiesWanted: number;
      /** Whether at least one replica is good. */
      readonly isReadable: boolean;
    }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly pathBytes: Uint8Array;
      readonly sizeBytes: number;
      readonly chunkCount: number;
      /** Whether all bytes were verified and the chunks match the content root of the file. */
      readonly isReadable: boolean;
      /** Verified replicas that are not good, over all chunks. */
      readonly badReplicaCount: number;
      /** Why the file could not be verified. Else null. */
      readonly error: Error | null;
      /**
       * Whether the file was removed, or replaced again and again, while it was verified. Then no
       * damage was found: `isReadable` is true, and `error` is null.
       */
      readonly wasRemoved: boolean;
    };

/** A change at a path, from `FileSystem.history`. */
export interface PathVersion extends Omit<HistoryVersion, "otherPath"> {
  /**
   * Path that the inode was moved from (`moved-here`, `replaced`) or to (`moved-away`), as text (see
   * `PathInput`). Null if the inode was not moved.
   */
  readonly otherPath: string | null;
  /** The same path as bytes. */
  readonly otherPathBytes: Uint8Array | null;
}

/** A path in an event. Null if it exceeds the longest path, and in an unfinished `restore`. */
interface EventPath {
  /** Absolute path as text, a valid argument of the calls (see `PathInput`). */
  readonly path: string | null;
  /** The same path as bytes. */
  readonly pathBytes: Uint8Array | null;
}

type WithTextPaths<Event extends FeedEvent> = Event extends { readonly kind: "renamed" }
  ? Omit<Event, "path" | "from"> &
      EventPath & { readonly from: Omit<Event["from"], "path"> & EventPath }
  : Omit<Event, "path"> & EventPath;

/** A change in the namespace. `next` is the cursor after the event. */
export type WatchEvent = WithTextPaths<FeedEvent> & { readonly next: WatchCursor };

/**
 * The events of a path, each delivered once, in log order (G15). A watch continues at another
 * master after the loss of a master or a change of the leader.
 *
 * A watch supports one consumer at a time. A new `for await` loop continues at `cursor`.
 */
export interface Watch extends AsyncIterable<WatchEvent> {
  /**
   * Position after the last delivered event: the `from` of a later watch. Null until a watch
   * without `from` has received its first message.
   */
  readonly cursor: WatchCursor | null;
}

/**
 * An open file. Reads show the version at the time of `open` until `close`, also after the file was
 * replaced, renamed or removed (G7, G11).
 */
export interface FileHandle extends AsyncDisposable {
  /** Attributes of the open version. */
  readonly attributes: FileAttributes;
  /**
   * Resolves with the verified bytes [position, position + lengthBytes), fewer at the end of the
   * file, in a new array. Empty beyond the end.
   */
  read(
    range: { readonly position: number; readonly lengthBytes: number },
    options?: CallOptions,
  ): Promise<Uint8Array>;
  /**
   * Fills `target` with the verified bytes from `position` on. Resolves with the number of bytes,
   * which is less than `target.length` only at the end of the file.
   */
  readInto(target: Uint8Array, position: number, options?: CallOptions): Promise<number>;
  /** Yields the verified bytes of the range in order, in new arrays. `at` is ignored. */
  stream(options?: ReadFileOptions): AsyncIterable<Uint8Array>;
  /** Same as `stream`, but without a copy of the bytes. The consumer must release each slab. */
  slabs(options?: ReadFileOptions): AsyncIterable<Slab>;
  /** Returns the attributes of the open version. */
  stat(): FileAttributes;
  /** Closes the handle. Pending reads fail with CANCELLED. */
  close(): Promise<void>;
}

/** A part of a backup: first the head, then rows sorted by key, encoded by `encodePairs`. */
export type BackupPart =
  | { readonly kind: "head"; readonly head: BackupHead }
  /** `bytes` is a new array. */
  | { readonly kind: "rows"; readonly rowCount: number; readonly bytes: Uint8Array };

/** A Node stream that writes a file. */
export interface WriteStream extends Writable {
  /** Result of the commit. Null before "finish". */
  readonly result: PutResult | null;
}
