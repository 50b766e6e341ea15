import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { foundingRecord } from "../../../master/driver/open-driver.ts";
import { hashRows } from "../../../master/namespace/durable.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { Namespace } from "../../../master/namespace/namespace.ts";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import { type RestoreResult, restoreBackup } from "../../../master/storage/restore-backup.ts";
import { toHex } from "../../../shared/base/bytes.ts";
import type { ClusterId, MemberId } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { KeyValue } from "../../../shared/ports/ordered-store.ts";
import type { BackupHead } from "../../../shared/protocol/backup-api.ts";
import { BackupReader } from "../../../shared/protocol/backup-file.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { at, BOOTSTRAP, hasher, inline, OWNER, TestStateMachine } from "../namespace/harness.ts";
import { backupFile } from "../namespace/restored-machine.ts";

const CLUSTER = BOOTSTRAP.clusterId;
const MEMBERS = [1, 2, 3] as MemberId[];
const ALL = { start: Uint8Array.of(0), end: Uint8Array.of(255) };
/** Time of the first restore. */
const RESTORED_MS = Date.UTC(2026, 5, 1);
const HOUR_MS = 3_600_000;

/** Creates a state with some files, and the head and rows of its backup. */
async function source(): Promise<{
  machine: TestStateMachine;
  head: BackupHead;
  rows: KeyValue[];
}> {
  const machine = await TestStateMachine.make();
  for (let file = 0; file < 40; file += 1) {
    machine.run({
      kind: "put",
      target: at(`/f${file}`),
      content: inline(`text ${file}`),
      replace: false,
      ...OWNER,
    });
  }
  await machine.namespace.flush();
  const { index, term } = machine.namespace.durable;
  const { stateHash } = machine.namespace.durableMark;
  const head = { clusterId: CLUSTER, index, term, createdMs: 1, featureLevel: 1, stateHash };
  return { machine, head, rows: [...machine.store.range(ALL)] };
}

const fileOf = (head: BackupHead, rows: readonly KeyValue[]): Promise<Uint8Array> =>
  backupFile({ head, rows });

/** The data directory of one member. */
class Directory {
  readonly memory = new MemoryDisk();
  readonly disk = this.memory.mount();
  readonly stores = new MemoryStores();
  readonly random: SeededRandom;
  readonly log = new MemoryLog();

  constructor(seed = 7) {
    this.random = new SeededRandom(seed);
  }

  /** Returns the rows of the restored state, and its namespace. */
  async read(): Promise<{ rows: KeyValue[]; namespace: Namespace }> {
    const { states, log } = await this.open();
    const { store } = await states.openCurrent();
    await log.close();
    return { rows: [...store.range(ALL)], namespace: Namespace.open({ store, hasher }) };
  }

  async restore(
    bytes: Uint8Array,
    given: { memberId?: number; clusterId?: ClusterId; restoreId?: string; nowMs?: number } = {},
  ): Promise<RestoreResult> {
    const elsewhere = new MemoryDisk().mount();
    await elsewhere.writeFileDurably("backup", bytes);
    const { disk, stores, random, log } = this;
    const deps = { disk, stores, random, log, hasher };
    const file = await elsewhere.open("backup", "read");
    const membership = foundingRecord(MEMBERS);
    const { memberId = 1, clusterId = CLUSTER, restoreId, nowMs = RESTORED_MS } = given;
    return restoreBackup({
      ...{ ...deps, restoreId, clock: { wallMs: () => nowMs } },
      clusterId,
      memberId: memberId as MemberId,
      membership,
      file,
    });
  }

  open(memberId = 1): ReturnType<typeof openMemberStorage> {
    const { disk, stores, random, log } = this;
    return openMemberStorage({
      ...{ disk, stores, random, log, hasher, clusterId: CLUSTER, founders: MEMBERS },
      memberId: memberId as MemberId,
      segmentBytes: 1024 * 1024,
      cacheBytes: 1024 * 1024,
      keptBytes: 1024 * 1024,
    });
  }
}

