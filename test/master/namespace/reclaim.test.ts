import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { countedMachine } from "./counted-machine.ts";
import {
  assertOk,
  at,
  chunksContent,
  DAY_MS,
  OWNER,
  SECOND_MS,
  sealed,
  serverId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

const createFile = (path: string): NamespaceOperation => ({
  kind: "create",
  target: at(path),
  ...OWNER,
});
const makeDirectory = (path: string): NamespaceOperation => ({
  kind: "make-directory",
  target: at(path),
  parents: true,
  ...OWNER,
});

describe("reclaim", () => {
  it("removes a tree of 10,000 entries in steps of bounded work", async () => {
    const machine = await TestStateMachine.make();
    for (let directory = 0; directory < 10; directory += 1) {
      const made = [makeDirectory(`/big/${directory}`)];
      for (let file = 0; file < 999; file += 1) made.push(createFile(`/big/${directory}/${file}`));
      machine.run(...made);
    }
    await machine.namespace.flush();
    assert.equal(machine.namespace.counters().fileCount, 9_990);

    machine.run({ kind: "remove-tree", target: at("/big") });
    const detached = machine.namespace.changedCount;
    assert.ok(detached <= 13, `the tree is detached by ${detached} records`);
    await machine.namespace.flush();

    machine.nowMs += DAY_MS;
    assert.equal(machine.reclaimAll(), 1); // This step adds the time row of an idle cluster.
    machine.nowMs += DAY_MS;
    await machine.namespace.flush();
    let steps = 0;
    while (machine.namespace.reclaimPending(machine.nowMs)) {
      assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 500 }));
      const changed = machine.namespace.changedCount;
      assert.ok(changed <= 510, `a step changed ${changed} records`);
      await machine.namespace.flush();
      steps += 1;
    }
    // The same steps also drop the events of the feed.
    assert.ok(steps >= 60 && steps < 75, `${steps} steps`);
    assert.equal(machine.namespace.counters().fileCount, 0);
    assert.equal(machine.namespace.counters().directoryCount, 1);
  });

  it("removes a deep tree in bounded steps", async () => {
    const machine = await TestStateMachine.make();
    machine.run(makeDirectory("/d".repeat(2_000)));
    machine.run({ kind: "remove-tree", target: at("/d") });
    machine.expireAndReclaim(100);
    await machine.namespace.flush();
    checkInvariants(machine.store);
    assert.equal(machine.namespace.counters().directoryCount, 1);
  });

  it("makes progress with steps of one record", async () => {
    const machine = await TestStateMachine.make();
    const content = chunksContent(sealed("a"), sealed("b"), sealed("a"));
    machine.run(makeDirectory("/d/e"), createFile("/d/f"));
    machine.run({ kind: "put", target: at("/d/e/g"), content, replace: true, ...OWNER });
    machine.run({ kind: "remove-tree", target: at("/d") });
    machine.expireAndReclaim(1);
    await machine.namespace.flush();
    checkInvariants(machine.store);
    assert.equal(machine.namespace.counters().chunkCount, 0);
    assert.equal(machine.namespace.purgesOf(serverId("s1"), 10).length, 2);
  });

  it("reads each row a few times, however many deleted rows are not flushed yet", async () => {
    const { machine, count } = await countedMachine();
    const filesMax = 600;
    for (let file = 0; file < filesMax; file += 1) machine.run(createFile(`/${file}`));
    for (let file = 0; file < filesMax; file += 1) {
      machine.nowMs += 5;
      machine.run({ kind: "unlink", target: at(`/${file}`) });
    }
    await machine.namespace.flush();
    const { result: steps, rows } = count(() => machine.expireAndReclaim(50));
    assert.equal(machine.namespace.counters().historyVersions, 0);
    // Events, rows of the queue, inodes: 2 + 3 + 1. A step reads some rows of the queue that it leaves.
    assert.ok(steps > 80, `${steps} steps`);
    assert.ok(rows < 40 * filesMax, `${rows} rows`);
  });

  it("needs few rows to find out whether it is pending", async () => {
    const { machine, count } = await countedMachine();
    for (let file = 0; file < 200; file += 1) {
      machine.run(createFile(`/${file}`));
      machine.nowMs += SECOND_MS;
    }
    await machine.namespace.flush();
    for (const nowMs of [machine.nowMs, machine.nowMs + DAY_MS - 100 * SECOND_MS]) {
      const { result, rows } = count(() => machine.namespace.reclaimPending(nowMs));
      assert.equal(result, nowMs > machine.nowMs);
      assert.ok(rows < 50, `${rows} rows`);
    }
  });

  it("reads no rows for the purges of a server while none is pending", async (test) => {
    const machine = await TestStateMachine.make();
    const range = test.mock.method(machine.store, "range");
    assert.deepEqual(machine.namespace.purgesOf(serverId("s1"), 10), []);
    assert.equal(range.mock.callCount(), 0);
    const content = chunksContent(sealed("a"));
    machine.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER });
    machine.run({ kind: "unlink", target: at("/f") });
    machine.expireAndReclaim(100);
    assert.equal(machine.namespace.purgesOf(serverId("s1"), 10).length, 1);
  });

  it("is pending only if a step would change something, also in an idle cluster", async () => {
    const machine = await TestStateMachine.make();
    const { namespace } = machine;
    assert.ok(!namespace.reclaimPending(machine.nowMs + 10 * DAY_MS));
    machine.run(createFile("/f"));
    machine.run({ kind: "unlink", target: at("/f") });
    assert.ok(!namespace.reclaimPending(machine.nowMs));

    // No other entry adds a time row after the removal, so one reclaim step adds the row.
    machine.nowMs += DAY_MS;
    assert.ok(namespace.reclaimPending(machine.nowMs));
    assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 100 }));
    assert.ok(!namespace.reclaimPending(machine.nowMs));

    machine.nowMs += DAY_MS;
    assert.ok(namespace.reclaimPending(machine.nowMs));
    assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 100 }));
    for (let day = 0; day < 10; day += 1) {
      assert.ok(!namespace.reclaimPending(machine.nowMs + day * DAY_MS));
    }
  });

  it("keeps a chunk that one of two files still references", async () => {
    const machine = await TestStateMachine.make();
    const content = chunksContent(sealed("a"));
    machine.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER });
    const copy = { kind: "copy", replace: false, preserve: false, uid: 0, gid: 0 } as const;
    machine.run({ ...copy, from: at("/f"), to: at("/g") });
    machine.run({ kind: "unlink", target: at("/f") });
    machine.expireAndReclaim();
    const part = machine.namespace.locate(at("/g"), { firstPosition: 0, count: 1 });
    assert.equal(part.chunks[0]?.replicas.length, 3);
    assert.equal(machine.namespace.counters().purgesPending, 0);
  });

  it("reclaims the oldest versions above versionsMax in bounded steps", async () => {
    const machine = await TestStateMachine.make();
    const { namespace } = machine;
    const indexes: LogIndex[] = [];
    for (let version = 0; version < 200; version += 1) {
      const content = chunksContent(sealed(`v${version}`, { intentIndex: machine.index }));
      indexes.push(
        machine.run({ kind: "put", target: at("/f"), content, replace: true, ...OWNER }),
      );
    }
    // A replaced version has two rows in the queue: its inode record and its content.
    assert.equal(namespace.counters().historyVersions, 398);
    assert.ok(!namespace.reclaimPending(machine.nowMs, 398));
    await namespace.flush();
    let steps = 0;
    while (namespace.reclaimPending(machine.nowMs, 100)) {
      const bounds = { recordsMax: 40, versionsMax: 100 };
      assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, ...bounds }));
      assert.ok(namespace.changedCount <= 80, `a step changed ${namespace.changedCount} records`);
      await namespace.flush();
      checkInvariants(machine.store);
      steps += 1;
    }
    assert.ok(steps > 10, `${steps} steps`);
    assert.ok(namespace.counters().historyVersions <= 100);
    assert.ok(namespace.counters().historyVersions >= 90, "only versions above the bound are gone");
    const chunksAt = (index: LogIndex | undefined) =>
      namespace.locate(at("/f"), { firstPosition: 0, count: 1 }, index).chunks.length;
    assert.throws(() => chunksAt(indexes[100]), { code: "INDEX_EXPIRED" });
    assert.equal(chunksAt(indexes[150]), 1);
    assert.equal(chunksAt(undefined), 1);
  });

  it("reclaims nothing during the retention", async () => {
    const machine = await TestStateMachine.make();
    machine.run(createFile("/f"));
    machine.run({ kind: "unlink", target: at("/f") });
    for (let second = 0; second < 20; second += 1) {
      machine.nowMs += SECOND_MS;
      assertOk(machine.apply({ kind: "reclaim", nowMs: machine.nowMs, recordsMax: 1_000 }));
    }
    assert.equal(machine.namespace.list(at("/"), { limit: 10 }, 3 as never).entries.length, 1);
  });
});
