import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type { AshlarError } from "../shared/base/errors.ts";
import type { PathInput } from "../shared/base/path.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Log } from "../shared/ports/log.ts";
import type { Precondition } from "../shared/protocol/namespace-api.ts";

/** Default permission bits of a new file. */
export const FILE_MODE_DEFAULT = 0o644;

/** Options of every call. */
export interface CallOptions {
  /**
   * Aborting the signal makes the call fail with CANCELLED. A file write that was not committed
   * leaves nothing visible. A mutation may have been committed already.
   */
  readonly signal?: AbortSignal;
  /**
   * Timeout of the whole call in milliseconds, with all its retries. The call then fails with
   * DEADLINE_EXCEEDED. Default for calls to the masters: the `timeoutMs` of the connection.
   * Transfers of file data have no timeout by default; only a transfer without progress fails.
   */
  readonly timeoutMs?: number;
  /**
   * Consistency of a call that reads from the masters. Default: the `readMode` of the connection.
   * Mutations ignore it.
   */
  readonly readMode?: ReadModeName;
}

/**
 * Consistency of reads from the masters:
 *
 * - `linearizable`: the read shows every change acknowledged to any client before the call. The
 *   leader answers, or a follower that asks the leader for its commit index.
 * - `session`: the read shows every change that this connection has made or seen, and never an
 *   older state than an earlier read. Any master that has applied these changes answers.
 * - `stale`: the read shows some past state. Any master answers. The only mode that works without
 *   a majority of the masters.
 */
export type ReadModeName = "linearizable" | "session" | "stale";

/**
 * A past state of the namespace: a log index, a time in milliseconds since the Unix epoch by the
 * clock of the masters, or a duration before now in milliseconds. Times have a resolution of one
 * second. Calls fail with INDEX_EXPIRED for a state that the history no longer contains.
 */
export type AsOf = number | { readonly timeMs: number } | { readonly agoMs: number };

/** Options of every call that reads names, attributes or file content. */
export interface ReadOptions extends CallOptions {
  /** The state to read. Default: the current state. */
  readonly at?: AsOf;
}

/** Options of `FileSystem.removeServer`. */
export interface RemoveServerOptions extends CallOptions {
  /**
   * Removes a live server too, and accepts chunks that have only one copy elsewhere. Default: false.
   */
  readonly force?: boolean;
}

/** Options of `FileSystem.restore`. */
export interface RestoreOptions extends CallOptions {
  /** The state to restore from. */
  readonly at: AsOf;
  /** Path to restore to. Default: the path itself. */
  readonly to?: PathInput;
  /**
   * true: replaces an existing file or directory at the target; a directory is removed with all its
   * content. false: fails with ALREADY_EXISTS. Default: false.
   */
  readonly replace?: boolean;
}

/**
 * Options of `connect`. `signal`, `timeoutMs` and `readMode` are also the defaults of all calls.
 */
export interface ConnectOptions extends CallOptions {
  /**
   * Addresses ("host:port") of at least one master. The client fetches the addresses of the other
   * masters from the cluster. Either `masters` or `cluster` is required.
   */
  readonly masters?: readonly string[];
  /** Directory of a local cluster made by `ashlar cluster up`, or "host:port,host:port,…". */
  readonly cluster?: string;
  /**
   * Id of the cluster, 32 hex digits. Servers of another cluster are refused with WRONG_CLUSTER.
   * Default: the id of the cluster that answers.
   */
  readonly clusterId?: string;
  /**
   * Default timeout of one call to the masters in milliseconds, with all its retries.
   * Default: 30,000.
   */
  readonly timeoutMs?: number;
  /** Default consistency of reads. Default: linearizable. */
  readonly readMode?: ReadModeName;
  /**
   * Log index that reads in mode `session` must at least show: the `lastIndex` of another
   * connection. Default: 0.
   */
  readonly seenIndex?: number;
  /**
   * The ports of the process: clock, network and so on. Tests and the simulator inject their own.
   * Default: those of this process.
   */
  readonly env?: Env;
  /**
   * Name of the machine. A chunkserver registered under the same host name is preferred for reads,
   * and placed first in write chains. Default: the host name of this machine; "" if `env` is given.
   */
  readonly hostName?: string;
  /** Name of this client in the logs of the masters. Default: "client". */
  readonly clientName?: string;
  /** Called before each retry of a failed attempt. Must not throw. */
  readonly onRetry?: (event: RetryEvent) => void;
  /** Receives log lines. Ignored if `env` is given, which has a log. Default: no log. */
  readonly log?: Log;
}

/** A failed attempt that is repeated. The caller receives no error for it. */
export interface RetryEvent {
  /**
   * Name of the repeated operation: a method name such as "namespace.stat", "chunk write" or "chunk
   * read".
   */
  readonly operation: string;
  /** Number of the failed attempt, from 1. */
  readonly attempt: number;
  /** Delay before the next attempt, in milliseconds. */
  readonly delayMs: number;
  /** Error of the failed attempt. */
  readonly error: AshlarError;
}

/** Bytes [start, end) of a file. Default: the whole file. */
export interface ByteRange {
  /** First byte, from 0. Default: 0. */
  readonly start?: number;
  /**
   * First byte after the range. Values beyond the end of the file mean the end. Default: the end.
   */
  readonly end?: number;
}

/** Options of calls that read the content of a file. */
export interface ReadFileOptions extends ReadOptions, ByteRange {
  /** Bytes to read ahead of the consumer. Default: 16 MiB. */
  readonly readAheadBytesMax?: number;
}

/** Options of `FileSystem.list`. */
export interface ListOptions extends ReadOptions {
  /** Entries fetched per call to the masters, 1 to 10,000. Default: 1,000, the most that a master returns. */
  readonly pageSize?: number;
}