describe("a master's directory that is restored from a backup", () => {
  it("contains every file, at an index and a term above those of the backup", async () => {
    const { machine, head, rows } = await source();
    const directory = new Directory();
    const restored = await directory.restore(await fileOf(head, rows));
    assert.ok(restored.index > head.index && restored.term > head.term);
    const { states, log } = await directory.open();
    const { store } = await states.openCurrent();
    const namespace = Namespace.open({ store, hasher });
    assert.equal(namespace.durable.index, restored.index);
    for (let file = 0; file < 40; file += 1) {
      const target = at(`/f${file}`);
      assert.deepEqual(namespace.stat(target), machine.namespace.stat(target));
    }
    const before = machine.namespace.clusterFacts();
    const facts = namespace.clusterFacts();
    assert.notDeepEqual(facts?.chunkKey, before?.chunkKey, "old receipts are invalid");
    assert.deepEqual({ ...facts, chunkKey: null }, { ...before, chunkKey: null });
    assert.equal(toHex(namespace.durableMark.stateHash), toHex(hashRows(store).bytes()));
    assert.equal(
      namespace.oldestFeedIndex(),
      restored.index + 1,
      "a watcher cannot continue across the restore",
    );
    await log.close();
  });

  it("has its state if the file that names it is lost before the first start", async () => {
    const { head, rows } = await source();
    const directory = new Directory();
    const restored = await directory.restore(await fileOf(head, rows));
    await directory.disk.remove("current.json");
    const { states, log } = await directory.open();
    assert.equal(states.isLogResetPending, true);
    const { store } = await states.openCurrent();
    assert.equal(Namespace.open({ store, hasher }).durable.index, restored.index);
    await log.close();
  });

  it("has the same state for every member with the id of the restore, and can be restored again", async () => {
    const { head, rows } = await source();
    const bytes = await fileOf(head, rows);
    const seen: KeyValue[][] = [];
    const { restoreId } = await new Directory().restore(bytes);
    for (const memberId of [1, 2]) {
      const directory = new Directory(memberId);
      const nowMs = RESTORED_MS + memberId * HOUR_MS;
      assert.equal(
        (await directory.restore(bytes, { memberId, restoreId, nowMs })).restoreId,
        restoreId,
      );
      const { states, log } = await directory.open(memberId);
      const { store } = await states.openCurrent();
      seen.push([...store.range(ALL)]);
      const { index, term } = Namespace.open({ store, hasher }).durable;
      const { stateHash } = Namespace.open({ store, hasher }).durableMark;
      await log.close();
      const second = await fileOf({ ...head, index, term, stateHash }, [...store.range(ALL)]);
      const again = await new Directory(9).restore(second);
      assert.ok(again.index > index && again.term > term, "although the time is the same");
      assert.notEqual(again.restoreId, restoreId);
    }
    assert.deepEqual(seen[0], seen[1]);
  });

  it("has nothing in common with another restore, also of the same backup", async () => {
    const { head, rows } = await source();
    const bytes = await fileOf(head, rows);
    const lives: { index: number; term: number; restoreId: string; chunkKey: string }[] = [];
    // The clock of the last two is wrong.
    for (const [seed, nowMs] of [RESTORED_MS, RESTORED_MS + 1_000, 0, 0].entries()) {
      const directory = new Directory(seed + 1);
      const { index, term, restoreId } = await directory.restore(bytes, { nowMs });
      assert.ok(index > head.index && term > head.term);
      const { namespace } = await directory.read();
      const { chunkKey } = namespace.clusterFacts() ?? {};
      lives.push({ index, term, restoreId, chunkKey: toHex(chunkKey ?? new Uint8Array()) });
    }
    for (const field of ["index", "restoreId", "chunkKey"] as const) {
      assert.equal(new Set(lives.map((life) => life[field])).size, lives.length, field);
    }
    const [first, second] = lives;
    assert.ok(first !== undefined && second !== undefined);
    assert.ok(second.index > first.index + 500_000, "more than the first life can use in a second");
    assert.ok(second.term > first.term);
  });

  it("is above the backup of a cluster whose clock was ahead", async () => {
    const { head, rows } = await source();
    const createdMs = Date.UTC(2090, 0, 1);
    const ahead = await new Directory().restore(await fileOf({ ...head, createdMs }, rows));
    const again = await new Directory(8).restore(
      await fileOf({ ...head, index: ahead.index, term: ahead.term }, rows),
    );
    assert.ok(again.index > ahead.index + 2 ** 39);
    assert.ok(again.term > ahead.term + 2 ** 31);
  });

  it("has no session of the backup, so no outcome of a mutation that is not in it", async () => {
    const { machine, head, rows } = await source();
    const { sessionId } = machine;
    assert.ok(machine.namespace.hasSession(sessionId));
    const directory = new Directory();
    await directory.restore(await fileOf(head, rows));
    const { namespace, rows: restored } = await directory.read();
    assert.ok(!namespace.hasSession(sessionId));
    const tables = new Set(restored.map(({ key }) => String.fromCharCode(key[0] ?? 0)));
    assert.ok(!tables.has("s") && !tables.has("o"));
  });

  it("is refused with an id that is none", async () => {
    const { head, rows } = await source();
    const bytes = await fileOf(head, rows);
    for (const restoreId of ["", "1234", "X".repeat(32)]) {
      await assert.rejects(new Directory().restore(bytes, { restoreId }), {
        code: "INVALID_ARGUMENT",
      });
    }
  });

  it("is created only if it is empty", async () => {
    const { head, rows } = await source();
    const bytes = await fileOf(head, rows);
    const directory = new Directory();
    await directory.restore(bytes);
    await assert.rejects(directory.restore(bytes), { code: "ALREADY_EXISTS" });
    await (await directory.open()).log.close();
  });

  it("cannot be used after an interrupted restore", async () => {
    const { head, rows } = await source();
    const bytes = await fileOf(head, rows);
    const directory = new Directory();
    await assert.rejects(directory.restore(bytes.slice(0, bytes.length >> 1)), {
      code: "STORE_CORRUPT",
    });
    await assert.rejects(directory.open(), { code: "WRONG_IDENTITY" });
  });

  it("is not created for another cluster, nor from a newer format", async () => {
    const { head, rows } = await source();
    const other = "d".repeat(32) as ClusterId;
    const bytes = await fileOf(head, rows);
    await assert.rejects(new Directory().restore(bytes, { clusterId: other }), {
      code: "WRONG_CLUSTER",
    });
    const newer = await fileOf({ ...head, featureLevel: FEATURE_LEVEL_MAX + 1 }, rows);
    await assert.rejects(new Directory().restore(newer), { code: "VERSION_MISMATCH" });
    const format = bytes.slice();
    format[8] = 2;
    await assert.rejects(new Directory().restore(format), { code: "VERSION_MISMATCH" });
  });
});

