import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore, OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import { ChunkIndex, type RecordChange } from "./chunk-index.ts";
import { sameExtents } from "./chunk-record.ts";
import { ChunkStore } from "./chunk-store.ts";
import { ChunkTotals } from "./chunk-totals.ts";
import { DiskHealth } from "./disk-health.ts";
import { DiskLanes } from "./disk-lanes.ts";
import { ExtentFiles } from "./extent-files.ts";
import {
  type DiskIdentity,
  EXTENTS_DIRECTORY,
  type ExpectedIdentity,
  INDEX_NAME,
  openIdentity,
  writeIdentity,
} from "./identity.ts";
import { IDENTITY_KEY } from "./index-keys.ts";
import { LimitedDisk } from "./limited-disk.ts";
import { LossReports } from "./loss-reports.ts";
import { PackedFiles } from "./packed-files.ts";
import { recover } from "./recover.ts";
import { Reserve } from "./reserve.ts";
import { RetentionDirectory } from "./retention-directory.ts";
import type { StoreDeps } from "./store-deps.ts";
import { UnreadableCopies } from "./unreadable-copies.ts";

const QUARANTINE = { path: "quarantine", filesMax: 64, keepMs: 30 * 24 * 3_600_000 };
const GARBAGE = { path: "garbage", filesMax: 1024, keepMs: 24 * 3_600_000 };

/** Dependencies of `openChunkStore`, and the limits of the store. */
export interface StoreOptions {
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: Hasher;
  readonly log: Log;
  readonly expected: ExpectedIdentity;
  /** Returns the free space that new chunks must leave on a disk of `totalBytes`. */
  readonly reserveBytesFor: (totalBytes: number) => number;
  /** Time in milliseconds after which an operation of the disk hangs. */
  readonly diskTimeoutMs: number;
}

/**
 * Opens the chunk store in a data directory, or creates one in an empty directory.
 *
 * @throws {AshlarError} WRONG_IDENTITY, STORE_CORRUPT, VERSION_MISMATCH with a hint if the
 *   directory does not match its identity. An emptied disk is an error, never an empty inventory.
 */
export async function openChunkStore(storeOptions: StoreOptions): Promise<ChunkStore> {
  const { clock, log, diskTimeoutMs: timeoutMs } = storeOptions;
  let onHung = (error: AshlarError): void =>
    log.error("The disk hangs while the store is opened", { error });
  const lanes = new DiskLanes({ clock, timeoutMs, onHung: (error) => onHung(error) });
  const disk = new LimitedDisk(storeOptions.disk, lanes);
  const options = { ...storeOptions, disk };
  await disk.makeDirectory(".");
  const found = await openIdentity(options, options.expected);
  const store = await openIndexStore(options.stores);
  try {
    const identity = await joinIndex(disk, store, found);
    const totals = new ChunkTotals();
    const deps = makeDeps(options, store, { identity, totals, lanes });
    onHung = (error) => deps.health.fail(error);
    await Promise.all([deps.quarantine.prepare(), deps.garbage.prepare()]);
    await recover(deps, totals);
    return new ChunkStore(deps, identity, totals);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function openIndexStore(stores: OrderedStores): Promise<OrderedStore> {
  try {
    return await stores.open(INDEX_NAME);
  } catch (cause) {
    if (!isAshlarError(cause, "STORE_CORRUPT")) throw cause;
    throw new AshlarError("STORE_CORRUPT", "Cannot open the chunk index: it is corrupt", {
      cause,
      hint: "Move the data directory away and start with an empty one: the cluster makes new replicas",
    });
  }
}

/**
 * Verifies that the index belongs to the identity. At the first start it writes the server id into
 * the index, then `isIndexMade` into the identity. An index without a server id next to an identity
 * with `isIndexMade` is foreign or was emptied.
 */
async function joinIndex(
  disk: Disk,
  store: OrderedStore,
  identity: DiskIdentity,
): Promise<DiskIdentity> {
  const recorded = store.get(IDENTITY_KEY);
  const owner = recorded === undefined ? null : new TextDecoder().decode(recorded);
  if (owner === null && identity.isIndexMade) {
    throw new AshlarError(
      "STORE_CORRUPT",
      `Cannot use the chunk index: expected the index of server ${identity.serverId}: it is empty`,
      { hint: "Restore the index, or move the data directory away and start with an empty one" },
    );
  }
  if (owner !== null && owner !== identity.serverId) {
    throw new AshlarError(
      "WRONG_IDENTITY",
      `Cannot use the chunk index: expected the index of server ${identity.serverId}: it belongs to ${owner}`,
      { hint: "The directory mixes the files of two servers: restore the files of one of them" },
    );
  }
  if (identity.isIndexMade) return identity;
  const value = new TextEncoder().encode(identity.serverId);
  if (owner === null) await store.commit([{ key: IDENTITY_KEY, value }]);
  await disk.makeDirectory(EXTENTS_DIRECTORY);
  const joined: DiskIdentity = { ...identity, isIndexMade: true };
  await writeIdentity(disk, joined);
  return joined;
}

function makeDeps(
  options: StoreOptions,
  store: OrderedStore,
  state: {
    readonly identity: DiskIdentity;
    readonly totals: ChunkTotals;
    readonly lanes: DiskLanes;
  },
): StoreDeps {
  const { disk, clock, hasher, log, reserveBytesFor } = options;
  const { serverId } = state.identity;
  const reserve = new Reserve({ disk, clock, log, serverId, reserveBytesFor });
  const health = new DiskHealth({ log, clock }, reserve);
  const unreadable = new UnreadableCopies(clock);
  const files = new ExtentFiles({
    disk,
    onSyncFailed: (error) => health.fail(error),
    onWriteFailed: (error) => health.noteWriteFailure(error),
  });
  const packed = new PackedFiles(files);
  const index = new ChunkIndex(store, {
    runCommit: (commit) => state.lanes.run("commit", "commit to the chunk index", commit),
    requireWritable: () => health.requireWritable(),
    onCommitted: (changes) => {
      for (const change of changes) {
        state.totals.onCommitted(change);
        packed.onCommitted(change);
        if (bytesChanged(change)) unreadable.forget(change.chunkId);
      }
    },
    onLost: (chunkId, intentIndex) => losses.note(chunkId, intentIndex),
    onFailed: (error) => health.fail(error),
    onFull: (error) => reserve.noteFull(error),
  });
  const losses = new LossReports(index, clock);
  const quarantine = new RetentionDirectory({ ...QUARANTINE, disk, clock });
  const garbage = new RetentionDirectory({ ...GARBAGE, disk, clock });
  return {
    ...{ disk, clock, hasher, log, index, losses, unreadable, files, packed, reserve },
    ...{ quarantine, garbage, health },
  };
}

/** Returns whether the record was removed, or refers to other bytes. */
function bytesChanged({ before, after }: RecordChange): boolean {
  return before === null || after === null || !sameExtents(before, after);
}
