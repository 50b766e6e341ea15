import type { Readable } from "node:stream";
import type { ReadableStream, WritableStream } from "node:stream/web";
import { assert } from "../shared/base/assert.ts";
import { type PathInput, parsePath } from "../shared/base/path.ts";
import type { Closers } from "../shared/flow/closers.ts";
import type { Attributes } from "../shared/protocol/attributes.ts";
import { type ClusterStatus, status } from "../shared/protocol/fleet-api.ts";
import type { PathVersion } from "../shared/protocol/history-api.ts";
import {
  defineStorageClass,
  listStorageClasses,
  type Operation,
  type Precondition,
  type StorageClass,
  type Target,
} from "../shared/protocol/namespace-api.ts";
import type { ClientDeps } from "./client-deps.ts";
import { Deadline } from "./deadline.ts";
import type { FileSystem } from "./file-system.ts";
import { ClusterMasters, type Masters } from "./masters/membership.ts";
import { type AsOfState, indexAsOf, stateAsOf } from "./names/as-of.ts";
import { backup } from "./names/backup.ts";
import { listAll, listPage } from "./names/listing.ts";
import * as operations from "./names/operations.ts";
import { pathHistory } from "./names/path-history.ts";
import { type RestoreResult, restore } from "./names/restore.ts";
import { targetOf } from "./names/target.ts";
import { checkTransactionSize, Transaction, type TransactionResult } from "./names/transaction.ts";
import { walk } from "./names/walk.ts";
import { ClusterWatch } from "./names/watch.ts";
import type * as options from "./options.ts";
import type { PutSource } from "./options.ts";
import { FileReader } from "./read/file-reader.ts";
import { OpenFile } from "./read/open-file.ts";
import { checksum, verify } from "./read/verify.ts";
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
import { toNodeReadable, toNodeWritable, toWebReadable, toWebWritable } from "./streams.ts";
import { writeFile } from "./write/file-writer.ts";

