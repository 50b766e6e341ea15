import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type { AshlarError } from "../shared/base/errors.ts";
import type { PathInput } from "../shared/base/path.ts";
import type { Env } from "../shared/ports/env.ts";
import type { Log } from "../shared/ports/log.ts";

/** Default permission bits of a new file. */
export const FILE_MODE_DEFAULT = 0o644;

/** What every call takes. */
export interface CallOptions {
  /** Aborting fails the call with CANCELLED. A write that was not committed leaves nothing visible. */
  readonly signal?: AbortSignal;
  /**
   * The whole call fails with DEADLINE_EXCEEDED after so long. Default for calls to the masters: the
   * connection's `timeoutMs`. Transfers have no limit of their own by default: they go on as long
   * as they progress.
   */
  readonly timeoutMs?: number;
  /** What a call that looks must see. Default: the connection's. Calls that change something take no notice. */
  readonly readMode?: ReadModeName;
}

/**
 * What a call that looks must see:
 *
 * - `linearizable`: everything that was acknowledged to anybody before the call. The leader answers.
 * - `session`: everything that this connection has seen or done, so it never goes back. Any master.
 * - `stale`: some state of the past, as any master has it. The only one without a majority.
 */
export type ReadModeName = "linearizable" | "session" | "stale";

/**
 * A state of the past: its log index, a time (milliseconds since the epoch, by the masters' clock and
 * to the second), or so long ago. INDEX_EXPIRED where the history does not reach back so far.
 */
export type AsOf = number | { readonly timeMs: number } | { readonly agoMs: number };

/** What calls that look take. */
export interface ReadOptions extends CallOptions {
  /** Default: now. */
  readonly at?: AsOf;
}

export interface RestoreOptions extends CallOptions {
  /** The state that is brought back. */
  readonly at: AsOf;
  /** Where to. Default: its own place. */
  readonly to?: PathInput;
  /** true: what stands there is replaced, a directory with all that is in it. Default: false. */
  readonly replace?: boolean;
}

export interface ConnectOptions extends CallOptions {
  /** Addresses ("host:port") of some masters; the rest are learnt from them. At least one. */
  readonly masters: readonly string[];
  /** 32 hex digits. Servers of another cluster are refused with WRONG_CLUSTER. Default: take it as it is. */
  readonly clusterId?: string;
  /** Default limit of one call to the masters, with all its retries: 30,000. */
  readonly timeoutMs?: number;
  /** Of calls that do not say. Default: linearizable. */
  readonly readMode?: ReadModeName;
  /** An index that session reads must see: the `lastIndex` of another connection. Default: none. */
  readonly seenIndex?: number;
  /** The world. Default: this machine's. The simulator and tests give another. */
  readonly env?: Env;
  /** This machine's name, so that a chunkserver on it is preferred. Default: this machine's. */
  readonly hostName?: string;
  /** Shown in the masters' logs. Default: "client". */
  readonly clientName?: string;
  /** Told of every attempt that failed and is repeated. Must not throw. */
  readonly onRetry?: (event: RetryEvent) => void;
  /** Default: nothing is logged. Ignored where `env` is given (it has a log). */
  readonly log?: Log;
}

/** Something failed and is tried again; the caller sees nothing but this. */
export interface RetryEvent {
  /** What is repeated: a method name ("namespace.stat"), "chunk write" or "chunk read". */
  readonly operation: string;
  /** From 1. */
  readonly attempt: number;
  readonly delayMs: number;
  readonly error: AshlarError;
}

/** Bytes `start` to `end`, the last one not included. Default: all. An `end` behind the file's is cut. */
export interface ByteRange {
  readonly start?: number;
  readonly end?: number;
}

export interface ReadFileOptions extends ReadOptions, ByteRange {
  /** How far to read ahead of the consumer. Default: 16 MiB. */
  readonly readAheadBytesMax?: number;
}

export interface ListOptions extends ReadOptions {
  /** Entries a call to the master. 1 to 10,000; default 1,000. */
  readonly pageSize?: number;
}

export interface ListPageOptions extends ReadOptions {
  /** From the page before. Default: the first page. */
  readonly cursor?: ListCursor;
  /** 1 to 10,000; default 1,000. */
  readonly limit?: number;
}

/** Where the next page begins. Opaque; pages under one cursor show one index (G12). */
export interface ListCursor {
  readonly index: number;
  readonly after: Uint8Array;
}

export interface WalkOptions extends ReadOptions {
  /** Directories that are listed at the same time. Default: 4. */
  readonly concurrency?: number;
  /** Entries deeper than this below `path` are not visited. Default: no limit. */
  readonly depthMax?: number;
}

export interface OwnerOptions {
  /** Default: 0. */
  readonly uid?: number;
  /** Default: 0. */
  readonly gid?: number;
}

export interface MakeDirectoryOptions extends CallOptions, OwnerOptions {
  /** mkdir -p: missing parents are made; a directory that is there is no error. Default: false. */
  readonly parents?: boolean;
  /** Permission bits. Default: 0o755. */
  readonly mode?: number;
}

export interface CreateOptions extends CallOptions, OwnerOptions {
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
}

export interface RenameOptions extends CallOptions {
  /** true: ALREADY_EXISTS if `to` is there (RENAME_NOREPLACE). Default: false. */
  readonly noReplace?: boolean;
}

export interface CopyOptions extends CallOptions, OwnerOptions {
  /** false: ALREADY_EXISTS if `to` is there. Default: true. */
  readonly replace?: boolean;
  /** true: the copy keeps mode, owner and times. Default: false. */
  readonly preserve?: boolean;
}

export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Milliseconds since the Unix epoch. */
  readonly mtimeMs?: number;
  readonly atimeMs?: number;
}

export interface PutOptions extends CallOptions, OwnerOptions {
  /** false: ALREADY_EXISTS if the name is taken. Default: true. */
  readonly replace?: boolean;
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
  /** Default: the time of the commit. */
  readonly mtimeMs?: number;
  /** For a new file. Default: its directory's. */
  readonly storageClass?: string;
  /** A power of two, 1 MiB to 64 MiB. Default: 64 MiB. */
  readonly chunkSizeBytes?: number;
  /** The size of the source where it is known. It need not be right: it only saves work. */
  readonly sizeHint?: number;
  /** Bytes that at least `copiesMin` servers have written, so far. Never goes back. */
  readonly onProgress?: (bytes: number) => void;
}

/** A place in the change feed: events from it on are still to come. */
export interface WatchCursor {
  /** The log index of an entry. */
  readonly index: number;
  /** The number of an event among those of the entry, from 0. */
  readonly sequence: number;
}

export interface WatchOptions {
  /** The first index, or place, that is wanted. Default: after all that is committed now. */
  readonly from?: number | WatchCursor;
  /** Aborting ends the watch with CANCELLED. */
  readonly signal?: AbortSignal;
  /** So long without a word from any master ends it. Default: the connection's `timeoutMs`. */
  readonly timeoutMs?: number;
  /**
   * Told, about once a second, how far the feed was read, also where nothing concerned the path:
   * all events before `next` were given. Must not throw.
   */
  readonly onProgress?: (next: WatchCursor) => void;
}

export interface VerifyOptions extends CallOptions {
  /** true: every replica is read and proved, not only one that is good. Default: false. */
  readonly allReplicas?: boolean;
}

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
