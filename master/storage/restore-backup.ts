import { AshlarError } from "../../shared/base/errors.ts";
import type { ClusterId, LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Disk, DiskFile } from "../../shared/ports/disk.ts";
import type { Hasher } from "../../shared/ports/hasher.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { OrderedStore, OrderedStores } from "../../shared/ports/ordered-store.ts";
import type { Random } from "../../shared/ports/random.ts";
import type { BackupHead } from "../../shared/protocol/backup-api.ts";
import { BackupReader } from "../../shared/protocol/backup-file.ts";
import { Namespace } from "../namespace/namespace.ts";
import { drawRestoreId, parseRestoreId } from "../namespace/restore-id.ts";
import { RestoredState } from "../namespace/restored-state.ts";
import { openIdentity } from "./identity.ts";
import { beginRestore, endRestore } from "./restore-marker.ts";
import { StateStores } from "./state-stores.ts";

/** Options of `restoreBackup`. */
export interface RestoreOptions {
  /** The empty data directory of the member. */
  readonly disk: Disk;
  readonly stores: OrderedStores;
  readonly hasher: Hasher;
  readonly random: Random;
  readonly log: Log;
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly clock: Pick<Clock, "wallMs">;
  /** The id that another member of the restored cluster was restored with. Default: a new one. */
  readonly restoreId?: string | undefined;
  /** The encoded membership of the restored cluster. */
  readonly membership: Uint8Array;
  /** The backup file, open for reading. */
  readonly file: DiskFile;
}

/** Result of a restore. */
export interface RestoreResult {
  readonly head: BackupHead;
  /** First index of the restored cluster. */
  readonly index: LogIndex;
  readonly term: Term;
  /** The id with which the other members must be restored. */
  readonly restoreId: string;
}

/**
 * Creates the data directory of a master from a backup. The directory is durable when the promise
 * resolves. After a crash it is incomplete, and no master starts on it.
 *
 * The member has a new identity, an empty log and the state of the backup. At its start the log is
 * reset to the state, as after a snapshot. Members that restore the same backup with the same
 * membership and the same restore id form a group in which all have installed the same snapshot.
 *
 * @throws {AshlarError} ALREADY_EXISTS, WRONG_CLUSTER, VERSION_MISMATCH, INVALID_ARGUMENT; STORE_CORRUPT and
 *   STATE_DIVERGED if the backup is damaged; NO_SPACE, DISK_FAILED
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreResult> {
  const { clock, disk, hasher, clusterId, file, random } = options;
  const reader = new BackupReader(file, hasher);
  const head = await reader.head();
  if (head.clusterId !== clusterId) {
    throw new AshlarError(
      "WRONG_CLUSTER",
      `Cannot restore the backup: expected cluster ${clusterId}: current value is ${head.clusterId}`,
      {
        hint: "The chunkservers belong to the cluster of the backup: set its clusterId in the config",
      },
    );
  }
  const restoreId = parseRestoreId(
    options.restoreId ?? drawRestoreId(random, head, clock.wallMs()),
  );
  const state = new RestoredState(head, hasher, restoreId);
  await beginRestore(disk);
  await openIdentity(options, options);
  const states = await StateStores.open({ ...options, wasLogBegun: false });
  const { name, store } = await states.openFresh();
  try {
    await fill(store, { ...options, reader, head, state });
  } finally {
    await store.close();
  }
  await states.switchTo(name);
  await endRestore(disk);
  return { head, index: state.index, term: state.term, restoreId };
}

/** Writes the rows of the backup into `store` and checks that they are the state of a cluster. */
async function fill(
  store: OrderedStore,
  options: Pick<RestoreOptions, "hasher" | "membership"> & {
    readonly reader: BackupReader;
    readonly head: BackupHead;
    readonly state: RestoredState;
  },
): Promise<void> {
  const { reader, head, state, membership, hasher } = options;
  for await (const rows of reader.parts(head)) await store.commit(state.convertRows(rows));
  await store.commit(state.finish(membership));
  const facts = Namespace.open({ store, hasher }).clusterFacts();
  if (facts?.clusterId === head.clusterId) return;
  throw new AshlarError("STORE_CORRUPT", "Cannot restore the backup: it contains no cluster");
}
