import { statSync } from "node:fs";
import type { Transaction } from "lmdb";
import { assert } from "../base/assert.ts";
import { AshlarError } from "../base/errors.ts";
import type { Disk, DiskFile } from "../ports/disk.ts";
import type {
  KeyValue,
  OrderedStore,
  OrderedStores,
  RangeOptions,
  StoreChange,
  StoreSnapshot,
} from "../ports/ordered-store.ts";
import { convertStore } from "./lmdb-convert.ts";
import { type Database, openDatabase } from "./lmdb-database.ts";
import { lmdbCommitError } from "./lmdb-error.ts";
import { inspectStore, NEW_STORE_BYTES, withOpeningMarker } from "./lmdb-inspect.ts";
import { LOCK_BYTES, withLockInMemory } from "./lmdb-lock.ts";
import { availableBytesOf, RESERVE_BYTES } from "./lmdb-space.ts";
import { NodeDisk } from "./node-disk.ts";
import { type RangeRest, rangeInBatches } from "./range-batches.ts";
import { checkChanges, checkStoreName } from "./store-check.ts";

/** Smallest key of LMDB. In the port, an empty `start` means the beginning of the store. */
const FIRST_KEY = Uint8Array.of(0);

/** Removals may use most of the reserve. Otherwise a full store could not be emptied. */
const REMOVAL_RESERVE_BYTES = 1024 * 1024;
/**
 * Estimated bytes per change besides key and value: LMDB rewrites whole pages and their ancestors.
 */
const CHANGE_OVERHEAD_BYTES = 64;

/** LMDB environments, each in its own directory below `path`. */
export class LmdbStores implements OrderedStores {
  readonly #path: string;
  readonly #disk: NodeDisk;
  /** Open stores. Opening an environment twice in one process corrupts it (LMDB, "Caveats"). */
  readonly #openNames = new Set<string>();

  readonly #onConvert: (path: string) => void;

  /** @param onConvert called before a store of version 0.1.0 is converted, which may take minutes */
  constructor(path: string, onConvert: (path: string) => void = () => {}) {
    this.#path = path;
    this.#onConvert = onConvert;
    this.#disk = new NodeDisk(path);
  }

