import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogIndex } from "../../../shared/base/ids.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import {
  backupOf,
  LATER_RESTORE_ID,
  RESTORE_ID,
  restoredFrom,
} from "../namespace/restored-machine.ts";
import { TestLeader } from "./leader-fixture.ts";

const put = (path: string, name: string, servers: string[], intentIndex: number) => {
  const content = chunksContent(sealed(name, { servers, intentIndex }));
  return { kind: "put", target: at(path), content, replace: false, ...OWNER } as const;
};

/** Returns the state of masters that were restored from a backup of `machine`. */
const restored = async (machine: TestStateMachine): Promise<TestStateMachine> =>
  restoredFrom(await backupOf(machine));

/** Raises the floor above all intents from before the restore: the leader does so after a lifetime. */
const raiseFloor = (machine: TestStateMachine): unknown =>
  machine.apply({ kind: "raise-intent-floor", floor: machine.index });

describe("a copy that was made after the backup of the restored masters", () => {
  it("is adopted when its server asks, also if all recorded servers are gone", async () => {
    const before = await TestStateMachine.make();
    before.run(put("/f", "a", ["s1", "s2"], before.index));
    // After the backup, s3 and s4 replaced s1 and s2.
    const copy = { name: "a", intentIndex: (before.index + 100) as LogIndex };
    const machine = await restored(before);
    const leader = await TestLeader.start(machine, ["s3", "s4"]);
    assert.equal(await leader.ask("s3", copy), "undecided");
    assert.deepEqual(leader.repair.ordersFor(serverId("s3")), []);
    raiseFloor(machine);
    assert.equal(await leader.ask("s3", copy), "undecided");
    const [order] = leader.repair.ordersFor(serverId("s3"));
    assert.ok(order?.kind === "copy" && order.intentIndex > copy.intentIndex);
    const { intentIndex } = order;
    const items = [{ chunkId: chunkId("a"), serverId: serverId("s3"), intentIndex }];
    machine.apply({ kind: "add-replicas", items });
    assert.equal(await leader.ask("s3", { name: "a", intentIndex }), "known");
    assert.equal(await leader.ask("s4", copy), "undecided", "a second copy is needed, too");
  });

  it("is kept although enough copies are recorded: one may have been lost after the backup", async () => {
    const before = await TestStateMachine.make();
    before.run(put("/f", "a", ["s1", "s2", "s3"], before.index));
    const copy = { name: "a", intentIndex: (before.index + 100) as LogIndex };
    const machine = await restored(before);
    const leader = await TestLeader.start(machine, ["s1", "s2", "s3", "s4"]);
    raiseFloor(machine);
    assert.equal(await leader.ask("s4", copy), "undecided");
    const intentIndex = machine.index;
    raiseFloor(machine);
    assert.equal(await leader.ask("s4", { name: "a", intentIndex }), "undecided");
    machine.apply({ kind: "raise-intent-floor", floor: machine.index });
    assert.equal(await leader.ask("s4", { name: "a", intentIndex }), "unknown", "a surplus copy");
  });

  it("is kept if the restored state has no such chunk: a newer backup may have it", async () => {
    const before = await TestStateMachine.make();
    const copy = { name: "b", intentIndex: (before.index + 100) as LogIndex };
    const machine = await restored(before);
    const leader = await TestLeader.start(machine, ["s1"]);
    assert.equal(await leader.ask("s1", copy), "undecided");
    raiseFloor(machine);
    assert.equal(await leader.ask("s1", copy), "known");
    const intentIndex = machine.index;
    raiseFloor(machine);
    machine.apply({ kind: "raise-intent-floor", floor: machine.index });
    assert.equal(await leader.ask("s1", { name: "b", intentIndex }), "unknown");
  });

  it("is kept if it was made in the life of another restore, also of the same backup", async () => {
    const backup = await backupOf(await TestStateMachine.make());
    const first = await restoredFrom(backup, RESTORE_ID);
    first.openSession();
    const copy = { name: "b", intentIndex: first.index };
    const machine = await restoredFrom(backup, LATER_RESTORE_ID);
    assert.ok(machine.index > first.index, "no index of the first life is used again");
    const leader = await TestLeader.start(machine, ["s1"]);
    machine.openSession();
    for (let raised = 0; raised < 3; raised += 1) raiseFloor(machine);
    assert.ok(machine.namespace.intentFloor() > copy.intentIndex);
    assert.equal(await leader.ask("s1", copy), "known");
  });

  it("is not deleted by a purge that the backup contains", async () => {
    const before = await TestStateMachine.make();
    before.run(put("/f", "a", ["s1", "s2"], before.index));
    before.run({ kind: "unlink", target: at("/f") });
    before.expireAndReclaim();
    const intentIndex = before.index;
    const machine = await restored(before);
    const [purge] = machine.namespace.purgesOf(serverId("s1"), 10);
    assert.equal(purge?.chunkId, chunkId("a"));
    assert.ok(purge.purgeIndex <= intentIndex, "a server keeps a copy of this or a later intent");
  });
});
