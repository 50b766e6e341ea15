import { assert } from "../../shared/base/assert.ts";
import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { type ChunkId, DIGEST_BYTES, type LogIndex } from "../../shared/base/ids.ts";
import type { OrderedStore, StoreChange } from "../../shared/ports/ordered-store.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import {
  type ChunkRecord,
  decodeChunkRecord,
  type ExtentFileName,
  encodeChunkRecord,
  isPacked,
  sameExtents,
} from "./chunk-record.ts";
import {
  chunkIdOfKey,
  chunkRecordKey,
  chunkRecordKeysAfter,
  hashesKey,
  lostKey,
  lostKeysAfter,
  packedKey,
  packedKeys,
  unconfirmedKey,
  unconfirmedKeysUntil,
} from "./index-keys.ts";
import { decodeLoss, encodeLoss, type LostReplica } from "./lost-replica.ts";

/** Maximum number of operations in one commit. Keeps a batch with full manifests below 20 MB. */
const BATCH_OPERATIONS_MAX = 512;

/** A record before and after a change. Null if the record does not exist. */
export interface RecordChange {
  readonly chunkId: ChunkId;
  readonly before: ChunkRecord | null;
  readonly after: ChunkRecord | null;
}

/** View of the index for one operation. It includes the changes of earlier operations. */
export interface IndexOperation {
  /** Returns the record of a chunk, null if there is none. */
  record(chunkId: ChunkId): ChunkRecord | null;
  /** Adds or replaces a record. `hashes` (32 bytes for each block) are required for a new chunk. */
  put(chunkId: ChunkId, record: ChunkRecord, hashes?: Uint8Array): void;
  /** Removes an existing record and its hashes. */
  remove(chunkId: ChunkId): void;
  /** Records that the replica was lost, until `forgetLost`: the master must be notified. */
  noteLost(lost: LostReplica & { readonly intentIndex: LogIndex }): void;
  /** Returns the entry of `noteLost`, null if there is none. */
  loss(chunkId: ChunkId): LostReplica | null;
  /** Removes the entry of `noteLost`. */
  forgetLost(chunkId: ChunkId): void;
  /** Sets a key that does not belong to a chunk. */
  set(key: Uint8Array, value: Uint8Array): void;
}

/** Callbacks of a `ChunkIndex`. */
export interface IndexEvents {
  /** Runs the commit of the store. Notices one that hangs. */
  readonly runCommit: (commit: () => Promise<void>) => Promise<void>;
  /**
   * Throws if the disk accepts no writes. Called directly before each commit in which an operation
   * promises that bytes are durable: it adds extents to a record or raises an intent, after which
   * the server signs a receipt or deletes another copy of the bytes.
   */
  readonly requireWritable: () => void;
  /** Called with the changes of each commit, in order, before `change` resolves. */
  readonly onCommitted: (changes: readonly RecordChange[]) => void;
  /** Called with each loss that a commit has noted. */
  readonly onLost: (chunkId: ChunkId, intentIndex: LogIndex) => void;
  /** Called once, when a commit failed. The index accepts no further changes. */
  readonly onFailed: (error: unknown) => void;
  /** Called when a commit failed with NO_SPACE. The index stays usable. */
  readonly onFull: (error: AshlarError) => void;
}

interface PendingOperation {
  readonly apply: (operation: IndexOperation) => void;
  readonly committed: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * The chunks on this disk and the extents of their bytes: the tables of `index-keys.ts` in an
 * ordered store.
 *
 * Invariants: the tables P and U are derived from the chunk records, and only `StagedOperation`
 * writes them. A record is committed only after the bytes that it refers to are durable, so after a
 * crash each record refers to complete, verified bytes. After a failed sync no commit adds bytes to
 * a record (`requireWritable`); commits that remove or confirm records continue.
 */
export class ChunkIndex {
  readonly #store: OrderedStore;
  readonly #events: IndexEvents;
  readonly #queue: PendingOperation[] = [];
  #draining: Promise<void> | null = null;
  /** Reason why the store cannot sync. If set, nothing more is committed. */
  #failure: unknown = null;

  constructor(store: OrderedStore, events: IndexEvents) {
    this.#store = store;
    this.#events = events;
  }

  /** Returns the committed record of a chunk, null if there is none. */
  record(chunkId: ChunkId): ChunkRecord | null {
    return readRecord(this.#store, chunkId);
  }

  /** Returns the block hashes of a chunk, null if it has no record. */
  hashes(chunkId: ChunkId): Uint8Array | null {
    return this.#store.get(hashesKey(chunkId)) ?? null;
  }

  /** Returns the value of a key that does not belong to a chunk, null if there is none. */
  get(key: Uint8Array): Uint8Array | null {
    return this.#store.get(key) ?? null;
  }

