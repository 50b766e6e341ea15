import type { Readable, Writable } from "node:stream";
import type { ReadableStream, WritableStream } from "node:stream/web";
import type { PathInput } from "../shared/base/path.ts";
import type { BackupHead } from "../shared/protocol/backup-api.ts";
import type { FeedEvent } from "../shared/protocol/feed-api.ts";
import type { ClusterStatus } from "../shared/protocol/fleet-api.ts";
import type {
  Attributes,
  FileAttributes,
  Operation,
  Precondition,
  StorageClass,
} from "../shared/protocol/namespace-api.ts";
import type { AsOfState } from "./names/as-of.ts";
import type { Masters } from "./masters/membership.ts";
import type {
  AsOf,
  AttributeChanges,
  ByteRange,
  CallOptions,
  CopyOptions,
  CreateOptions,
  ListCursor,
  ListOptions,
  ListPageOptions,
  LookOptions,
  MakeDirectoryOptions,
  PutOptions,
  ReadOptions,
  RenameOptions,
  RestoreOptions,
  VerifyOptions,
  WalkOptions,
  WatchCursor,
  WatchOptions,
} from "./options.ts";
import type { PathVersion } from "./names/path-history.ts";
import type { RestoreResult } from "./names/restore.ts";
import type { Transaction, TransactionResult } from "./names/transaction.ts";

/**
 * Bytes that are asked for, into an array of the library's: the cheapest source, because the bytes
 * are not copied again on their way to the wire.
 */
export interface FillSource {
  /** Puts at least 1 byte at the start of `target`, or returns 0 at the end. One call at a time. */
  fill(target: Uint8Array): Promise<number>;
}

/** Where a file's bytes may come from. Text is written as UTF-8. It is read once, to its end. */
export type PutSource =
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | Readable
  | ReadableStream<Uint8Array>
  | FillSource
  | Uint8Array
  | string
  | Blob;

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
  stream(options?: ReadOptions): AsyncIterable<Uint8Array>;
  /** As `stream`, in slabs that the consumer releases. */
  slabs(options?: ReadOptions): AsyncIterable<Slab>;
  /** Attributes of the version that is open. */
  stat(): FileAttributes;
  close(): Promise<void>;
}

/**
 * A cluster, as its users see it. Made by `connect`; disposing it closes its session and its
 * connections. Calls may run at the same time. Every error is an `AshlarError` with a stable code;
 * NOT_FOUND, CANCELLED, DEADLINE_EXCEEDED, NO_LEADER and the rest stand in docs/errors.md.
 *
 * A promise of a mutation resolves once it is committed: durable on a majority of the masters, and
 * for `put` on the chunkservers too. COMMIT_UNKNOWN: it may or may not have been.
 */
export interface FileSystem extends AsyncDisposable {
  // Looking.
  /** The highest log index that an answer has shown: what session reads of this connection show. */
  readonly lastIndex: number;
  stat(path: PathInput, options?: LookOptions): Promise<Attributes>;
  /** The entries of one directory, sorted by the bytes of the name, all of one index (G12). */
  list(path: PathInput, options?: ListOptions): AsyncIterable<DirectoryEntry>;
  listPage(path: PathInput, options?: ListPageOptions): Promise<ListPage>;
  /**
   * What is below a directory, itself not included: a directory before its entries, entries sorted
   * by name. Each directory is of one index; with `at` all of them are of the same. Nothing for a file.
   */
  walk(path: PathInput, options?: WalkOptions): AsyncIterable<WalkEntry>;
  /** The state that an index or a time names: resolve a time once, to read all of one state. */
  asOf(at: AsOf, options?: CallOptions): Promise<AsOfState>;
  /** What happened at a path, oldest first, as far as the history reaches back. */
  history(path: PathInput, options?: CallOptions): AsyncIterable<PathVersion>;

