import { assert } from "../../shared/base/assert.ts";
import { type AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import { type ChunkId, DIGEST_BYTES } from "../../shared/base/ids.ts";
import type { OrderedStore, StoreChange } from "../../shared/ports/ordered-store.ts";
import { blockCount } from "../../shared/protocol/chunk-id.ts";
import {
  type ChunkRecord,
  decodeChunkRecord,
  type ExtentFileName,
  encodeChunkRecord,
  isPacked,
} from "./chunk-record.ts";
import {
  chunkIdOfKey,
  chunkKey,
  chunkKeysAfter,
  hashesKey,
  lostKey,
  lostKeys,
  packedKey,
  packedKeys,
  unconfirmedKey,
  unconfirmedKeysUntil,
} from "./index-keys.ts";

/** Operations that share one commit, at most: keeps a batch with full manifests below 20 MB. */
const BATCH_OPERATIONS_MAX = 512;

/** A record as it was and as it is; null: absent. */
export interface RecordChange {
  readonly chunkId: ChunkId;
  readonly before: ChunkRecord | null;
  readonly after: ChunkRecord | null;
}

/** What an operation on the index sees and changes. It sees what operations before it changed. */
export interface IndexOperation {
  record(chunkId: ChunkId): ChunkRecord | null;
  /** Adds or replaces a record. `hashes` are needed for a chunk that is new. */
  put(chunkId: ChunkId, record: ChunkRecord, hashes?: Uint8Array): void;
  /** Removes a record with its hashes. */
  remove(chunkId: ChunkId): void;
  /** Keeps, until `forgetLost`, that the master is to be told that the copy is gone. */
  noteLost(chunkId: ChunkId, reason: string): void;
  forgetLost(chunkId: ChunkId): void;
  /** Sets a key that stands for itself. */
  set(key: Uint8Array, value: Uint8Array): void;
}

export interface IndexEvents {
  /** The changes of each commit, in order, before their callers hear of them. */
  readonly onCommitted: (changes: readonly RecordChange[]) => void;
  /** The store must be given up; called once. */
  readonly onFailed: (error: unknown) => void;
  /** A commit found no room; the store goes on. */
  readonly onFull: (error: AshlarError) => void;
}

interface Pending {
  readonly apply: (operation: IndexOperation) => void;
  readonly committed: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Which chunks are here and where: the tables of `index-keys.ts` over an ordered store.
 *
 * Invariants: tables P and U hold exactly what the chunk records say (only `Staged` writes them);
 * a record is committed only after the bytes it names are durable, so that after any crash each
 * record names whole, verified bytes.
 */
export class ChunkIndex {
  readonly #store: OrderedStore;
  readonly #events: IndexEvents;
  readonly #queue: Pending[] = [];
  #draining: Promise<void> | null = null;
  /** The store could not sync: nothing more is committed to it. */
  #failure: unknown = null;

  constructor(store: OrderedStore, events: IndexEvents) {
    this.#store = store;
    this.#events = events;
  }

  record(chunkId: ChunkId): ChunkRecord | null {
    return readRecord(this.#store, chunkId);
  }

  /** The block hashes of a chunk that has a record. */
  hashes(chunkId: ChunkId): Uint8Array | null {
    return this.#store.get(hashesKey(chunkId)) ?? null;
  }

  get(key: Uint8Array): Uint8Array | null {
    return this.#store.get(key) ?? null;
  }

  /** Up to `limit` records with ids after `after`, in the order of ids. */
  recordsAfter(
    after: ChunkId | null,
    limit: number,
  ): readonly { readonly chunkId: ChunkId; readonly record: ChunkRecord }[] {
    const records: { readonly chunkId: ChunkId; readonly record: ChunkRecord }[] = [];
    for (const { key, value } of this.#store.range({ ...chunkKeysAfter(after), limit })) {
      records.push({ chunkId: chunkIdOfKey(key), record: decodeChunkRecord(value) });
    }
    return records;
  }

  /** Up to `limit` chunks that have an extent in the packed file. */
  chunksInPackedFile(file: ExtentFileName, limit: number): readonly ChunkId[] {
    const chunkIds: ChunkId[] = [];
    for (const { key } of this.#store.range({ ...packedKeys(file), limit })) {
      chunkIds.push(chunkIdOfKey(key));
    }
    return chunkIds;
  }

  /** Up to `limit` chunks that are due at `nowMs` to be asked about, the oldest first. */
  unconfirmedUntil(nowMs: number, limit: number): readonly ChunkId[] {
    const chunkIds: ChunkId[] = [];
    for (const { key } of this.#store.range({ ...unconfirmedKeysUntil(nowMs), limit })) {
      chunkIds.push(chunkIdOfKey(key));
    }
    return chunkIds;
  }

  /** Up to `limit` copies that were lost and not yet reported. */
  lost(limit: number): readonly { readonly chunkId: ChunkId; readonly reason: string }[] {
    const lost: { readonly chunkId: ChunkId; readonly reason: string }[] = [];
    for (const { key, value } of this.#store.range({ ...lostKeys(), limit })) {
      lost.push({ chunkId: chunkIdOfKey(key), reason: new TextDecoder().decode(value) });
    }
    return lost;
  }

  /**
   * Applies `decide` and resolves with its result once its changes are durable. All that wait share
   * one commit. `decide` is called once, at its turn, and must not wait: nothing comes between what
   * it reads and what it changes.
   *
   * @throws {AshlarError} NO_SPACE: nothing changed; DISK_FAILED: the index must be given up.
   */
  change<T>(decide: (operation: IndexOperation) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let result: { readonly value: T } | null = null;
      this.#queue.push({
        apply: (operation) => {
          result = { value: decide(operation) };
        },
        committed: () => {
          assert(result !== null, "an operation was applied before it was committed");
          resolve(result.value);
        },
        failed: reject,
      });
      this.#draining ??= this.#drain();
    });
  }

  /** Waits for the operations under way, then closes the store. */
  async close(): Promise<void> {
    while (this.#draining !== null) await this.#draining;
    await this.#store.close();
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // Operations that are queued in the same turn share the first commit.
    while (this.#queue.length > 0) {
      await this.#commit(this.#queue.splice(0, BATCH_OPERATIONS_MAX));
    }
    this.#draining = null;
  }

  async #commit(batch: readonly Pending[]): Promise<void> {
    const overlay = new Map<ChunkId, ChunkRecord | null>();
    const recordChanges: RecordChange[] = [];
    const storeChanges: StoreChange[] = [];
    const applied: Pending[] = [];
    for (const pending of batch) {
      const staged = new Staged(this.#store, overlay);
      try {
        pending.apply(staged);
      } catch (error) {
        pending.failed(error); // What it staged is dropped with `staged`.
        continue;
      }
      staged.merge(overlay, recordChanges, storeChanges);
      applied.push(pending);
    }
    try {
      if (this.#failure !== null) throw this.#failure;
      if (storeChanges.length > 0) await this.#store.commit(storeChanges);
    } catch (error) {
      this.#onCommitFailed(error);
      for (const pending of applied) pending.failed(error);
      return;
    }
    this.#events.onCommitted(recordChanges);
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
  const value = store.get(chunkKey(chunkId));
  return value === undefined ? null : decodeChunkRecord(value);
}

/** The changes of one operation, over those of the operations before it in the same commit. */
class Staged implements IndexOperation {
  readonly #store: OrderedStore;
  readonly #before: ReadonlyMap<ChunkId, ChunkRecord | null>;
  readonly #own = new Map<ChunkId, ChunkRecord | null>();
  readonly #recordChanges: RecordChange[] = [];
  readonly #storeChanges: StoreChange[] = [];

  constructor(store: OrderedStore, before: ReadonlyMap<ChunkId, ChunkRecord | null>) {
    this.#store = store;
    this.#before = before;
  }

  record(chunkId: ChunkId): ChunkRecord | null {
    const own = this.#own.get(chunkId);
    if (own !== undefined) return own;
    const before = this.#before.get(chunkId);
    return before === undefined ? readRecord(this.#store, chunkId) : before;
  }

  put(chunkId: ChunkId, record: ChunkRecord, hashes?: Uint8Array): void {
    const before = this.record(chunkId);
    assert(before !== null || hashes !== undefined, "a new chunk comes with its hashes");
    if (hashes !== undefined) {
      const count = blockCount(record.lengthBytes);
      assert(hashes.length === count * DIGEST_BYTES, "a hash for every block");
      this.set(hashesKey(chunkId), hashes);
    }
    this.#replace(chunkId, before, record);
    this.set(chunkKey(chunkId), encodeChunkRecord(record));
  }

  remove(chunkId: ChunkId): void {
    const before = this.record(chunkId);
    assert(before !== null, "only a chunk that is there is removed");
    this.#replace(chunkId, before, null);
    this.#delete(chunkKey(chunkId));
    this.#delete(hashesKey(chunkId));
  }

  noteLost(chunkId: ChunkId, reason: string): void {
    this.set(lostKey(chunkId), new TextEncoder().encode(reason.slice(0, 200)));
  }

  forgetLost(chunkId: ChunkId): void {
    this.#delete(lostKey(chunkId));
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#storeChanges.push({ key, value });
  }

  /** Adds what was staged to the commit. */
  merge(
    overlay: Map<ChunkId, ChunkRecord | null>,
    recordChanges: RecordChange[],
    storeChanges: StoreChange[],
  ): void {
    for (const [chunkId, record] of this.#own) overlay.set(chunkId, record);
    recordChanges.push(...this.#recordChanges);
    storeChanges.push(...this.#storeChanges);
  }

  #replace(chunkId: ChunkId, before: ChunkRecord | null, after: ChunkRecord | null): void {
    for (const key of before === null ? [] : derivedKeys(chunkId, before)) this.#delete(key);
    for (const key of after === null ? [] : derivedKeys(chunkId, after)) {
      this.set(key, new Uint8Array(0));
    }
    this.#own.set(chunkId, after);
    this.#recordChanges.push({ chunkId, before, after });
  }

  #delete(key: Uint8Array): void {
    this.#storeChanges.push({ key, value: null });
  }
}

/** The keys of P and U that a record stands for. */
function derivedKeys(chunkId: ChunkId, record: ChunkRecord): readonly Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (const { file } of record.extents) {
    if (isPacked(file)) keys.push(packedKey(file, chunkId));
  }
  if (record.confirmDueMs > 0) keys.push(unconfirmedKey(record.confirmDueMs, chunkId));
  return keys;
}