  /** Returns up to `limit` records with ids after `after`, ordered by id. */
  recordsAfter(
    after: ChunkId | null,
    limit: number,
  ): readonly { readonly chunkId: ChunkId; readonly record: ChunkRecord }[] {
    const records: { readonly chunkId: ChunkId; readonly record: ChunkRecord }[] = [];
    for (const { key, value } of this.#store.range({ ...chunkRecordKeysAfter(after), limit })) {
      records.push({ chunkId: chunkIdOfKey(key), record: decodeChunkRecord(value) });
    }
    return records;
  }

  /** Returns up to `limit` chunks that have an extent in the packed file. */
  chunksInPackedFile(file: ExtentFileName, limit: number): readonly ChunkId[] {
    const chunkIds: ChunkId[] = [];
    for (const { key } of this.#store.range({ ...packedKeys(file), limit })) {
      chunkIds.push(chunkIdOfKey(key));
    }
    return chunkIds;
  }

  /** Returns up to `limit` chunks whose confirmation is due at `nowMs`, the oldest first. */
  unconfirmedUntil(nowMs: number, limit: number): readonly ChunkId[] {
    const chunkIds: ChunkId[] = [];
    for (const { key } of this.#store.range({ ...unconfirmedKeysUntil(nowMs), limit })) {
      chunkIds.push(chunkIdOfKey(key));
    }
    return chunkIds;
  }

