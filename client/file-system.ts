import type { Readable } from "node:stream";
import type { ReadableStream, WritableStream } from "node:stream/web";
import type { PathInput } from "../shared/base/path.ts";
import type { Attributes } from "../shared/protocol/attributes.ts";
import type { ClusterStatus } from "../shared/protocol/fleet-api.ts";
import type { PathVersion } from "../shared/protocol/history-api.ts";
import type { Operation, Precondition, StorageClass } from "../shared/protocol/namespace-api.ts";
import type { Masters } from "./masters/membership.ts";
import type { AsOfState } from "./names/as-of.ts";
import type { RestoreResult } from "./names/restore.ts";
import type { Transaction, TransactionResult } from "./names/transaction.ts";
import type {
  AsOf,
  AttributeChanges,
  ByteRange,
  CallOptions,
  CopyOptions,
  CreateOptions,
  ListOptions,
  ListPageOptions,
  MakeDirectoryOptions,
  PutOptions,
  PutSource,
  ReadFileOptions,
  ReadOptions,
  RenameOptions,
  RestoreOptions,
  VerifyOptions,
  WalkOptions,
  WatchOptions,
} from "./options.ts";
import type {
  BackupPart,
  Checksum,
  Committed,
  DirectoryEntry,
  FileHandle,
  ListPage,
  PutResult,
  Slab,
  VerifyResult,
  WalkEntry,
  Watch,
  WriteStream,
} from "./results.ts";

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
  stat(path: PathInput, options?: ReadOptions): Promise<Attributes>;
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
  readFile(path: PathInput, options?: ReadFileOptions): Promise<Uint8Array>;
  /** Arrays that are the consumer's to keep (each is a copy of up to 1 MiB). */
  read(path: PathInput, options?: ReadFileOptions): AsyncIterable<Uint8Array>;
  /** As `read` without the copy: the consumer releases each slab. */
  readSlabs(path: PathInput, options?: ReadFileOptions): AsyncIterable<Slab>;
  createReadStream(path: PathInput, options?: ReadFileOptions): Readable;
  readableStream(path: PathInput, options?: ReadFileOptions): ReadableStream<Uint8Array>;
  open(path: PathInput, mode?: "read", options?: ReadOptions): Promise<FileHandle>;

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
  checksum(path: PathInput, options?: ReadFileOptions & ByteRange): Promise<Checksum>;
}
