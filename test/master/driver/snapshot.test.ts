import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasCode } from "../../support/wire-world.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";
import { DAMAGED_META } from "./toy-machine.ts";

/** A log that is compacted soon, and snapshots in many parts. */
const SMALL = {
  limits: {
    logTailEntries: 20,
    logTailBytes: 10_000,
    logSegmentBytes: 4_000,
    flushBytes: 500,
    snapshotPartBytes: 400,
  },
  timing: { flushIntervalMs: 100 },
};

function warnings(member: TestMember, message: string): number {
  return member.log.lines.filter((line) => line.message === message).length;
}

/** Compacts the log at all that run: what a member that is down now lacks is gone. */
async function proposeMuch(group: TestGroup, prefix: string): Promise<void> {
  for (let round = 0; round < 8; round += 1) {
    await group.proposeAll(texts(`${prefix}${round}-`, 25));
    await group.clock.advance(110); // The state is flushed.
  }
}

async function withoutMember3(seed = 1): Promise<TestGroup> {
  const group = await TestGroup.start({ ...SMALL, seed });
  await group.proposeAll(texts("first", 5));
  group.kill(group.member(3));
  await proposeMuch(group, "a");
  return group;
}

describe("a member that was down while the log was compacted", () => {
  it("gets the state, and then the log behind it", async () => {
    const group = await withoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    const history = await group.agree();
    assert.equal(history.filter((text) => text !== "").length, 205);
    assert.equal(warnings(member, "A snapshot is in place"), 1);
    assert.deepEqual(await member.stores.list(), ["state-2"]);
    await group.proposeAll(texts("b", 10));
    await group.agree();
    await group.stopAll();
    await group.startMember(member);
    await group.startMember(group.member(1));
    await group.agree();
    await group.stopAll();
  });

  it("does not keep the others from working while it does not answer", async () => {
    const group = await withoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.clock.advanceUntil(
      () => warnings(member, "A snapshot is being received") > 0,
      "the snapshot begins",
    );
    for (const other of group.members)
      if (other !== member) group.network.cut(member.host, other.host);
    await group.proposeAll(texts("b", 50));
    await group.clock.advance(40_000);
    await group.proposeAll(texts("c", 50));
    group.network.heal();
    await group.clock.advance(5_000);
    await group.agree();
    assert.ok(member.machine.appliedIndex > 200);
    await group.stopAll();
  });

  it("may lose power at any moment of it", async () => {
    let halfWayCount = 0;
    for (let seed = 1; seed <= 24; seed += 1) {
      const group = await withoutMember3(seed);
      const member = group.member(3);
      await group.startMember(member);
      // From here on every call of disk and store takes a millisecond. Half of the power cuts come
      // while the parts are received, half while the state is being put in place.
      let isSwitching = false;
      member.faults.delay = () => group.clock.sleep(1);
      member.faults.commit = () => group.clock.sleep(1);
      member.faults.disk = ({ path }) => {
        isSwitching ||= path.startsWith("current.json");
        return null;
      };
      if (seed % 2 === 0) {
        await group.clock.advanceUntil(() => isSwitching, "the state is switched");
        await group.clock.advance(seed / 2 - 1);
      } else {
        const isReceiving = (): boolean => warnings(member, "A snapshot is being received") > 0;
        await group.clock.advanceUntil(isReceiving, "the snapshot begins");
        await group.clock.advance(seed);
      }
      group.kill(member);
      member.faults.delay = () => Promise.resolve();
      member.faults.commit = async () => {};
      await group.startMember(member);
      halfWayCount += warnings(
        member,
        "The log is reset to the state, which was replaced by a snapshot",
      );
      await group.agree();
      await group.proposeAll(texts("b", 5));
      await group.agree();
      assert.equal((await member.stores.list()).length, 1, "leftovers are removed");
      await group.stopAll();
    }
    assert.ok(halfWayCount > 0, "some power cuts fell between the state and the log");
  });

  it("may lose the leader that sends it", async () => {
    const group = await withoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.clock.advanceUntil(
      () => warnings(member, "A snapshot is being received") > 0,
      "the snapshot begins",
    );
    const leader = await group.leader();
    group.kill(leader);
    await group.clock.advance(2_000);
    await group.startMember(leader);
    await group.clock.advance(5_000);
    await group.agree();
    await group.stopAll();
  });
});

