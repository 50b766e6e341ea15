import { assert } from "../../shared/base/assert.ts";
import type { InodeId, LogIndex } from "../../shared/base/ids.ts";
import { HISTORY_RETENTION_MS_MAX } from "../../shared/protocol/history-api.ts";
import type { StorageClass } from "../../shared/protocol/namespace-api.ts";
import { INLINE_BYTES_MAX } from "../../shared/protocol/namespace-api.ts";
import type { Change } from "./change.ts";
import type {
  Bootstrap,
  ClusterFacts,
  RaiseFeatureLevel,
  RaiseIntentFloor,
  SetHistoryRetention,
} from "./command.ts";
import { putEmptyDirectory } from "./directories.ts";
import { beginEnrolment, dropOldKeys } from "./enrolment.ts";
import {
  checkFeatureLevel,
  FEATURE_LEVEL_ENROLMENT,
  FEATURE_LEVEL_FORMATS,
} from "./feature-levels.ts";
import { META_KEY, storageClassKey } from "./keys.ts";
import type { DirectoryInode } from "./records.ts";
import { refusal } from "./refusal.ts";
import { formatsAt } from "./row-formats.ts";
import { ROOT_INODE } from "./state.ts";
import { CLUSTER_FACTS, FEATURE_LEVEL, FORMATS, STORAGE_CLASSES } from "./tables.ts";

const CHUNK_KEY_BYTES = 32;
const ROOT_MODE = 0o755;

/**
 * Makes the cluster: its facts, its default storage class and the root directory, which belongs to
 * user 0 and group 0.
 *
 * @throws {Refusal} ALREADY_EXISTS, INVALID_ARGUMENT
 */
export function bootstrap(change: Change, command: Bootstrap): void {
  const { clusterFacts } = change;
  if (clusterFacts !== undefined) {
    throw refusal("cluster-exists", { clusterId: clusterFacts.clusterId });
  }
  const { clusterId, defaultClass, inlineBytesMax } = command;
  const { historyRetentionMs, intentLifetimeMs, sessionIdleMsMax } = command;
  if (command.chunkKey.length !== CHUNK_KEY_BYTES || inlineBytesMax > INLINE_BYTES_MAX) {
    throw refusal("cluster-facts", {
      keyBytes: command.chunkKey.length,
      keyBytesExpected: CHUNK_KEY_BYTES,
      inlineBytesMax,
      max: INLINE_BYTES_MAX,
    });
  }
  const facts: ClusterFacts = {
    clusterId,
    chunkKey: new Uint8Array(command.chunkKey),
    createdMs: change.nowMs,
    defaultStorageClass: defaultClass.name,
    inlineBytesMax,
    historyRetentionMs,
    ...(command.feedBytesMax === undefined ? {} : { feedBytesMax: command.feedBytesMax }),
    intentLifetimeMs,
    sessionIdleMsMax,
  };
  change.putUnversioned(CLUSTER_FACTS, META_KEY.clusterFacts, facts);
  putStorageClass(change, defaultClass);
  makeRoot(change, defaultClass.name);
}

function makeRoot(change: Change, storageClass: string): void {
  const times = { atimeMs: change.nowMs, ctimeMs: change.nowMs, version: change.index };
  const root: DirectoryInode = {
    kind: "directory",
    id: ROOT_INODE,
    parent: null,
    name: "",
    mode: ROOT_MODE,
    uid: 0,
    gid: 0,
    storageClass,
    ...times,
  };
  assert(change.totals.nextInode === ROOT_INODE, "the root is the first inode of the state");
  change.updateTotals({ nextInode: (ROOT_INODE + 1) as InodeId, directoryCount: 1 });
  change.putNewInode(root);
  putEmptyDirectory(change, root);
}

/** Makes or replaces a storage class. @throws {Refusal} INVALID_ARGUMENT */
export function putStorageClass(change: Change, storageClass: StorageClass): void {
  const { name, copies, copiesMin, racksMin } = storageClass;
  if (name === "" || copiesMin < 1 || copiesMin > copies) {
    throw refusal("class-invalid", { name, copies, copiesMin });
  }
  const record = { name, copies, copiesMin, racksMin };
  change.putUnversioned(STORAGE_CLASSES, storageClassKey(name), record);
}

/** Changes the retention of the history. @throws {Refusal} INVALID_ARGUMENT */
export function setHistoryRetention(change: Change, command: SetHistoryRetention): void {
  const { historyRetentionMs } = command;
  const { clusterFacts } = change;
  assert(clusterFacts !== undefined, "only bootstrap is applied to an empty state");
  if (historyRetentionMs < 0 || historyRetentionMs > HISTORY_RETENTION_MS_MAX) {
    const max = HISTORY_RETENTION_MS_MAX;
    throw refusal("retention-invalid", { retentionMs: historyRetentionMs, max });
  }
  const facts: ClusterFacts = { ...clusterFacts, historyRetentionMs };
  change.putUnversioned(CLUSTER_FACTS, META_KEY.clusterFacts, facts);
}

/** Raises the intent floor. A lower floor changes nothing. @throws {Refusal} INVALID_ARGUMENT */
export function raiseIntentFloor(change: Change, { floor }: RaiseIntentFloor): void {
  if (floor >= change.index) {
    throw refusal("intent-floor", { floor, index: change.index });
  }
  const intentFloor = Math.max(change.totals.intentFloor, floor) as LogIndex;
  change.updateTotals({ intentFloor });
  dropOldKeys(change, intentFloor);
}

/**
 * Raises the feature level. A lower level changes nothing.
 *
 * @throws {Refusal} INVALID_ARGUMENT
 * @throws {AshlarError} VERSION_MISMATCH if this program does not support the level. The process
 *   must stop.
 */
export function raiseFeatureLevel(change: Change, command: RaiseFeatureLevel): void {
  checkFeatureLevel(command.level);
  const raised = Math.max(change.featureLevel, command.level);
  if (raised >= FEATURE_LEVEL_ENROLMENT && change.enrolment === undefined) {
    beginEnrolment(change, command.enrolmentKey);
  }
  change.putUnversioned(FEATURE_LEVEL, META_KEY.featureLevel, raised);
  if (raised >= FEATURE_LEVEL_FORMATS) {
    change.putUnversioned(FORMATS, META_KEY.formats, formatsAt(raised));
  }
}
