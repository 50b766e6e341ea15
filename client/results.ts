import type { Writable } from "node:stream";
import type { Attributes, FileAttributes } from "../shared/protocol/attributes.ts";
import type { BackupHead } from "../shared/protocol/backup-api.ts";
import type { FeedEvent } from "../shared/protocol/feed-api.ts";
import type { CallOptions, ListCursor, ReadFileOptions, WatchCursor } from "./options.ts";

export interface DirectoryEntry {
  /** As stored: bytes, which need not be UTF-8. */
  readonly name: Uint8Array;
  /** For people: one line, unambiguous (see `displayName`). */
  readonly displayName: string;
  readonly attributes: Attributes;
}

export interface ListPage {
  /** The index that the whole listing shows. */
  readonly index: number;
  readonly entries: readonly DirectoryEntry[];
  /** For the next page; null after the last. */
  readonly next: ListCursor | null;
}

export interface WalkEntry extends DirectoryEntry {
  /** Absolute, as bytes: what the other calls take. */
  readonly path: Uint8Array;
  /** 1 for an entry of the directory that was named. */
  readonly depth: number;
}

/** What a mutation that was committed answers. */
export interface Committed {
  /** The log index of the commit. */
  readonly index: number;
  /** The inode that was made or changed; null where there is none left. */
  readonly inode: number | null;
}

export interface PutResult extends Committed {
  readonly sizeBytes: number;
  /** 0 for a file that lives inline in the metadata. */
  readonly chunkCount: number;
  /** Bytes that went over the wire: fewer than the size where chunks were named again. */
  readonly sentBytes: number;
  /** See `contentRootOf`: equal files that were cut alike have equal roots. */
  readonly contentRoot: Uint8Array;
  /** Chunks that were sealed on fewer servers than wanted; the masters repair them. */
  readonly chunksUnderReplicated: number;
}

/** Verified bytes in a receive slab: nothing was copied. */
export interface Slab {
  /** Valid until `release`. Not to be written to. */
  readonly bytes: Uint8Array;
  readonly positionBytes: number;
  /** Gives the slab back. Must be called once; without it the read stalls. */
  release(): void;
}

export interface Checksum {
  /** BLAKE3-256 of the bytes, 64 hex digits: what `b3sum` prints. */
  readonly blake3: string;
  readonly sizeBytes: number;
  /** 64 hex digits. */
  readonly contentRoot: string;
  /** The version that was read. */
  readonly version: number;
}

/** What was found of one replica (`serverId` null: of the chunk by whoever served it). */
export interface ReplicaResult {
  readonly serverId: string | null;
  readonly address: string | null;
  readonly isGood: boolean;
  /** Why not. */
  readonly error: Error | null;
}

export type VerifyResult =
  | {
      readonly kind: "chunk";
      readonly path: Uint8Array;
      readonly position: number;
      readonly chunkId: string;
      readonly lengthBytes: number;
      /** All replicas with `allReplicas`; else one result for the chunk. */
      readonly replicas: readonly ReplicaResult[];
      readonly copiesWanted: number;
      /** Some replica is good: the bytes can be read. */
      readonly isReadable: boolean;
    }
  | {
      readonly kind: "file";
      readonly path: Uint8Array;
      readonly sizeBytes: number;
      readonly chunkCount: number;
      /** Every byte can be read and was proved. */
      readonly isReadable: boolean;
      /** Replicas that were tried and are bad, over all chunks. */
      readonly badReplicaCount: number;
      /** Why it could not be examined at all (it went away meanwhile), else null. */
      readonly error: Error | null;
    };

/** Something that happened in the namespace. `next` is where a watch goes on after it. */
export type WatchEvent = FeedEvent & { readonly next: WatchCursor };

/**
 * The events of a path, in the order of the log, each once (G15). Goes on over leader changes and
 * the deaths of masters. It is read by one consumer at a time; who comes later goes on at `cursor`.
 */
export interface Watch extends AsyncIterable<WatchEvent> {
  /** Every event before it was given: the `from` of a later watch. Null before one from "now" begins. */
  readonly cursor: WatchCursor | null;
}

/** An open file. It shows the version that it was opened at until it is closed (G7, G11). */
export interface FileHandle extends AsyncDisposable {
  readonly attributes: FileAttributes;
  /** Up to `lengthBytes` bytes at `position`, in an array that is the caller's; empty at the end. */
  read(
    range: { readonly position: number; readonly lengthBytes: number },
    options?: CallOptions,
  ): Promise<Uint8Array>;
  /** Fills `target` from `position`; resolves to the bytes read, fewer only at the end of the file. */
  readInto(target: Uint8Array, position: number, options?: CallOptions): Promise<number>;
  /** Arrays that are the consumer's to keep. */
  stream(options?: ReadFileOptions): AsyncIterable<Uint8Array>;
  /** As `stream`, in slabs that the consumer releases. */
  slabs(options?: ReadFileOptions): AsyncIterable<Slab>;
  /** Attributes of the version that is open. */
  stat(): FileAttributes;
  close(): Promise<void>;
}

/** A backup as it comes: the head first, then rows in the order of their keys, as `encodePairs` writes them. */
export type BackupPart =
  | { readonly kind: "head"; readonly head: BackupHead }
  /** The bytes are the consumer's to keep. */
  | { readonly kind: "rows"; readonly rowCount: number; readonly bytes: Uint8Array };

export interface WriteStream extends Writable {
  /** Null before "finish". */
  readonly result: PutResult | null;
}