  /**
   * What happens to `path` and below it, from `from` on, without an end. The path need not be there.
   * A directory above it that is renamed or removed is told, too.
   *
   * @throws {AshlarError} while it is read: INDEX_EXPIRED (details.oldestIndex) if events from there
   *   on are gone; INVALID_ARGUMENT for a place that the log has not reached; CANCELLED; what the
   *   masters failed with, if none answered for `timeoutMs`.
   */
  watch(path: PathInput, options?: WatchOptions): Watch;

  // The tree.
  mkdir(path: PathInput, options?: MakeDirectoryOptions): Promise<Committed>;
  /** An empty file. ALREADY_EXISTS if the name is taken. */
  create(path: PathInput, options?: CreateOptions): Promise<Committed>;
  rename(from: PathInput, to: PathInput, options?: RenameOptions): Promise<Committed>;
  /** A file by reference: no data moves, whatever its size. */
  copy(from: PathInput, to: PathInput, options?: CopyOptions): Promise<Committed>;
  unlink(path: PathInput, options?: CallOptions): Promise<Committed>;
  rmdir(path: PathInput, options?: CallOptions): Promise<Committed>;
  /** rm -r as one step. */
  removeTree(path: PathInput, options?: CallOptions): Promise<Committed>;
  setAttributes(
    path: PathInput,
    changes: AttributeChanges,
    options?: CallOptions,
  ): Promise<Committed>;
  setStorageClass(path: PathInput, storageClass: string, options?: CallOptions): Promise<Committed>;
  defineStorageClass(storageClass: StorageClass, options?: CallOptions): Promise<void>;
  listStorageClasses(options?: CallOptions): Promise<readonly StorageClass[]>;
  /**
   * All of `operations`, or none, if all of `preconditions` hold at the commit. `targetOf` makes
   * their targets from paths. Up to 10,000 operations and as many preconditions; `refusalOf` says of
   * the error which of them was refused and why.
   */
  transact(
    operations: readonly Operation[],
    preconditions?: readonly Precondition[],
    options?: CallOptions,
  ): Promise<TransactionResult>;
  /** The same, put together step by step. */
  transaction(): Transaction;
  /**
   * Brings back what stood at a path, by reference: a file, or a tree with all that was in it. It
   * becomes visible as a whole. ALREADY_EXISTS where something stands and `replace` is not true.
   */
  restore(path: PathInput, options: RestoreOptions): Promise<RestoreResult>;

  // Bytes out. Every block is proved against what the masters committed before the caller sees it.
  readFile(path: PathInput, options?: ReadOptions): Promise<Uint8Array>;
  /** Arrays that are the consumer's to keep (each is a copy of up to 1 MiB). */
  read(path: PathInput, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /** As `read` without the copy: the consumer releases each slab. */
  readSlabs(path: PathInput, options?: ReadOptions): AsyncIterable<Slab>;
  createReadStream(path: PathInput, options?: ReadOptions): Readable;
  readableStream(path: PathInput, options?: ReadOptions): ReadableStream<Uint8Array>;
  open(path: PathInput, mode?: "read", options?: LookOptions): Promise<FileHandle>;

  // Bytes in. The new version becomes visible as a whole once the promise resolves (G7).
  writeFile(path: PathInput, source: PutSource, options?: PutOptions): Promise<PutResult>;
  /** Publishes at its end ("finish" comes after the commit); destroyed before, it leaves nothing. */
  createWriteStream(path: PathInput, options?: PutOptions): WriteStream;
  writableStream(path: PathInput, options?: PutOptions): WritableStream<Uint8Array>;

  // The cluster, and proof.
  status(options?: CallOptions): Promise<ClusterStatus>;
  /**
   * The whole state of the masters at one index: every name and what is known of every chunk, no
   * file data but that of tiny files. Shows all that was acknowledged before the call.
   */
  backup(options?: CallOptions): AsyncIterable<BackupPart>;
  /** The masters of the cluster: who they are, adding and removing them, who leads. */
  readonly masters: Masters;
  /** Reads and proves a file, or every file below a directory. Chunks first, then their file. */
  verify(path: PathInput, options?: VerifyOptions): AsyncIterable<VerifyResult>;
  checksum(path: PathInput, options?: ReadOptions & ByteRange): Promise<Checksum>;
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
