import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { RestoredState } from "../../../master/namespace/restored-state.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { KeyValue } from "../../../shared/ports/ordered-store.ts";
import type { BackupHead } from "../../../shared/protocol/backup-api.ts";
import { BackupWriter } from "../../../shared/protocol/backup-file.ts";
import { encodePairs } from "../../../shared/protocol/pairs.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { BOOTSTRAP, hasher, TestStateMachine } from "./harness.ts";

/** A restore id with the time of a week, a day and some hours after the beginning of 2026. */
export const RESTORE_ID = `${(700_000).toString(16).padStart(8, "0")}${"a1".repeat(12)}`;
/** The id of a restore an hour later. */
export const LATER_RESTORE_ID = `${(703_600).toString(16).padStart(8, "0")}${"b2".repeat(12)}`;

/** A backup of a state: its head and its rows. */
export interface TestBackup {
  readonly head: BackupHead;
  readonly rows: readonly KeyValue[];
}

/** Returns a backup of the state of `machine`. */
export async function backupOf(
  machine: TestStateMachine,
  featureLevel = FEATURE_LEVEL_MAX,
): Promise<TestBackup> {
  await machine.namespace.flush();
  const { index, term, stateHash } = machine.namespace.durable;
  const { clusterId } = BOOTSTRAP;
  const rows = [...machine.store.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) })];
  return { head: { clusterId, index, term, createdMs: 1, featureLevel, stateHash }, rows };
}

/** Returns the state of masters that were restored from a backup. */
export async function restoredFrom(
  { head, rows }: TestBackup,
  restoreId = RESTORE_ID,
): Promise<TestStateMachine> {
  const state = new RestoredState(head, hasher, restoreId);
  const store = await new MemoryStores().open("state");
  await store.commit([...state.convertRows(rows), ...state.finish(new Uint8Array())]);
  return TestStateMachine.empty(store);
}

/** Returns the bytes of the file of a backup, in parts of ten rows. */
export async function backupFile({ head, rows }: TestBackup): Promise<Uint8Array> {
  const disk = new MemoryDisk().mount();
  const file = await disk.open("backup", "create");
  const writer = new BackupWriter(file, hasher);
  await writer.begin(head);
  for (let first = 0; first < rows.length; first += 10) {
    const part = rows.slice(first, first + 10);
    await writer.part(encodePairs(part), part.length);
  }
  await writer.end();
  await file.close();
  return disk.readFile("backup");
}
