import type { Readable } from "node:stream";
import type { ReadableStream, WritableStream } from "node:stream/web";
import type { PathInput } from "../shared/base/path.ts";
import type { Attributes } from "../shared/protocol/attributes.ts";
import type { ClusterStatus } from "../shared/protocol/fleet-api.ts";
import type { Operation, Precondition, StorageClass } from "../shared/protocol/namespace-api.ts";
import type { Enrolment } from "./masters/enrolment.ts";
import type { Masters } from "./masters/membership.ts";
import type { AsOfState } from "./names/as-of.ts";
import type { RestoreResult } from "./names/restore.ts";
import type { Transaction, TransactionResult } from "./names/transaction.ts";
import type {
  AsOf,
  AttributeChanges,
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
  RemoveServerOptions,
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
  PathVersion,
  PutResult,
  Slab,
  VerifyResult,
  WalkEntry,
  Watch,
  WriteStream,
} from "./results.ts";

/**
 * A connection to a cluster and its file system. Returned by `connect`; disposing it closes the
 * session with the masters and all connections.
 *
 * Calls may run at the same time. All errors are `AshlarError`s with a stable code
 * (docs/errors.md), except errors of the caller's own source or callback, which are rethrown
 * unchanged. Every call may fail with CANCELLED, DEADLINE_EXCEEDED, NO_LEADER or UNAVAILABLE.
 *
 * The promise of a mutation resolves after the commit: the change is durable on a majority of the
 * masters, and file data also on the chunkservers that the commit names. After COMMIT_UNKNOWN,
 * DEADLINE_EXCEEDED or CANCELLED the mutation may or may not have been committed. After any other
 * error it was not committed.
 */
export interface FileSystem extends AsyncDisposable {
  // Reading names and attributes.

  /**
   * Highest log index of all responses so far. Reads in mode `session` show at least this index.
   */
  readonly lastIndex: number;
  /**
   * Resolves with the attributes of a file or directory.
   *
   * @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY; INDEX_EXPIRED with `at`.
   */
  stat(path: PathInput, options?: ReadOptions): Promise<Attributes>;
  /** Resolves with whether a file or directory exists. @throws {AshlarError} INDEX_EXPIRED with `at`. */
  exists(path: PathInput, options?: ReadOptions): Promise<boolean>;
  /**
   * Yields the entries of a directory, sorted by the bytes of their names. All entries show the
   * same log index, also over several pages (G12).
   *
   * @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY; INDEX_EXPIRED with `at`.
   */
  list(path: PathInput, options?: ListOptions): AsyncIterable<DirectoryEntry>;
  /** Resolves with one page of a listing. Pass its `next` as `cursor` for the following page. */
  listPage(path: PathInput, options?: ListPageOptions): Promise<ListPage>;
  /**
   * Yields every file and directory below a directory, without the directory itself. A directory
   * precedes its entries, and entries are sorted by name. The entries of one directory show one log
   * index; with `at`, all directories show the same index. Yields nothing for a file.
   */
  walk(path: PathInput, options?: WalkOptions): AsyncIterable<WalkEntry>;
  /**
   * Resolves an index or a time to a log index. Resolve a time once to read one state in several
   * calls.
   *
   * @throws {AshlarError} INDEX_EXPIRED (details.oldestIndex, details.oldestTimeMs) if the history
   *   no longer contains the state; INVALID_ARGUMENT for an index beyond the log.
   */
  asOf(at: AsOf, options?: CallOptions): Promise<AsOfState>;
  /** Yields the changes at a path that the history contains, oldest first. */
  history(path: PathInput, options?: CallOptions): AsyncIterable<PathVersion>;
  /**
   * Returns the events of `path` and everything below it, from `from` on, without end. The path
   * need not exist. A rename or removal of a directory above the path is an event, too.
   *
   * The errors are thrown to the consumer of the events.
   *
   * @throws {AshlarError} INDEX_EXPIRED (details.oldestIndex) if events from `from` on are no
   *   longer kept; INVALID_ARGUMENT for a position beyond the log; CANCELLED after `signal` is
   *   aborted or this file system is closed; the last error of the masters if no master answered
   *   for `timeoutMs`.
   */
  watch(path: PathInput, options?: WatchOptions): Watch;

