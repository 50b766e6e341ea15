import type { Readable } from "node:stream";
import type { ReadableStream, WritableStream } from "node:stream/web";
import { assert } from "../shared/base/assert.ts";
import { isAshlarError } from "../shared/base/errors.ts";
import type { PathInput } from "../shared/base/path.ts";
import type { Closers } from "../shared/flow/closers.ts";
import type { Attributes } from "../shared/protocol/attributes.ts";
import { type ClusterStatus, status, trimHistory } from "../shared/protocol/fleet-api.ts";
import {
  defineStorageClass,
  listStorageClasses,
  type Operation,
  type Precondition,
  type StorageClass,
  type Target,
} from "../shared/protocol/namespace-api.ts";
import { checkFreeValues, checkOperationValues } from "../shared/protocol/operation-values.ts";
import { addCallerFrames } from "./caller-stack.ts";
import type { ClientDeps } from "./client-deps.ts";
import { Deadline } from "./deadline.ts";
import type { FileSystem } from "./file-system.ts";
import { ClusterEnrolment, type Enrolment } from "./masters/enrolment.ts";
import { ClusterMasters, type Masters } from "./masters/membership.ts";
import { removeServer } from "./masters/remove-server.ts";
import { type AsOfState, indexAsOf, stateAsOf } from "./names/as-of.ts";
import { backup } from "./names/backup.ts";
import { transactChecked } from "./names/checked-paths.ts";
import { listAll, listPage } from "./names/listing.ts";
import * as operations from "./names/operations.ts";
import { checkEnd, checkFilePath } from "./names/path-ends.ts";
import { pathHistory } from "./names/path-history.ts";
import { type RestoreResult, restore } from "./names/restore.ts";
import { setHistoryRetention } from "./names/retention.ts";
import { targetOf } from "./names/target.ts";
import { checkTransactionSize, Transaction, type TransactionResult } from "./names/transaction.ts";
import { walk } from "./names/walk.ts";
import { ClusterWatch } from "./names/watch.ts";
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
import { checksum } from "./read/checksum.ts";
import { FileReader } from "./read/file-reader.ts";
import { OpenFile } from "./read/open-file.ts";
import { verify } from "./read/verify.ts";
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
import { toNodeReadable, toNodeWritable, toWebReadable, toWebWritable } from "./streams.ts";
import { writeFile } from "./write/file-writer.ts";

/** Implements the file system with calls to the masters and chunkservers of a cluster. */
export class ClusterFileSystem implements FileSystem {
  readonly #deps: ClientDeps;
  readonly #owned: Closers;

  constructor(deps: ClientDeps, owned: Closers) {
    this.#deps = deps;
    this.#owned = owned;
  }

  get lastIndex(): number {
    return this.#deps.masters.lastIndex;
  }

  async stat(path: PathInput, options: ReadOptions = {}): Promise<Attributes> {
    const { masters } = this.#deps;
    const target = targetOf(path);
    const index = options.at === undefined ? undefined : await indexAsOf(masters, options);
    const attributes = await masters.stat(target, { ...options, index });
    checkEnd(target, attributes);
    return attributes;
  }