/** Options of `FileSystem.listPage`. */
export interface ListPageOptions extends ReadOptions {
  /** `next` of the previous page; `at` is then ignored. Default: the first page. */
  readonly cursor?: ListCursor;
  /** Most entries on the page, 1 to 10,000. Default: 1,000, the most that a master returns. */
  readonly limit?: number;
}

/** Position of the next page. Opaque. All pages of one listing show the same log index (G12). */
export interface ListCursor {
  /** Log index that the listing shows. */
  readonly index: number;
  /** Name of the last entry of the previous page. */
  readonly after: Uint8Array;
}

/** Options of `FileSystem.walk`. */
export interface WalkOptions extends ReadOptions {
  /** Directories listed ahead at the same time. Default: 4. */
  readonly concurrency?: number;
  /** Deepest level to visit: 1 visits only the entries of `path`. Default: no limit. */
  readonly depthMax?: number;
}

/** Owner of a new file or directory. */
export interface OwnerOptions {
  /** User id. Default: 0. */
  readonly uid?: number;
  /** Group id. Default: 0. */
  readonly gid?: number;
}

/** Options of `FileSystem.mkdir`. */
export interface MakeDirectoryOptions extends CallOptions, OwnerOptions {
  /**
   * Creates missing parents, and succeeds if the directory exists already, like `mkdir -p`.
   * Default: false.
   */
  readonly parents?: boolean;
  /** Permission bits. Default: 0o755. */
  readonly mode?: number;
}

/** Options of `FileSystem.create`. */
export interface CreateOptions extends CallOptions, OwnerOptions {
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
}

/** Options of `FileSystem.rename`. */
export interface RenameOptions extends CallOptions {
  /**
   * true: replaces a file, or an empty directory, at `to`, as rename(2). false: fails with
   * ALREADY_EXISTS. Default: false.
   */
  readonly replace?: boolean;
}

/** Options of `FileSystem.copy`. */
export interface CopyOptions extends CallOptions, OwnerOptions {
  /** true: replaces a file at `to`. false: fails with ALREADY_EXISTS. Default: false. */
  readonly replace?: boolean;
  /** true: the copy keeps mode, owner and times of the source. Default: false. */
  readonly preserve?: boolean;
}

/** Attributes to change. Absent attributes keep their value. */
export interface AttributeChanges {
  /** Permission bits. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Time of modification, in milliseconds since the Unix epoch. */
  readonly mtimeMs?: number;
  /** Time of access, in milliseconds since the Unix epoch. */
  readonly atimeMs?: number;
}

/** Options of calls that write a file. */
export interface PutOptions extends CallOptions, OwnerOptions {
  /** true: replaces an existing file. false: fails with ALREADY_EXISTS. Default: false. */
  readonly replace?: boolean;
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
  /**
   * Time of modification, in milliseconds since the Unix epoch. Default: the time of the commit.
   */
  readonly mtimeMs?: number;
  /**
   * Whether an existing file gets `mode`, `uid` and `gid`, too, as far as they are given, in the
   * same commit. Default: false, it keeps its own.
   */
  readonly replaceAttributes?: boolean;
  /** Storage class of a new file. Default: the class of its directory. */
  readonly storageClass?: string;
  /**
   * Conditions that must hold when the file is published. They are checked in the log entry that
   * publishes it: otherwise PRECONDITION_FAILED, and nothing is changed. Default: none.
   */
  readonly preconditions?: readonly Precondition[];
  /** Size of each chunk but the last: a power of two, 1 MiB to 64 MiB. Default: 64 MiB. */
  readonly chunkSizeBytes?: number;
  /** Expected size of the source in bytes. A wrong value is harmless; a right one saves calls. */
  readonly sizeHint?: number;
  /**
   * Called with the number of bytes that whole write chains (at least `copiesMin` servers) have
   * acknowledged so far. The number never decreases.
   */
  readonly onProgress?: (bytes: number) => void;
}

/** Position in the change feed. A watch from a cursor starts with the event at the cursor. */
export interface WatchCursor {
  /** Log index of an entry. */
  readonly index: number;
  /** Number of an event among the events of this entry, from 0. */
  readonly sequence: number;
}

/** Options of `FileSystem.watch`. */
export interface WatchOptions {
  /**
   * Where the watch starts: the first log index, or a cursor. Default: after the last committed
   * entry.
   */
  readonly from?: number | WatchCursor;
  /** Aborting the signal ends the watch with CANCELLED. */
  readonly signal?: AbortSignal;
  /**
   * The watch fails after this many milliseconds without a message from any master.
   * Default: the `timeoutMs` of the connection.
   */
  readonly timeoutMs?: number;
  /**
   * Called about once a second, also when no event concerned the path. All events before `next`
   * were delivered. Must not throw.
   */
  readonly onProgress?: (next: WatchCursor) => void;
}

/** Options of `FileSystem.verify`. */
export interface VerifyOptions extends CallOptions {
  /** true: reads and verifies every replica, not only one good replica. Default: false. */
  readonly allReplicas?: boolean;
}

/**
 * A source that fills buffers of the library. The cheapest source: its bytes are not copied before
 * they are sent.
 */
export interface FillSource {
  /**
   * Writes at least 1 byte to the start of `target` and resolves with their number, or resolves
   * with 0 at the end. Calls never overlap.
   */
  fill(target: Uint8Array): Promise<number>;
}

/** Sources of file content. A source is read once, to its end. Text is written as UTF-8. */
export type PutSource =
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | Readable
  | ReadableStream<Uint8Array>
  | FillSource
  | Uint8Array
  | string
  | Blob;
