import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chunkId, RepairFixture } from "./repair-fixture.ts";

/** More than the places of one class of the waiting set. */
const MANY = 21_000;
/** Rows of the state that one step may read: 50 of a scan and the chunks, 82 others. */
const ROWS_PER_STEP_MAX = 182;
/** The same for the first step after a pause, with every share rounded up. */
const ROWS_OF_FIRST_STEP_MAX = 48;

describe("the list of chunks to repair", () => {
  it("contains a chunk that is committed after the scan of its failed server", async () => {
    const fixture = new RepairFixture(5);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(1);
    await fixture.pass(40_000);
    fixture.finishAll();
    await fixture.pass(1_000);
    assert.deepEqual(fixture.orders(), []);
    // A writer commits a chunk that server 1 sealed before it failed.
    fixture.state.add(2, [1, 2, 3]);
    await fixture.pass(1_000);
    assert.deepEqual(
      fixture.orders().map((order) => order.chunkId),
      [chunkId(2)],
    );
  });

  it("contains it even if the changes since the last step were too many to keep", async () => {
    const fixture = new RepairFixture(5);
    fixture.silence(1);
    await fixture.pass(40_000);
    fixture.state.add(2, [1, 2, 3]);
    fixture.state.overflow();
    await fixture.pass(2_000);
    assert.equal(fixture.orders().length, 1);
  });

  it("is derived again from the state: a chunk without a change is found after minutes", async () => {
    const fixture = new RepairFixture(5);
    fixture.silence(1);
    await fixture.pass(40_000);
    fixture.state.add(2, [1, 2, 3]);
    fixture.state.takeReplicaChanges();
    await fixture.pass(10 * 60_000);
    assert.equal(fixture.orders().length, 1);
  });

  it("costs a bounded number of rows in each step, and forgets no chunk", async () => {
    const fixture = new RepairFixture(40, { copiesTotal: 1_000, copiesPerTarget: 64 });
    for (let number = 0; number < MANY; number += 1) {
      fixture.state.add(number, [1, 2 + (number % 19), 21 + (number % 19)]);
    }
    fixture.state.takeReplicaChanges();
    fixture.silence(1);
    await fixture.pass(12_000);
    assert.equal(fixture.repair.isScanComplete, false);
    let rows = 0;
    while (fixture.repair.counts.underReplicated > 0 && rows < 20 * MANY) {
      const before = fixture.state.rowsRead;
      await fixture.pass(1_000);
      rows += fixture.state.rowsRead - before;
      fixture.finishAll();
    }
    const { stepRowsMax } = fixture;
    assert.ok(stepRowsMax <= ROWS_PER_STEP_MAX, `a step read ${stepRowsMax} rows`);
    assert.ok(rows < 20 * MANY, `${rows} rows for ${MANY} chunks`);
    assert.equal(fixture.repair.isScanComplete, true);
    for (let number = 0; number < MANY; number += 1) {
      assert.equal(fixture.state.chunk(chunkId(number))?.replicas.length, 4);
    }
  });

  it("has places for chunks with one copy left however many unreadable chunks wait", async () => {
    const fixture = new RepairFixture(8);
    for (let number = 0; number < MANY; number += 1) fixture.state.add(number, [1, 2, 3]);
    for (let number = 0; number < MANY; number += 1) fixture.state.add(MANY + number, [2, 4, 5]);
    fixture.state.add(3 * MANY, [1, 2, 6]);
    fixture.state.takeReplicaChanges();
    fixture.silence(1, 2, 3);
    await fixture.pass(300_000);
    assert.equal(fixture.repair.counts.lost, MANY);
    assert.equal(fixture.repair.counts.underReplicated, 2 * MANY + 1);
    assert.ok(
      fixture.orders().some((order) => order.chunkId === chunkId(3 * MANY)),
      "the chunk with one copy left has an order",
    );
  });

  it("gives the places of chunks that no server can take to others of the class", async () => {
    const fixture = new RepairFixture(6);
    for (let number = 0; number < MANY; number += 1) {
      fixture.state.add(number, [1, 2, 3], { lengthBytes: 1e13 });
    }
    fixture.state.add(2 * MANY, [1, 2, 3]);
    fixture.state.takeReplicaChanges();
    fixture.silence(1);
    for (let second = 0; second < 600 && fixture.orders().length === 0; second += 1) {
      await fixture.pass(1_000);
    }
    assert.deepEqual(
      fixture.orders().map((order) => order.chunkId),
      [chunkId(2 * MANY)],
    );
  });

  it("does not keep repair busy while no server can take the chunks", async () => {
    const fixture = new RepairFixture(6);
    for (let number = 0; number < 200; number += 1) {
      fixture.state.add(number, [1, 2, 3], { lengthBytes: 1e13 });
    }
    fixture.silence(1);
    await fixture.pass(60_000);
    const isAnyBusy = (): boolean =>
      Array.from({ length: 100 }, () => fixture.repair.step(fixture.state)).includes(true);
    assert.equal(isAnyBusy(), false, "no step has left work for the next one");
    fixture.state.add(1_000, [1, 2, 3]);
    await fixture.pass(1_000);
    assert.deepEqual(
      fixture.orders().map((order) => order.chunkId),
      [chunkId(1_000)],
      "a new chunk does not wait for those",
    );
    assert.equal(isAnyBusy(), false, "no step has left work after it");
  });

  it("passes over chunks that need no copy any longer when it orders the copies of a class", async () => {
    const fixture = new RepairFixture(6, {
      copiesTotal: 1_000,
      copiesPerTarget: 64,
      massLossShare: 0.3,
    });
    for (let number = 0; number < 2_000; number += 1) {
      fixture.state.add(number, number % 4 === 0 ? [2, 3, 4] : [1, 3, 4]);
    }
    fixture.state.takeReplicaChanges();
    fixture.silence(1, 2);
    await fixture.pass(60_000);
    assert.equal(fixture.repair.isHalted, true);
    assert.deepEqual(fixture.orders(), []);
    fixture.revive(1);
    await fixture.pass(1_000);
    const ordered = fixture.orders().length;
    assert.ok(ordered >= 20, `${ordered} copies were ordered in the step`);
  });

  it("is complete within 3 s of steps after the loss of a server with 6,000 chunks", async () => {
    const fixture = new RepairFixture(40, { copiesTotal: 1_000, copiesPerTarget: 64 });
    for (let number = 0; number < 6_000; number += 1) {
      fixture.state.add(number, [1, 2 + (number % 19), 21 + (number % 19)]);
    }
    fixture.state.takeReplicaChanges();
    fixture.silence(1);
    await fixture.pass(11_000);
    let steps = 0;
    for (; !fixture.repair.isScanComplete && steps < 1_000; steps += 1) {
      const isBusy = fixture.repair.step(fixture.state);
      assert.ok(isBusy || fixture.repair.isScanComplete, "the next step follows in 10 ms");
    }
    assert.ok(steps <= 240, `${steps} steps`);
    assert.equal(fixture.repair.counts.underReplicated, 6_000);
  });

  it("begins with a quarter of the rows of a step, because the code is not compiled yet", async () => {
    const fixture = new RepairFixture(40, { copiesTotal: 1_000, copiesPerTarget: 64 });
    fixture.silence(1);
    await fixture.pass(40_000);
    for (let number = 0; number < 1_000; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.state.overflow();
    const rows: number[] = [];
    for (let isBusy = true; isBusy; ) {
      const before = fixture.state.rowsRead;
      isBusy = fixture.repair.step(fixture.state);
      rows.push(fixture.state.rowsRead - before);
    }
    const [first = 0, ...others] = rows;
    assert.ok(first > 0 && first <= ROWS_OF_FIRST_STEP_MAX, `the first step read ${first} rows`);
    assert.ok(Math.max(...others) >= 2 * first, "later steps read more");
    assert.ok(Math.max(...others) <= ROWS_PER_STEP_MAX, "later steps are bounded too");
  });

  it("is worked on without a pause while a step leaves copies to order, or changes to take", async () => {
    const fixture = new RepairFixture(40, { copiesTotal: 400, copiesPerTarget: 64 });
    fixture.silence(1);
    await fixture.pass(40_000);
    for (let number = 0; number < 450; number += 1) fixture.state.add(number, [1, 2, 3]);
    const ordered: number[] = [];
    while (fixture.repair.step(fixture.state)) ordered.push(fixture.orders().length);
    assert.equal(fixture.orders().length, 400);
    assert.ok(ordered.length >= 4, `${ordered.length} steps`);
    for (let number = 0; number < 1_200; number += 1) fixture.state.add(1_000 + number, [2, 3, 4]);
    while (fixture.repair.step(fixture.state));
    assert.deepEqual(fixture.state.takeReplicaChanges(), new Map(), "all changes are taken");
  });

  it("are read once for an order in the same step", async () => {
    const fixture = new RepairFixture(40, { copiesTotal: 1_000, copiesPerTarget: 64 });
    fixture.silence(1);
    await fixture.pass(40_000);
    for (let number = 0; number < 50; number += 1) fixture.state.add(number, [1, 2, 3]);
    const before = fixture.state.rowsRead;
    await fixture.pass(1_000);
    assert.equal(fixture.orders().length, 50);
    assert.equal(fixture.state.rowsRead - before, 50);
  });

  it("evaluates every server once in each step, however many chunks have changed", async () => {
    const fixture = new RepairFixture(5);
    for (let number = 0; number < 18_000; number += 1) fixture.state.add(number, [1, 2, 3]);
    let evaluated = 0;
    const isAvailable = fixture.registry.isAvailable.bind(fixture.registry);
    fixture.registry.isAvailable = (id) => {
      evaluated += 1;
      return isAvailable(id);
    };
    let evaluatedMax = 0;
    for (let isBusy = true; isBusy; ) {
      evaluated = 0;
      isBusy = fixture.repair.step(fixture.state);
      evaluatedMax = Math.max(evaluatedMax, evaluated);
    }
    assert.ok(evaluatedMax <= 20, `a step evaluated ${evaluatedMax} servers`);
    assert.deepEqual(fixture.state.takeReplicaChanges(), new Map(), "all changes are taken");
  });

  it("counts no chunk when its failed servers return", async () => {
    const fixture = new RepairFixture(8);
    for (let number = 0; number < MANY; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.state.takeReplicaChanges();
    fixture.silence(1, 2, 3);
    await fixture.pass(200_000);
    assert.equal(fixture.repair.counts.lost, MANY);
    for (const number of [1, 2, 3]) fixture.revive(number);
    await fixture.pass(180_000);
    assert.deepEqual(fixture.repair.counts, { underReplicated: 0, lost: 0 });
  });
});

describe("repair during stalls of the leader", () => {
  it("continues: a stall brings no failed server back", async () => {
    const fixture = new RepairFixture(5);
    for (let number = 0; number < 200; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.silence(1);
    let finished = 0;
    for (let second = 0; second < 120; second += 1) {
      await fixture.pass(1_000);
      await fixture.clock.advance(5_000);
      fixture.registry.forgiveStall(5_000);
      finished += fixture.finishAll();
    }
    assert.equal(finished, 200);
  });
});

describe("the copies on a failed disk", () => {
  it("are replaced at once, from other servers", async () => {
    const fixture = new RepairFixture(5);
    fixture.state.add(1, [1, 2, 3]);
    await fixture.pass(1_000);
    fixture.failDisk(1);
    await fixture.pass(1_000);
    const [order, ...others] = fixture.orders();
    assert.deepEqual([order?.sources, others], [[2, 3], []]);
    assert.equal(fixture.repair.counts.underReplicated, 1);
    fixture.finishAll();
    await fixture.pass(1_000);
    assert.deepEqual(fixture.repair.counts, { underReplicated: 0, lost: 0 });
  });

  it("are the sources of the most endangered chunks, those without another copy", async () => {
    const fixture = new RepairFixture(8, { copiesTotal: 2 });
    for (let number = 0; number < 50; number += 1) fixture.state.add(number, [2, 5, 6]);
    fixture.state.add(100, [1, 3, 4]);
    fixture.silence(1, 2, 5);
    await fixture.pass(12_000);
    assert.equal(fixture.orders().length, 2);
    fixture.failDisk(3);
    fixture.failDisk(4);
    fixture.finishAll();
    await fixture.pass(1_000);
    assert.deepEqual(
      fixture.orders().map(({ chunkId: id, sources }) => [id, sources.sort()]),
      Array.from({ length: 2 }, () => [chunkId(100), [3, 4]]),
    );
  });
});

describe("the brake on mass losses", () => {
  it("does not count servers that were replaced one after the other", async () => {
    const fixture = new RepairFixture(4);
    for (let number = 0; number < 20; number += 1) fixture.state.add(number, [1, 2, 3]);
    for (let replaced = 1; replaced <= 6; replaced += 1) {
      fixture.silence(replaced);
      fixture.addServer();
      await fixture.pass(90_000);
      for (let second = 0; second < 20; second += 1) {
        fixture.finishAll();
        await fixture.pass(1_000);
      }
      assert.equal(fixture.repair.isHalted, false, `${replaced} servers were replaced`);
      assert.equal(fixture.repair.counts.underReplicated, 0);
      await fixture.pass(3_600_000);
    }
    // A new leader knows all servers that ever registered. It does not know when they were alive.
    fixture.startTerm(2);
    await fixture.pass(60_000);
    assert.equal(fixture.repair.isHalted, false);
    fixture.silence(7);
    await fixture.pass(60_000);
    assert.equal(fixture.repair.isHalted, false);
    assert.ok(fixture.orders().length > 0);
  });

  it("halts under a new leader that never received a message of the dead servers", async () => {
    const fixture = new RepairFixture(6);
    for (let number = 0; number < 20; number += 1) {
      fixture.state.add(number, [1 + (number % 6), 1 + ((number + 1) % 6), 1 + ((number + 2) % 6)]);
    }
    fixture.silence(1, 2, 3, 4);
    fixture.startTerm(2);
    await fixture.pass(30_000);
    assert.equal(fixture.repair.isHalted, true);
    assert.deepEqual(fixture.orders(), []);
  });
});