/** The file system over a cluster's masters and chunkservers. */
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

  async stat(path: PathInput, look: options.ReadOptions = {}): Promise<Attributes> {
    const { masters } = this.#deps;
    const target = targetOf(path);
    if (look.at === undefined) return await masters.stat(target, look);
    return await masters.stat(target, { ...look, index: await indexAsOf(masters, look) });
  }

  async *list(path: PathInput, list: options.ListOptions = {}): AsyncGenerator<DirectoryEntry> {
    const { masters } = this.#deps;
    const target = targetOf(path);
    const index = await indexAsOf(masters, list);
    yield* listAll(masters, target, { ...list, index });
  }

  async listPage(path: PathInput, page: options.ListPageOptions = {}): Promise<ListPage> {
    const { masters } = this.#deps;
    const target = targetOf(path);
    const index = page.cursor === undefined ? await indexAsOf(masters, page) : undefined;
    return await listPage(masters, target, { ...page, index });
  }

  asOf(at: options.AsOf, call: options.CallOptions = {}): Promise<AsOfState> {
    return stateAsOf(this.#deps.masters, at, call);
  }

  history(path: PathInput, call: options.CallOptions = {}): AsyncIterable<PathVersion> {
    return pathHistory(this.#deps.masters, path, call);
  }

  restore(path: PathInput, how: options.RestoreOptions): Promise<RestoreResult> {
    const { masters, env } = this.#deps;
    return restore({ masters, random: env.random }, path, how);
  }

  walk(path: PathInput, how: options.WalkOptions = {}): AsyncIterable<WalkEntry> {
    return walk(this.#deps.masters, path, how);
  }

  watch(path: PathInput, how: options.WatchOptions = {}): Watch {
    return new ClusterWatch(this.#deps, path, how);
  }

  mkdir(path: PathInput, how: options.MakeDirectoryOptions = {}): Promise<Committed> {
    return this.#one(operations.makeDirectory(path, how), how);
  }

  create(path: PathInput, how: options.CreateOptions = {}): Promise<Committed> {
    return this.#one(operations.create(path, how), how);
  }

  rename(from: PathInput, to: PathInput, how: options.RenameOptions = {}): Promise<Committed> {
    return this.#one(operations.rename(from, to, how), how);
  }

  copy(from: PathInput, to: PathInput, how: options.CopyOptions = {}): Promise<Committed> {
    return this.#one(operations.copy(from, to, how), how);
  }

  unlink(path: PathInput, call: options.CallOptions = {}): Promise<Committed> {
    return this.#one({ kind: "unlink", target: targetOf(path) }, call);
  }

  rmdir(path: PathInput, call: options.CallOptions = {}): Promise<Committed> {
    return this.#one({ kind: "remove-directory", target: targetOf(path) }, call);
  }

  removeTree(path: PathInput, call: options.CallOptions = {}): Promise<Committed> {
    return this.#one({ kind: "remove-tree", target: targetOf(path) }, call);
  }

  setAttributes(
    path: PathInput,
    changes: options.AttributeChanges,
    call: options.CallOptions = {},
  ): Promise<Committed> {
    return this.#one(operations.setAttributes(path, changes), call);
  }

  setStorageClass(
    path: PathInput,
    storageClass: string,
    call: options.CallOptions = {},
  ): Promise<Committed> {
    const target = targetOf(path);
    return this.#one({ kind: "set-storage-class", target, storageClass }, call);
  }

  async defineStorageClass(
    storageClass: StorageClass,
    call: options.CallOptions = {},
  ): Promise<void> {
    const { masters } = this.#deps;
    await masters.mutate(defineStorageClass, (attempt) => ({ attempt, storageClass }), call);
  }

  async listStorageClasses(call: options.CallOptions = {}): Promise<readonly StorageClass[]> {
    return (await this.#deps.masters.read(listStorageClasses, {}, call)).storageClasses;
  }

  async transact(
    wanted: readonly Operation[],
    preconditions: readonly Precondition[] = [],
    call: options.CallOptions = {},
  ): Promise<TransactionResult> {
    checkTransactionSize(wanted.length, preconditions.length);
    // What the caller does with the lists afterwards does not matter.
    const transaction = { preconditions: [...preconditions], operations: [...wanted] };
    return await this.#deps.masters.transact(transaction, call);
  }

  transaction(): Transaction {
    return new Transaction((wanted, preconditions, call) =>
      this.transact(wanted, preconditions, call),
    );
  }

  async readFile(path: PathInput, how: options.ReadFileOptions = {}): Promise<Uint8Array> {
    using deadline = new Deadline(this.#deps.env.clock, "read the file", how);
    const reader = await this.#reader(targetOf(path), deadline, how);
    const { startBytes, endBytes } = reader.bounds(how);
    const bytes = new Uint8Array(endBytes - startBytes);
    const filledBytes = await reader.readInto(bytes, startBytes, deadline);
    assert(filledBytes === bytes.length, "a version has as many bytes as it says");
    return bytes;
  }

  async *read(path: PathInput, how: options.ReadFileOptions = {}): AsyncGenerator<Uint8Array> {
    for await (const slab of this.readSlabs(path, how)) {
      const bytes = slab.bytes.slice();
      slab.release();
      yield bytes;
    }
  }

  async *readSlabs(path: PathInput, how: options.ReadFileOptions = {}): AsyncGenerator<Slab> {
    using deadline = new Deadline(this.#deps.env.clock, "read the file", how);
    const reader = await this.#reader(targetOf(path), deadline, how);
    yield* reader.slabs({ ...how, deadline });
  }

  createReadStream(path: PathInput, how: options.ReadFileOptions = {}): Readable {
    return toNodeReadable(this.read(path, how));
  }

  readableStream(path: PathInput, how: options.ReadFileOptions = {}): ReadableStream<Uint8Array> {
    return toWebReadable(this.read(path, how));
  }

  async open(
    path: PathInput,
    _mode: "read" = "read",
    look: options.ReadOptions = {},
  ): Promise<FileHandle> {
    const { clock } = this.#deps.env;
    using deadline = new Deadline(clock, "open the file", look);
    return new OpenFile(clock, await this.#reader(targetOf(path), deadline, look));
  }

  writeFile(path: PathInput, source: PutSource, how: options.PutOptions = {}): Promise<PutResult> {
    return writeFile(this.#deps, path, source, how);
  }

  createWriteStream(path: PathInput, how: options.PutOptions = {}): WriteStream {
    return toNodeWritable((source, signal) => this.#put(path, source, how, signal));
  }

  writableStream(path: PathInput, how: options.PutOptions = {}): WritableStream<Uint8Array> {
    return toWebWritable((source, signal) => this.#put(path, source, how, signal));
  }

  backup(call: options.CallOptions = {}): AsyncIterable<BackupPart> {
    return backup(this.#deps, call);
  }

  status(call: options.CallOptions = {}): Promise<ClusterStatus> {
    return this.#deps.masters.call(status, {}, call);
  }

  get masters(): Masters {
    const { masters, env } = this.#deps;
    return new ClusterMasters(masters, env.clock);
  }

  verify(path: PathInput, how: options.VerifyOptions = {}): AsyncIterable<VerifyResult> {
    return verify(this.#deps, path, how);
  }

  checksum(path: PathInput, how: options.ReadFileOptions = {}): Promise<Checksum> {
    return checksum(this.#deps, path, how);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned[Symbol.asyncDispose]();
  }

  async #one(operation: Operation, call: options.CallOptions): Promise<Committed> {
    const { index, inodes } = await this.transact([operation], [], call);
    return { index, inode: inodes[0] ?? null };
  }

  async #reader(
    target: Target,
    deadline: Deadline,
    how: options.ReadFileOptions,
  ): Promise<FileReader> {
    const { start: startBytes = 0, at, readMode } = how;
    const { signal } = deadline;
    const asked = { signal, ...(readMode === undefined ? {} : { readMode }) };
    const index = at === undefined ? at : await indexAsOf(this.#deps.masters, { ...asked, at });
    return await FileReader.open(this.#deps, target, { deadline, startBytes, index, readMode });
  }

  async #put(
    path: PathInput,
    source: AsyncIterable<Uint8Array>,
    how: options.PutOptions,
    destroyed: AbortSignal,
  ): Promise<PutResult> {
    parsePath(path);
    const { clock } = this.#deps.env;
    using both = new Deadline(clock, "write the file", how);
    both.follow(destroyed);
    const { timeoutMs: _, ...rest } = how;
    return await writeFile(this.#deps, path, source, { ...rest, signal: both.signal });
  }
}