describe("a backup file", () => {
  it("is refused if any bit was changed or if it is truncated", async () => {
    const { head, rows } = await source();
    const bytes = await fileOf(head, rows);
    const random = new SeededRandom(11);
    for (let round = 0; round < 150; round += 1) {
      const offset = random.integer(bytes.length);
      const damaged = bytes.slice();
      damaged[offset] = (damaged[offset] ?? 0) ^ (1 << random.integer(8));
      await assert.rejects(readAll(damaged), `a bit at ${offset}`);
      await assert.rejects(readAll(bytes.slice(0, offset)), `cut at ${offset}`);
    }
    await assert.rejects(readAll(Uint8Array.from([...bytes, 0])), { code: "STORE_CORRUPT" });
    assert.equal(await readAll(bytes), rows.length);
  });

  it("is refused if its rows do not match the state hash, although every checksum is valid", async () => {
    const { head, rows } = await source();
    const changed = rows.map((row, position) =>
      position === 5 ? { key: row.key, value: Uint8Array.from([...row.value, 0]) } : row,
    );
    await assert.rejects(readAll(await fileOf(head, changed)), { code: "STATE_DIVERGED" });
    const lost = rows.filter((_, position) => position !== 20);
    await assert.rejects(readAll(await fileOf(head, lost)), { code: "STATE_DIVERGED" });
    const twice = [...rows.slice(0, 6), rows[5] as KeyValue, ...rows.slice(6)];
    await assert.rejects(readAll(await fileOf(head, twice)), { code: "STORE_CORRUPT" });
  });
});

/** Reads the whole file. @returns the number of its rows. */
async function readAll(bytes: Uint8Array): Promise<number> {
  const disk = new MemoryDisk().mount();
  await disk.writeFileDurably("backup", bytes);
  const reader = new BackupReader(await disk.open("backup", "read"), hasher);
  const head = await reader.head();
  let count = 0;
  for await (const rows of reader.parts(head)) count += rows.length;
  return count;
}
