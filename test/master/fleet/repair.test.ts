import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { present } from "../../../shared/base/assert.ts";
import { chunkId, RepairFixture, serverId } from "./repair-fixture.ts";

describe("repair of under-replicated chunks", () => {
  it("waits for the repair delay, then orders a copy from the live servers", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(29_000);
    assert.deepEqual(fixture.orders(), []);
    await fixture.pass(3_000);
    assert.deepEqual(fixture.orders(), [{ target: 4, chunkId: chunkId(1), sources: [1, 2] }]);
  });

  it("repairs a chunk with one live replica as soon as the other servers are dead", async () => {
    const fixture = new RepairFixture(6);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(2, 3);
    await fixture.pass(12_000);
    const orders = fixture.orders();
    assert.equal(orders.length, 2);
    for (const order of orders) assert.deepEqual(order.sources, [1]);
    assert.equal(new Set(orders.map((order) => order.target)).size, 2);
  });

  it("repairs the chunks with the fewest live replicas first", async () => {
    const fixture = new RepairFixture(6, { copiesTotal: 2 });
    for (let number = 1; number <= 20; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.state.add(100, [1, 4, 3]);
    fixture.silence(3, 4);
    await fixture.pass(60_000);
    assert.deepEqual(
      new Set(fixture.orders().map((order) => order.chunkId)),
      new Set([chunkId(100)]),
    );
  });

  it("never orders more copies from one server than its limit", async () => {
    const fixture = new RepairFixture(4, { copiesPerTarget: 2 });
    for (let number = 1; number <= 50; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(60_000);
    assert.equal(fixture.orders().length, 2);
  });

  it("continues until every chunk has its replicas, and then orders nothing", async () => {
    const fixture = new RepairFixture(5);
    for (let number = 1; number <= 30; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(31_000);
    for (let round = 0; round < 40 && fixture.orders().length > 0; round += 1) {
      for (const { target, chunkId: id } of fixture.orders()) fixture.finish(target, id);
      await fixture.pass(1_000);
    }
    assert.deepEqual(fixture.orders(), []);
    assert.deepEqual(fixture.repair.counts, { underReplicated: 0, lost: 0 });
    for (let number = 1; number <= 30; number += 1) {
      const replicas = present(
        fixture.state.chunk(chunkId(number)),
        "the chunk is recorded",
      ).replicas;
      assert.equal(replicas.length, 4, "the replica on the dead server stays recorded");
    }
  });

  it("orders nothing if the dead server returns before the repair delay ends", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(15_000);
    assert.equal(fixture.repair.counts.underReplicated, 1);
    fixture.revive(3);
    await fixture.pass(30_000);
    assert.deepEqual(fixture.orders(), []);
    assert.equal(fixture.repair.counts.underReplicated, 0);
  });

  it("repairs a chunk that was committed with too few replicas without delay", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2]);
    await fixture.pass(2_000);
    assert.equal(fixture.orders().length, 1);
  });

  it("orders a copy from another server if the first one does not report", async () => {
    const fixture = new RepairFixture(5);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(32_000);
    const [first] = fixture.orders();
    fixture.silence(present(first, "one order is pending").target);
    await fixture.pass(15_000);
    const [second] = fixture.orders();
    assert.notEqual(second?.target, first?.target);
  });

  it("counts a chunk without a live replica as lost and orders no copy", async () => {
    const fixture = new RepairFixture(7);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(1, 2, 3);
    await fixture.pass(60_000);
    assert.deepEqual(fixture.repair.counts, { underReplicated: 1, lost: 1 });
    assert.deepEqual(fixture.orders(), []);
  });

  it("halts when more than the allowed share of servers is dead", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(2, 3, 4);
    await fixture.pass(60_000);
    assert.equal(fixture.repair.isHalted, true);
    assert.deepEqual(fixture.orders(), []);
  });
});

describe("a copy that the state does not record", () => {
  it("is wanted if too few recorded copies are on live servers, and its server verifies it", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    const adopt = (): boolean => fixture.repair.adoptCopy(fixture.state, serverId(4), chunkId(1));
    await fixture.pass(1_000);
    assert.equal(adopt(), false);
    assert.deepEqual(fixture.orders(), []);
    fixture.silence(2, 3);
    await fixture.pass(11_000);
    assert.equal(adopt(), true);
    assert.equal(adopt(), true);
    assert.deepEqual(
      fixture.orders().filter(({ target }) => target === 4),
      [{ target: 4, chunkId: chunkId(1), sources: [1] }],
    );
    fixture.finish(4, chunkId(1));
    assert.equal(adopt(), true, "one more copy is missing");
    assert.deepEqual(fixture.orders(), [], "its server has reported the copy");
  });

  it("is wanted even if no recorded copy is left", async () => {
    const fixture = new RepairFixture(2);
    fixture.state.add(1, []);
    await fixture.pass(1_000);
    assert.equal(fixture.repair.adoptCopy(fixture.state, serverId(2), chunkId(1)), true);
    assert.deepEqual(fixture.orders(), [{ target: 2, chunkId: chunkId(1), sources: [] }]);
  });

  it("is not wanted if no file refers to the chunk", () => {
    const fixture = new RepairFixture(2);
    assert.equal(fixture.repair.adoptCopy(fixture.state, serverId(2), chunkId(1)), false);
  });
});