  async open(name: string): Promise<OrderedStore> {
    checkStoreName(name);
    assert(!this.#openNames.has(name), `a store is open once: ${name}`);
    this.#openNames.add(name);
    try {
      await this.#disk.makeDirectory(name);
      const path = `${this.#path}/${name}`;
      const found = await inspectStore(path);
      if (found === "damaged") {
        throw new AshlarError("STORE_CORRUPT", `Cannot open the store ${path}: it is damaged`);
      }
      if (found === "new") await probeFirstWrites(this.#disk, name);
      if (found === "foreign-list") {
        this.#onConvert(path);
        await convertStore(this.#disk, path, name);
      }
      const database = await withOpeningMarker(path, () =>
        withLockInMemory(path, () => openDatabase(path)),
      );
      await this.#disk.syncDirectory(name);
      return new LmdbStore(database, {
        path,
        onClose: () => this.#openNames.delete(name),
      });
    } catch (error) {
      this.#openNames.delete(name);
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    checkStoreName(name);
    assert(!this.#openNames.has(name), `an open store is not removed: ${name}`);
    await this.#disk.makeDirectory(".");
    await this.#disk.removeTree(name);
    await this.#disk.syncDirectory(".");
  }

  async list(): Promise<readonly string[]> {
    await this.#disk.makeDirectory(".");
    const entries = await this.#disk.list(".");
    return entries.filter((entry) => entry.kind === "directory").map((entry) => entry.name);
  }
}

/**
 * Probes the writes with which lmdb creates a store. If one of them is refused, lmdb ends the
 * process (seen with 3.5.6: SIGSEGV after EIO and ENOSPC, SIGBUS if the mapped lock file has no
 * blocks).
 *
 * @throws {AshlarError} NO_SPACE, DISK_FAILED
 */
async function probeFirstWrites(disk: Disk, name: string): Promise<void> {
  await withFile(disk, `${name}/lock.mdb`, async (file) => {
    await file.write([new Uint8Array(LOCK_BYTES)], 0); // Stays: lmdb uses an existing lock file.
  });
  await withFile(disk, `${name}/data.mdb`, async (file) => {
    await file.write([new Uint8Array(NEW_STORE_BYTES)], 0);
    await file.truncate(0); // Otherwise lmdb would treat the zeros as a damaged store.
  });
}

/** Calls `use` with a file. Creates the file if it does not exist. */
async function withFile(
  disk: Disk,
  path: string,
  use: (file: DiskFile) => Promise<void>,
): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf("/"));
  const names = (await disk.list(directory)).map((entry) => entry.name);
  const exists = names.includes(path.slice(directory.length + 1));
  const file = await disk.open(path, exists ? "read-write" : "create");
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

/** Maximum number of states that snapshots read at the same time: half of the places of LMDB. */
const READERS_MAX = 64;

interface StoreOptions {
  readonly path: string;
  readonly onClose: () => void;
}

class LmdbStore implements OrderedStore {
  readonly #database: Database;
  readonly #path: string;
  readonly #options: StoreOptions;
  readonly #snapshots = new Set<LmdbSnapshot>();
  /** The read transactions of the open snapshots. Those without a commit between them share one. */
  readonly #readers = new Set<SharedReader>();
  /** The reader that was opened since the last commit. */
  #currentReader: SharedReader | null = null;
  #state: "open" | "failed" | "closed" = "open";
  #committing = false;

  constructor(database: Database, options: StoreOptions) {
    this.#database = database;
    this.#path = options.path;
    this.#options = options;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    assert(this.#state !== "closed", "a closed store is not used");
    return getValue(this.#database, key);
  }

  read<Value>(key: Uint8Array, decode: (bytes: Uint8Array) => Value): Value | undefined {
    assert(this.#state !== "closed", "a closed store is not used");
    // The value is in a buffer of lmdb that the next read overwrites. This saves a copy.
    const found = this.#database.getBinaryFast(key);
    if (found === undefined) return undefined;
    return decode(new Uint8Array(found.buffer, found.byteOffset, found.length));
  }

  range(options: RangeOptions): Iterable<KeyValue> {
    return rangeInBatches(options, (rest) => {
      assert(this.#state !== "closed", "a closed store is not used");
      return readRange(this.#database, rest);
    });
  }

  async commit(changes: readonly StoreChange[]): Promise<void> {
    assert(this.#state !== "closed", "a closed store is not used");
    assert(!this.#committing, "a store has one commit at a time");
    // Checked before the batch: lmdb commits the changes before an exception inside a batch.
    checkChanges(changes);
    if (this.#state === "failed") {
      throw new AshlarError(
        "DISK_FAILED",
        `Cannot commit to ${this.#path}: an earlier commit failed`,
      );
    }
    if (changes.length === 0) return;
    this.#committing = true;
    try {
      this.#checkSpace(changes);
      const committed = await this.#writeBatch(changes);
      assert(committed, "a batch without conditions is committed or fails");
      this.#currentReader = null;
    } catch (error) {
      const isFull = availableBytesOf(this.#path) < RESERVE_BYTES;
      const failure = await lmdbCommitError({ path: this.#path, isFull }, error);
      if (failure.code !== "NO_SPACE") this.#state = "failed";
      throw failure;
    } finally {
      this.#committing = false;
    }
  }

  snapshot(): StoreSnapshot {
    assert(this.#state !== "closed", "a closed store is not used");
    const reader = this.#reader();
    reader.users += 1;
    const snapshot = new LmdbSnapshot(this.#database, reader.transaction, () => {
      this.#snapshots.delete(snapshot);
      reader.users -= 1;
      if (reader.users === 0) this.#closeReader(reader);
    });
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  #reader(): SharedReader {
    if (this.#currentReader !== null) return this.#currentReader;
    if (this.#readers.size >= READERS_MAX) {
      throw new AshlarError(
        "OVERLOADED",
        `Cannot open a snapshot of the store ${this.#path}: expected at most ${READERS_MAX} states that are read at the same time`,
      );
    }
    const reader = { transaction: this.#database.useReadTransaction(), users: 0 };
    this.#readers.add(reader);
    this.#currentReader = reader;
    return reader;
  }

  #closeReader(reader: SharedReader): void {
    this.#readers.delete(reader);
    if (this.#currentReader === reader) this.#currentReader = null;
    reader.transaction.done();
  }

  sizeBytes(): number {
    return statSync(`${this.#path}/data.mdb`).size;
  }

  async close(): Promise<void> {
    assert(this.#state !== "closed", "a store is closed once");
    assert(!this.#committing, "a store is closed between commits");
    this.#state = "closed";
    for (const snapshot of this.#snapshots) snapshot.release();
    await this.#database.close();
    this.#options.onClose();
  }

  #checkSpace(changes: readonly StoreChange[]): void {
    let bytes = 0;
    for (const { key, value } of changes) {
      if (value !== null) bytes += key.length + value.length + CHANGE_OVERHEAD_BYTES;
    }
    const neededBytes = bytes === 0 ? REMOVAL_RESERVE_BYTES : bytes + RESERVE_BYTES;
    const availableBytes = availableBytesOf(this.#path);
    if (availableBytes >= neededBytes) return;
    throw new AshlarError(
      "NO_SPACE",
      `Cannot commit to the store ${this.#path}: expected ${neededBytes} free bytes: current value is ${availableBytes}`,
    );
  }

  /**
   * Uses `batch`, because the promise of `transaction` never resolved in tests
   * (docs/dependencies.md, lmdb).
   */
  #writeBatch(changes: readonly StoreChange[]): Promise<boolean> {
    const database = this.#database;
    return database.batch(() => {
      // The promise of a change settles with the batch or immediately. Only the promise of the
      // batch is relevant. Most changes return the same promise.
      let watched: Promise<boolean> | null = null;
      for (const { key, value } of changes) {
        const pending = value === null ? database.remove(key) : database.put(key, value);
        if (pending === watched) continue;
        watched = pending;
        pending.catch(() => {});
      }
    });
  }
}

/** A read transaction of LMDB, which takes one of its 126 places for readers. */
interface SharedReader {
  readonly transaction: Transaction;
  /** Number of open snapshots that use it. */
  users: number;
}

class LmdbSnapshot implements StoreSnapshot {
  readonly #database: Database;
  readonly #onRelease: () => void;
  #transaction: Transaction | null;

  constructor(database: Database, transaction: Transaction, onRelease: () => void) {
    this.#database = database;
    this.#onRelease = onRelease;
    this.#transaction = transaction;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return getValue(this.#database, key, this.#readable());
  }

  range(options: RangeOptions): Iterable<KeyValue> {
    return rangeInBatches(options, (rest) => readRange(this.#database, rest, this.#readable()));
  }

  release(): void {
    if (this.#transaction === null) return;
    this.#transaction = null;
    this.#onRelease();
  }

  #readable(): Transaction {
    assert(this.#transaction !== null, "a released snapshot is not read");
    return this.#transaction;
  }
}

function getValue(
  database: Database,
  key: Uint8Array,
  transaction?: Transaction,
): Uint8Array | undefined {
  const options = transaction === undefined ? undefined : { transaction };
  const value = database.get(key, options);
  return value === undefined ? undefined : plain(value);
}

function* readRange(
  database: Database,
  { start, end, reverse }: RangeRest,
  transaction?: Transaction,
): Generator<KeyValue, void> {
  const first = start.length === 0 ? FIRST_KEY : start;
  // In reverse, lmdb expects the upper bound as `start` and includes it by default.
  const bounds = reverse
    ? { start: end, exclusiveStart: true, end: first, inclusiveEnd: true, reverse }
    : { start: first, end };
  const entries = database.getRange(
    transaction === undefined ? bounds : { ...bounds, transaction },
  );
  for (const { key, value } of entries) yield { key, value: plain(value) };
}

/** Up to this length the engine keeps an array in its heap, until its buffer is used. */
const HEAP_ARRAY_BYTES = 64;

/** Returns the same bytes as a plain Uint8Array, as the memory store does, and not as a Buffer. */
function plain(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= HEAP_ARRAY_BYTES) return new Uint8Array(bytes);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