  /** Returns the loss of a chunk that the master may not know yet, null if there is none. */
  loss(chunkId: ChunkId): LostReplica | null {
    return readLoss(this.#store, chunkId);
  }

  /** Returns up to `limit` losses of chunks after `after`, ordered by chunk id. */
  lostAfter(after: ChunkId | null, limit: number): readonly LostReplica[] {
    const lost: LostReplica[] = [];
    for (const { key, value } of this.#store.range({ ...lostKeysAfter(after), limit })) {
      lost.push({ chunkId: chunkIdOfKey(key), ...decodeLoss(value) });
    }
    return lost;
  }

  /**
   * Calls `decide` once and resolves with its result when its changes are durable. Pending
   * operations share one commit. `decide` is synchronous: no other operation runs between its reads
   * and its changes.
   *
   * @throws {AshlarError} NO_SPACE: nothing changed. DISK_FAILED: the disk accepts no writes, or the
   *   index is no longer usable.
   */
  change<T>(decide: (operation: IndexOperation) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let result: { readonly value: T } | null = null;
      this.#queue.push({
        apply: (operation) => {
          result = { value: decide(operation) };
        },
        committed: () => {
          assert(result !== null, "an operation is applied before its commit resolves");
          resolve(result.value);
        },
        failed: reject,
      });
      this.#draining ??= this.#drain();
    });
  }

  /** Waits for the pending operations, then closes the store. */
  async close(): Promise<void> {
    while (this.#draining !== null) await this.#draining;
    await this.#store.close();
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // Operations queued in the same turn share the first commit.
    while (this.#queue.length > 0) {
      await this.#commit(this.#queue.splice(0, BATCH_OPERATIONS_MAX));
    }
    this.#draining = null;
  }

  async #commit(batch: readonly PendingOperation[]): Promise<void> {
    const staging: Staging = { records: new Map(), losses: new Map() };
    const recordChanges: RecordChange[] = [];
    const storeChanges: StoreChange[] = [];
    const applied: PendingOperation[] = [];
    for (const pending of batch) {
      const staged = new StagedOperation(this.#store, staging);
      try {
        pending.apply(staged);
        if (staged.promisesBytes) this.#events.requireWritable();
      } catch (error) {
        pending.failed(error); // `staged` is dropped with the changes of this operation.
        continue;
      }
      staged.merge(recordChanges, storeChanges);
      applied.push(pending);
    }
    try {
      if (this.#failure !== null) throw this.#failure;
      if (storeChanges.length > 0) {
        await this.#events.runCommit(() => this.#store.commit(storeChanges));
      }
    } catch (error) {
      this.#onCommitFailed(error);
      for (const pending of applied) pending.failed(error);
      return;
    }
    this.#events.onCommitted(recordChanges);
    for (const [chunkId, loss] of staging.losses) {
      if (loss !== null && loss.intentIndex !== null)
        this.#events.onLost(chunkId, loss.intentIndex);
    }
    for (const pending of applied) pending.committed();
  }

  #onCommitFailed(error: unknown): void {
    if (this.#failure !== null) return;
    if (isAshlarError(error, "NO_SPACE")) {
      this.#events.onFull(error);
      return;
    }
    this.#failure = error;
    this.#events.onFailed(error);
  }
}

function readRecord(store: OrderedStore, chunkId: ChunkId): ChunkRecord | null {
  const value = store.get(chunkRecordKey(chunkId));
  return value === undefined ? null : decodeChunkRecord(value);
}

function readLoss(store: OrderedStore, chunkId: ChunkId): LostReplica | null {
  const value = store.get(lostKey(chunkId));
  return value === undefined ? null : { chunkId, ...decodeLoss(value) };
}

/** The chunk records and losses that the operations of one commit have changed. Null: removed. */
interface Staging {
  readonly records: Map<ChunkId, ChunkRecord | null>;
  readonly losses: Map<ChunkId, LostReplica | null>;
}

/** The changes of one operation. Its reads include the earlier operations of the same commit. */
class StagedOperation implements IndexOperation {
  readonly #store: OrderedStore;
  readonly #before: Staging;
  readonly #own: Staging = { records: new Map(), losses: new Map() };
  readonly #recordChanges: RecordChange[] = [];
  readonly #storeChanges: StoreChange[] = [];
  #promisesBytes = false;

  constructor(store: OrderedStore, before: Staging) {
    this.#store = store;
    this.#before = before;
  }

  /** Whether a record gets extents that it did not have, or a newer intent. */
  get promisesBytes(): boolean {
    return this.#promisesBytes;
  }

  record(chunkId: ChunkId): ChunkRecord | null {
    const staged = firstOf(chunkId, this.#own.records, this.#before.records);
    return staged === undefined ? readRecord(this.#store, chunkId) : staged;
  }

  put(chunkId: ChunkId, record: ChunkRecord, hashes?: Uint8Array): void {
    const before = this.record(chunkId);
    assert(before !== null || hashes !== undefined, "a new chunk has hashes");
    if (hashes !== undefined) {
      const count = blockCount(record.lengthBytes);
      assert(hashes.length === count * DIGEST_BYTES, "each block has a hash");
      this.set(hashesKey(chunkId), hashes);
    }
    const isPromise =
      before === null || !sameExtents(before, record) || record.intentIndex > before.intentIndex;
    if (isPromise) this.#promisesBytes = true;
    this.#replace(chunkId, before, record);
    this.set(chunkRecordKey(chunkId), encodeChunkRecord(record));
  }

  remove(chunkId: ChunkId): void {
    const before = this.record(chunkId);
    assert(before !== null, "only an existing chunk is removed");
    this.#replace(chunkId, before, null);
    this.#delete(chunkRecordKey(chunkId));
    this.#delete(hashesKey(chunkId));
  }

  noteLost(lost: Parameters<IndexOperation["noteLost"]>[0]): void {
    const { chunkId, reason, intentIndex } = lost;
    this.set(lostKey(chunkId), encodeLoss(reason.slice(0, 200), intentIndex));
    this.#own.losses.set(chunkId, lost);
  }

  loss(chunkId: ChunkId): LostReplica | null {
    const staged = firstOf(chunkId, this.#own.losses, this.#before.losses);
    return staged === undefined ? readLoss(this.#store, chunkId) : staged;
  }

  forgetLost(chunkId: ChunkId): void {
    this.#delete(lostKey(chunkId));
    this.#own.losses.set(chunkId, null);
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#storeChanges.push({ key, value });
  }

  /** Adds the staged changes to the commit. */
  merge(recordChanges: RecordChange[], storeChanges: StoreChange[]): void {
    for (const [chunkId, record] of this.#own.records) this.#before.records.set(chunkId, record);
    for (const [chunkId, loss] of this.#own.losses) this.#before.losses.set(chunkId, loss);
    recordChanges.push(...this.#recordChanges);
    storeChanges.push(...this.#storeChanges);
  }

  #replace(chunkId: ChunkId, before: ChunkRecord | null, after: ChunkRecord | null): void {
    for (const key of before === null ? [] : derivedKeys(chunkId, before)) this.#delete(key);
    for (const key of after === null ? [] : derivedKeys(chunkId, after)) {
      this.set(key, new Uint8Array(0));
    }
    this.#own.records.set(chunkId, after);
    this.#recordChanges.push({ chunkId, before, after });
  }

  #delete(key: Uint8Array): void {
    this.#storeChanges.push({ key, value: null });
  }
}

/** Returns the value of a chunk in the first map that has one. Null is a value. */
function firstOf<Value>(
  chunkId: ChunkId,
  ...maps: readonly ReadonlyMap<ChunkId, Value>[]
): Value | undefined {
  return maps.find((map) => map.has(chunkId))?.get(chunkId);
}

/** Returns the keys of the tables P and U for a record. */
function derivedKeys(chunkId: ChunkId, record: ChunkRecord): readonly Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (const { file } of record.extents) {
    if (isPacked(file)) keys.push(packedKey(file, chunkId));
  }
  if (record.confirmDueMs > 0) keys.push(unconfirmedKey(record.confirmDueMs, chunkId));
  return keys;
}