  // Changing the tree.

  /** Creates a directory. @throws {AshlarError} ALREADY_EXISTS, NOT_FOUND, NOT_A_DIRECTORY */
  mkdir(path: PathInput, options?: MakeDirectoryOptions): Promise<Committed>;
  /** Creates an empty file. @throws {AshlarError} ALREADY_EXISTS, NOT_FOUND, NOT_A_DIRECTORY */
  create(path: PathInput, options?: CreateOptions): Promise<Committed>;
  /**
   * Renames a file or directory, as rename(2). With `replace` it replaces an existing file by a file,
   * and an empty directory by a directory.
   *
   * @throws {AshlarError} NOT_FOUND, NOT_EMPTY, IS_A_DIRECTORY, NOT_A_DIRECTORY; ALREADY_EXISTS
   *   without `replace`; INVALID_ARGUMENT if a directory would move below itself.
   */
  rename(from: PathInput, to: PathInput, options?: RenameOptions): Promise<Committed>;
  /** Copies a file by reference: no data is moved, both files share their chunks. */
  copy(from: PathInput, to: PathInput, options?: CopyOptions): Promise<Committed>;
  /** Removes a file. @throws {AshlarError} NOT_FOUND, IS_A_DIRECTORY */
  unlink(path: PathInput, options?: CallOptions): Promise<Committed>;
  /** Removes an empty directory. @throws {AshlarError} NOT_FOUND, NOT_A_DIRECTORY, NOT_EMPTY */
  rmdir(path: PathInput, options?: CallOptions): Promise<Committed>;
  /** Removes a file, or a directory with all its content, in one step. */
  removeTree(path: PathInput, options?: CallOptions): Promise<Committed>;
  /** Changes mode, owner and times of a file or directory. */
  setAttributes(
    path: PathInput,
    changes: AttributeChanges,
    options?: CallOptions,
  ): Promise<Committed>;
  /** Sets the storage class of a file, or the class that new files in a directory get. */
  setStorageClass(path: PathInput, storageClass: string, options?: CallOptions): Promise<Committed>;
  /** Creates a storage class, or changes the class of this name. */
  defineStorageClass(storageClass: StorageClass, options?: CallOptions): Promise<void>;
  /** Resolves with all storage classes. */
  listStorageClasses(options?: CallOptions): Promise<readonly StorageClass[]>;
  /**
   * Commits all `operations`, or none of them, if all `preconditions` hold at the commit.
   * `targetOf` converts paths to the targets of operations. At most 10,000 operations and 10,000
   * preconditions.
   *
   * @throws {AshlarError} the error of the first refused operation or precondition; `refusalOf`
   *   returns which one was refused and why. TOO_LARGE; INVALID_ARGUMENT without operations.
   */
  transact(
    operations: readonly Operation[],
    preconditions?: readonly Precondition[],
    options?: CallOptions,
  ): Promise<TransactionResult>;
  /** Returns an empty transaction: a builder for `transact`. */
  transaction(): Transaction;
  /**
   * Restores a file or a directory tree of a past state, by reference. The restored tree becomes
   * visible in one step.
   *
   * @throws {AshlarError} NOT_FOUND if the path did not exist in the past state; ALREADY_EXISTS if
   *   the target exists and `replace` is not true; INDEX_EXPIRED.
   */
  restore(path: PathInput, options: RestoreOptions): Promise<RestoreResult>;

  // Reading file data. Every block is verified against the chunk ids that the masters committed
  // before the caller receives it.