  async exists(path: PathInput, options: ReadOptions = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (isAshlarError(error, "NOT_FOUND") || isAshlarError(error, "NOT_A_DIRECTORY"))
        return false;
      throw error;
    }
  }

  async *list(path: PathInput, options: ListOptions = {}): AsyncGenerator<DirectoryEntry> {
    const { masters } = this.#deps;
    const target = targetOf(path);
    const index = await indexAsOf(masters, options);
    yield* listAll(masters, target, { ...options, index });
  }

  async listPage(path: PathInput, options: ListPageOptions = {}): Promise<ListPage> {
    const { masters } = this.#deps;
    const target = targetOf(path);
    const index = options.cursor === undefined ? await indexAsOf(masters, options) : undefined;
    return await listPage(masters, target, { ...options, index });
  }

  asOf(at: AsOf, options: CallOptions = {}): Promise<AsOfState> {
    return stateAsOf(this.#deps.masters, at, options);
  }

  history(path: PathInput, options: CallOptions = {}): AsyncIterable<PathVersion> {
    return pathHistory(this.#deps.masters, path, options);
  }

  restore(path: PathInput, options: RestoreOptions): Promise<RestoreResult> {
    const { masters, env } = this.#deps;
    return restore({ masters, random: env.random }, path, options);
  }

  walk(path: PathInput, options: WalkOptions = {}): AsyncIterable<WalkEntry> {
    return walk(this.#deps.masters, path, options);
  }

  watch(path: PathInput, options: WatchOptions = {}): Watch {
    return new ClusterWatch(this.#deps, path, options);
  }

  mkdir(path: PathInput, options: MakeDirectoryOptions = {}): Promise<Committed> {
    return this.#commit(operations.makeDirectory(path, options), options);
  }

  create(path: PathInput, options: CreateOptions = {}): Promise<Committed> {
    return this.#commit(operations.create(path, options), options);
  }

  rename(from: PathInput, to: PathInput, options: RenameOptions = {}): Promise<Committed> {
    return this.#commit(operations.rename(from, to, options), options);
  }

  copy(from: PathInput, to: PathInput, options: CopyOptions = {}): Promise<Committed> {
    return this.#commit(operations.copy(from, to, options), options);
  }

  unlink(path: PathInput, options: CallOptions = {}): Promise<Committed> {
    return this.#commit({ kind: "unlink", target: targetOf(path) }, options);
  }

  rmdir(path: PathInput, options: CallOptions = {}): Promise<Committed> {
    return this.#commit({ kind: "remove-directory", target: targetOf(path) }, options);
  }

  removeTree(path: PathInput, options: CallOptions = {}): Promise<Committed> {
    return this.#commit({ kind: "remove-tree", target: targetOf(path) }, options);
  }

  setAttributes(
    path: PathInput,
    changes: AttributeChanges,
    options: CallOptions = {},
  ): Promise<Committed> {
    return this.#commit(operations.setAttributes(path, changes), options);
  }

  setStorageClass(
    path: PathInput,
    storageClass: string,
    options: CallOptions = {},
  ): Promise<Committed> {
    const target = targetOf(path);
    return this.#commit({ kind: "set-storage-class", target, storageClass }, options);
  }

  async defineStorageClass(storageClass: StorageClass, options: CallOptions = {}): Promise<void> {
    const { masters } = this.#deps;
    await masters.mutate(defineStorageClass, (attempt) => ({ attempt, storageClass }), options);
  }

  async listStorageClasses(options: CallOptions = {}): Promise<readonly StorageClass[]> {
    return (await this.#deps.masters.read(listStorageClasses, {}, options)).storageClasses;
  }

  async transact(
    requested: readonly Operation[],
    preconditions: readonly Precondition[] = [],
    options: CallOptions = {},
  ): Promise<TransactionResult> {
    checkTransactionSize(requested.length, preconditions.length);
    for (const [operationIndex, operation] of requested.entries()) {
      checkOperationValues(operation, { operationIndex });
    }
    // Copied: the caller may change the lists while the call is pending.
    const transaction = { preconditions: [...preconditions], operations: [...requested] };
    return await transactChecked(this.#deps.masters, transaction, options);
  }

  transaction(): Transaction {
    return new Transaction(async (requested, preconditions, options) => {
      try {
        return await this.transact(requested, preconditions, options);
      } catch (error) {
        throw addCallerFrames(error);
      }
    });
  }

  async readFile(path: PathInput, options: ReadFileOptions = {}): Promise<Uint8Array> {
    using deadline = new Deadline(this.#deps.env.clock, "read the file", options);
    const reader = await this.#reader(targetOf(path), deadline, options);
    const { startBytes, endBytes } = reader.bounds(options);
    const bytes = new Uint8Array(endBytes - startBytes);
    const filledBytes = await reader.readInto(bytes, startBytes, deadline);
    assert(filledBytes === bytes.length, "the bytes read match the size of the version");
    return bytes;
  }

  async readText(path: PathInput, options: ReadFileOptions = {}): Promise<string> {
    const bytes = await this.readFile(path, options);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  async *read(path: PathInput, options: ReadFileOptions = {}): AsyncGenerator<Uint8Array> {
    for await (const slab of this.readSlabs(path, options)) {
      const bytes = slab.bytes.slice();
      slab.release();
      yield bytes;
    }
  }

  async *readSlabs(path: PathInput, options: ReadFileOptions = {}): AsyncGenerator<Slab> {
    using deadline = new Deadline(this.#deps.env.clock, "read the file", options);
    const reader = await this.#reader(targetOf(path), deadline, options);
    yield* reader.slabs({ ...options, deadline });
  }

  createReadStream(path: PathInput, options: ReadFileOptions = {}): Readable {
    return toNodeReadable(this.read(path, options));
  }

  readableStream(path: PathInput, options: ReadFileOptions = {}): ReadableStream<Uint8Array> {
    return toWebReadable(this.read(path, options));
  }

  async open(
    path: PathInput,
    _mode: "read" = "read",
    options: ReadOptions = {},
  ): Promise<FileHandle> {
    const { clock } = this.#deps.env;
    using deadline = new Deadline(clock, "open the file", options);
    return new OpenFile(clock, await this.#reader(targetOf(path), deadline, options));
  }

  async writeFile(
    path: PathInput,
    source: PutSource,
    options: PutOptions = {},
  ): Promise<PutResult> {
    await this.#checkPut(path, options);
    return await writeFile(this.#deps, path, source, options);
  }

  createWriteStream(path: PathInput, options: PutOptions = {}): WriteStream {
    return toNodeWritable((source, signal) => this.#put(path, source, options, signal));
  }

  writableStream(path: PathInput, options: PutOptions = {}): WritableStream<Uint8Array> {
    return toWebWritable((source, signal) => this.#put(path, source, options, signal));
  }

  backup(options: CallOptions = {}): AsyncIterable<BackupPart> {
    return backup(this.#deps, options);
  }

  status(options: CallOptions = {}): Promise<ClusterStatus> {
    return this.#deps.masters.call(status, {}, options);
  }

  async trimHistory(options: CallOptions = {}): Promise<{ readonly oldestIndex: number }> {
    using deadline = new Deadline(this.#deps.env.clock, "trim the history", options);
    let firstIndex: number | null = null;
    for (;;) {
      const call = { signal: deadline.signal };
      const { index, oldestIndex, versions } = await this.#deps.masters.call(trimHistory, {}, call);
      firstIndex ??= index;
      if (versions === 0 || oldestIndex >= firstIndex) return { oldestIndex };
    }
  }

  removeServer(serverId: string, options: RemoveServerOptions = {}): Promise<void> {
    return removeServer(this.#deps, serverId, options);
  }

  setHistoryRetention(retentionMs: number, options: CallOptions = {}): Promise<void> {
    return setHistoryRetention(this.#deps.masters, retentionMs, options);
  }

  get masters(): Masters {
    const { masters, env } = this.#deps;
    return new ClusterMasters(masters, env.clock);
  }

  get enrolment(): Enrolment {
    const { masters, env } = this.#deps;
    return new ClusterEnrolment(masters, env);
  }

  verify(path: PathInput, options: VerifyOptions = {}): AsyncIterable<VerifyResult> {
    return verify(this.#deps, path, options);
  }

  checksum(path: PathInput, options: ReadFileOptions = {}): Promise<Checksum> {
    return checksum(this.#deps, path, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned[Symbol.asyncDispose]();
  }

  /** Commits one operation as a transaction. */
  async #commit(operation: Operation, options: CallOptions): Promise<Committed> {
    const { index, inodes } = await this.transact([operation], [], options);
    return { index, inode: inodes[0] ?? null };
  }

  /** Opens the version that `at` selects, and starts at `start`. */
  async #reader(target: Target, deadline: Deadline, options: ReadFileOptions): Promise<FileReader> {
    const { start: startBytes = 0, at, readMode } = options;
    const { signal } = deadline;
    const call = { signal, ...(readMode === undefined ? {} : { readMode }) };
    const index = at === undefined ? at : await indexAsOf(this.#deps.masters, { ...call, at });
    return await FileReader.open(this.#deps, target, { deadline, startBytes, index, readMode });
  }

  /** Checks the path and the values of a file before its source is read. */
  async #checkPut(path: PathInput, options: PutOptions): Promise<void> {
    const target = targetOf(path);
    checkFreeValues(target, options);
    await checkFilePath(this.#deps.masters, target, callOptionsOf(options));
  }

  /** Writes a file from a stream. `destroyed` aborts when the stream is destroyed. */
  async #put(
    path: PathInput,
    source: AsyncIterable<Uint8Array>,
    options: PutOptions,
    destroyed: AbortSignal,
  ): Promise<PutResult> {
    const { clock } = this.#deps.env;
    using deadline = new Deadline(clock, "write the file", options);
    deadline.follow(destroyed);
    const { timeoutMs: _, ...rest } = options;
    await this.#checkPut(path, { ...rest, signal: deadline.signal });
    return await writeFile(this.#deps, path, source, { ...rest, signal: deadline.signal });
  }
}

function callOptionsOf({ signal, timeoutMs }: CallOptions): CallOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}