describe("a state that is lost", () => {
  it("is rebuilt from the log while that has everything", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 30));
    await group.clock.advance(2_000);
    const member = group.member(2);
    await group.stop(member);
    const store = await member.stores.open("state-1");
    await store.commit([DAMAGED_META]);
    await store.close();
    await group.startMember(member);
    await group.agree();
    assert.equal(member.machine.history().filter((text) => text !== "").length, 30);
    await group.stopAll();
  });

  it("is fetched from a peer when the log begins later, before the member takes part", async () => {
    const group = await TestGroup.start(SMALL);
    await proposeMuch(group, "a");
    const member = group.member(2);
    await group.stop(member);
    const [name] = await member.stores.list();
    assert.ok(name !== undefined);
    const store = await member.stores.open(name);
    await store.commit([DAMAGED_META]);
    await store.close();
    await group.proposeAll(texts("b", 10));
    await group.startMember(member);
    assert.equal(warnings(member, "The state was fetched from a peer"), 1);
    await group.agree();
    assert.equal(member.machine.history().filter((text) => text !== "").length, 210);
    await group.stopAll();
  });

  it("keeps the member away until a peer has one", async () => {
    const group = await TestGroup.start(SMALL);
    await proposeMuch(group, "a");
    const member = group.member(2);
    await group.stop(member);
    for (const name of await member.stores.list()) await member.stores.remove(name);
    for (const other of [1, 3]) await group.stop(group.member(other));
    const opening = group.open(member);
    let isOpen = false;
    opening.then(
      () => {
        isOpen = true;
      },
      () => {},
    );
    await group.clock.advance(20_000);
    assert.equal(isOpen, false);
    await group.startMember(group.member(1));
    await group.clock.advanceFor(opening, "the state is fetched");
    await group.agree();
    await group.stopAll();
  });
});

describe("a disk that fails under a member", () => {
  it("stops the member when a log write fails, and the others go on", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    leader.faults.disk = ({ kind, path }) =>
      kind === "sync" && path.startsWith("log/") ? "EIO" : null;
    const lost = group.propose(leader, "lost");
    await assert.rejects(group.clock.advanceFor(lost, "it fails"), hasCode("COMMIT_UNKNOWN"));
    assert.equal(leader.fatal?.code, "DISK_FAILED");
    assert.equal(leader.running.status().role, "follower");
    const rejected = leader.running.propose(new Uint8Array(1));
    await assert.rejects(rejected, hasCode("DISK_FAILED"));
    const dead = leader;
    group.kill(dead);
    dead.faults.disk = () => null;
    const next = await group.leader();
    assert.notEqual(next, dead);
    await group.proposeAll(texts("b", 10));
    await group.startMember(dead);
    await group.agree();
    await group.stopAll();
  });

  it("makes a leader whose log is full step out, and keeps it readable", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    leader.faults.disk = ({ kind, path }) =>
      kind === "write" && path.startsWith("log/") ? "ENOSPC" : null;
    // A disk that is full shows when the log grows.
    const lost = group.propose(leader, `lost ${"x".repeat(600_000)}`);
    await assert.rejects(group.clock.advanceFor(lost, "it fails"), hasCode("COMMIT_UNKNOWN"));
    assert.equal(leader.fatal, null);
    await assert.rejects(leader.running.propose(new Uint8Array(1)), hasCode("NO_SPACE"));
    assert.equal(leader.machine.history().filter((text) => text !== "").length, 10);
    await group.clock.advanceUntil(
      () => group.leaders().some((each) => each !== leader),
      "another member leads",
    );
    leader.faults.disk = () => null;
    group.kill(leader);
    await group.startMember(leader);
    await group.proposeAll(texts("b", 10));
    await group.agree();
    await group.stopAll();
  });

  it("makes a leader whose state has no room refuse commands until it has", async () => {
    const group = await TestGroup.start({ size: 1 });
    const member = group.member(1);
    await group.proposeAll(texts("a", 10));
    const { AshlarError } = await import("../../../shared/base/errors.ts");
    member.faults.commit = () => Promise.reject(new AshlarError("NO_SPACE", "Full"));
    await group.clock.advance(2_500);
    await assert.rejects(member.running.propose(new Uint8Array(1)), hasCode("NO_SPACE"));
    member.faults.commit = async () => {};
    await group.clock.advance(2_500);
    await group.proposeAll(texts("b", 10));
    await group.agree();
    await group.stopAll();
  });
});

describe("a member that comes back with an empty directory", () => {
  it("is refused by its peers, which still know it as it was", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 10));
    const member = group.member(2);
    await group.stop(member);
    member.wipe();
    for (const name of await member.stores.list()) await member.stores.remove(name);
    await group.startMember(member);
    await group.clock.advance(5_000);
    assert.equal(member.running.status().leaderId, null);
    assert.equal(member.running.status().lastIndex, 0);
    const refusals = member.log.lines.filter(
      (line) => line.message === "A peer is refused, or refuses this member",
    );
    assert.ok(refusals.length >= 2);
    assert.ok(hasCode("WRONG_IDENTITY")(refusals[0]?.fields["error"]));
    // One of the two others is down: with the vote of the empty member there would be a majority.
    await group.stop(group.member(1));
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0);
    await group.stopAll();
  });
});