  /**
   * Resolves with the bytes of a file or range, all of one version.
   *
   * @throws {AshlarError} NOT_FOUND, IS_A_DIRECTORY; NO_GOOD_REPLICA if no replica of a chunk could
   *   be read and verified (details.replicas has the error of each replica).
   */
  readFile(path: PathInput, options?: ReadFileOptions): Promise<Uint8Array>;
  /**
   * Resolves with the text of a file or range in UTF-8, as `readFile` reads it. Bytes that are not
   * UTF-8 become U+FFFD.
   */
  readText(path: PathInput, options?: ReadFileOptions): Promise<string>;
  /** Yields the bytes of a file or range in order, in new arrays of at most 2 MiB (one copy). */
  read(path: PathInput, options?: ReadFileOptions): AsyncIterable<Uint8Array>;
  /** Same as `read`, but without a copy of the bytes. The consumer must release each slab. */
  readSlabs(path: PathInput, options?: ReadFileOptions): AsyncIterable<Slab>;
  /** Same as `read`, but returns a Node stream of bytes. */
  createReadStream(path: PathInput, options?: ReadFileOptions): Readable;
  /** Same as `read`, but returns a web stream. */
  readableStream(path: PathInput, options?: ReadFileOptions): ReadableStream<Uint8Array>;
  /** Opens the current version of a file, or the version at `at`, for reads at any position. */
  open(path: PathInput, mode?: "read", options?: ReadOptions): Promise<FileHandle>;

  // Writing file data. A new version becomes visible as a whole when the promise resolves (G7).

  /**
   * Writes a whole file: reads `source` to its end, then publishes the new version in one step. An
   * existing file is replaced only with `replace: true`.
   *
   * @throws {AshlarError} NOT_FOUND or NOT_A_DIRECTORY (parent), IS_A_DIRECTORY; ALREADY_EXISTS
   *   without `replace`; WRITE_CHAIN_FAILED, TOO_FEW_CHUNKSERVERS, TOO_LARGE. An error of
   *   `source` is rethrown. Nothing is visible after an error, except after COMMIT_UNKNOWN,
   *   DEADLINE_EXCEEDED and CANCELLED, where the file may have been published.
   */
  writeFile(path: PathInput, source: PutSource, options?: PutOptions): Promise<PutResult>;
  /**
   * Returns a Node stream that writes a file. The file is committed before "finish". A stream
   * that is destroyed before "finish" publishes nothing.
   */
  createWriteStream(path: PathInput, options?: PutOptions): WriteStream;
  /** Returns a web stream that writes a file: `close` commits the file, `abort` discards it. */
  writableStream(path: PathInput, options?: PutOptions): WritableStream<Uint8Array>;

  // The cluster, and verification.

  /** Resolves with the state of masters, chunkservers, repair and history. */
  status(options?: CallOptions): Promise<ClusterStatus>;
  /**
   * Forgets all states before the call, so that the space of removed and replaced files is freed
   * before the retention of the history has passed. Removed files can then no longer be restored.
   * Resolves with the oldest index that can be read. Chunkservers delete the chunks afterwards.
   */
  trimHistory(options?: CallOptions): Promise<{ readonly oldestIndex: number }>;
  /**
   * Removes a chunkserver from the cluster for ever, for instance after its disk was replaced. Its id
   * cannot register again. Removing a removed server is not an error.
   *
   * @param serverId 32 hex digits, as in `status`
   * @throws {AshlarError} NOT_FOUND; PRECONDITION_FAILED for a live server, and if its chunks lack
   *   copies on other live servers (`details.missingCount`); VERSION_MISMATCH until the cluster has
   *   feature level 10
   */
  removeServer(serverId: string, options?: RemoveServerOptions): Promise<void>;
  /**
   * Changes the time for which the history is kept, in milliseconds, at most 366 days. A shorter one
   * makes older states unreadable soon; a longer one brings none back.
   *
   * @throws {AshlarError} INVALID_ARGUMENT; VERSION_MISMATCH until every master supports it (feature
   *   level 4)
   */
  setHistoryRetention(retentionMs: number, options?: CallOptions): Promise<void>;
  /**
   * Yields the whole state of the masters at one log index: all names, all chunk records, and
   * the bytes of inline files. The index includes all changes acknowledged before the call.
   */
  backup(options?: CallOptions): AsyncIterable<BackupPart>;
  /** Status and membership of the masters. */
  readonly masters: Masters;
  /** The enrolment of chunkservers. */
  readonly enrolment: Enrolment;
  /**
   * Reads and verifies a file, or every file below a directory. Yields one result per chunk, then
   * one result for the file.
   */
  verify(path: PathInput, options?: VerifyOptions): AsyncIterable<VerifyResult>;
  /**
   * Resolves with the BLAKE3 hash of the bytes of a file or range, computed from verified reads.
   */
  checksum(path: PathInput, options?: ReadFileOptions): Promise<Checksum>;
}
