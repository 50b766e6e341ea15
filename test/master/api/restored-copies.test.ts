import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import { RestoredState } from "../../../master/namespace/restored-state.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import {
  at,
  BOOTSTRAP,
  chunkId,
  chunksContent,
  hasher,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { TestLeader } from "./leader-fixture.ts";

const put = (path: string, name: string, servers: string[], intentIndex: number) => {
  const content = chunksContent(sealed(name, { servers, intentIndex }));
  return { kind: "put", target: at(path), content, replace: false, ...OWNER } as const;
};

/** Returns the state of masters that were restored from a backup of `machine`. */
async function restored(machine: TestStateMachine): Promise<TestStateMachine> {
  await machine.namespace.flush();
  const { index, term } = machine.namespace.durable;
  const { stateHash } = machine.namespace.durableMark;
  const { clusterId } = BOOTSTRAP;
  const head = { clusterId, index, term, createdMs: 1, featureLevel: FEATURE_LEVEL_MAX, stateHash };
  const state = new RestoredState(head, hasher);
  const store = await new MemoryStores().open("state");
  const rows = [...machine.store.range({ start: Uint8Array.of(0), end: Uint8Array.of(255) })];
  await store.commit([...state.convertRows(rows), ...state.finish(new Uint8Array())]);
  return TestStateMachine.empty(store);
}

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
