import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../../shared/base/errors.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { countLogLines, proposeMany, SMALL_LIMITS } from "./compacted-group.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";
import { DAMAGED_META } from "./toy-machine.ts";

/** The log stays on disk, and a small part of it in memory. */
const LONG_LOG = { ...SMALL_LIMITS, limits: { ...SMALL_LIMITS.limits, logKeptBytes: 1_000_000 } };

/** Returns the number of reads of log segments of `member`, from now on. */
function countReads(member: TestMember): () => number {
  let count = 0;
  member.faults.disk = ({ kind, path }) => {
    if (kind === "read" && path.startsWith("log/")) count += 1;
    return null;
  };
  return () => count;
}

async function startWithoutMember3(): Promise<TestGroup> {
  const group = await TestGroup.start(LONG_LOG);
  await group.proposeAll(texts("first", 5));
  group.kill(group.member(3));
  for (const prefix of ["a", "b", "c"]) await proposeMany(group, prefix);
  return group;
}

describe("a member that was away while the log grew beyond the memory", () => {
  it("gets the log from the disk of the leader, and no snapshot", async () => {
    const group = await startWithoutMember3();
    const leader = await group.leader();
    const reads = countReads(leader);
    const member = group.member(3);
    await group.startMember(member);
    await group.assertAgreement();
    assert.ok(reads() > 0);
    assert.equal(countLogLines(member, "Installed a snapshot"), 0);
    assert.equal(member.machine.history().filter((text) => text !== "").length, 605);
    await group.stopAll();
  });

  it("gets the log while commands are proposed and the leader changes", async () => {
    const group = await startWithoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    for (let round = 0; round < 4; round += 1) {
      await group.proposeAll(texts(`d${round}`, 20));
      const leader = await group.leader();
      if (round % 2 === 0 && leader !== member) {
        await group.stop(leader);
        await group.startMember(leader);
      }
    }
    await group.assertAgreement();
    assert.equal(countLogLines(member, "Installed a snapshot"), 0);
    await group.stopAll();
  });

  it("gets a snapshot if the leader cannot read its log", async () => {
    const group = await startWithoutMember3();
    const leader = await group.leader();
    leader.faults.disk = ({ kind, path }) =>
      kind === "read" && path.startsWith("log/") ? "EIO" : null;
    const member = group.member(3);
    await group.startMember(member);
    await group.assertAgreement();
    assert.equal(countLogLines(member, "Installed a snapshot"), 1);
    assert.equal(
      countLogLines(leader, "Dropped the log up to the state: an entry cannot be read"),
      1,
    );
    assert.equal(leader.fatal, null);
    await group.stopAll();
  });
});

/** Starts a group whose member 2 is down and has lost its state. */
async function startWithoutState(): Promise<{ group: TestGroup; member: TestMember }> {
  const group = await TestGroup.start(LONG_LOG);
  for (const prefix of ["a", "b", "c"]) await proposeMany(group, prefix);
  const member = group.member(2);
  await group.stop(member);
  for (const name of await member.stores.list()) {
    const store = await member.stores.open(name);
    await store.commit([DAMAGED_META]);
    await store.close();
  }
  return { group, member };
}

describe("a member whose state is far behind its log", () => {
  it("applies the log from its disk", async () => {
    const { group, member } = await startWithoutState();
    const reads = countReads(member);
    await group.startMember(member);
    await group.assertAgreement();
    assert.ok(reads() > 10, `${reads()} reads`);
    assert.equal(member.machine.history().filter((text) => text !== "").length, 600);
    await group.stopAll();
  });

  it("stops with the reason if it cannot read its log", async () => {
    const { group, member } = await startWithoutState();
    await group.startMember(member);
    member.faults.disk = ({ kind, path }) =>
      kind === "read" && path.startsWith("log/") ? "EIO" : null;
    await group.clock.advanceUntil(() => member.fatal !== null, "the member stops");
    assert.equal(member.fatal?.code, "DISK_FAILED");
    await group.stopAll();
  });
});

describe("a member with a damaged old segment of its log", () => {
  function damageHeader(member: TestMember): string {
    const path = member.disk.filesBelow("log")[2] ?? "";
    member.disk.corrupt(path, (bytes) => {
      bytes[100] = (bytes[100] as number) ^ 1;
    });
    return path;
  }

  it("starts without the part before the damage, which its state has", async () => {
    const group = await TestGroup.start(LONG_LOG);
    for (const prefix of ["a", "b", "c"]) await proposeMany(group, prefix);
    const member = group.member(2);
    await group.stop(member);
    const path = damageHeader(member);
    await group.startMember(member);
    await group.proposeAll(texts("after", 5));
    await group.assertAgreement();
    const names = member.disk.filesBelow("log");
    assert.ok(names.includes(`${path}.damaged`) && !names.includes(path));
    await group.stopAll();
  });

  it("does not start if its state needs that part", async () => {
    const { group, member } = await startWithoutState();
    damageHeader(member);
    await assert.rejects(group.startMember(member), hasCode("LOG_CORRUPT"));
    await group.stopAll();
  });
});

describe("the log on a disk that becomes full", () => {
  it("keeps nothing for members that were away", async () => {
    const group = await TestGroup.start(LONG_LOG);
    for (const prefix of ["a", "b"]) await proposeMany(group, prefix);
    const member = group.member(2);
    const segments = async () => (await member.disk.mount().list("log")).length;
    const before = await segments();
    assert.ok(before > 3);
    member.faults.commit = () =>
      Promise.reject(new AshlarError("NO_SPACE", "the disk of the store is full"));
    await group.proposeAll(texts("c", 20));
    await group.clock.advance(500);
    assert.ok((await segments()) <= 3, `${before} segments before, ${await segments()} now`);
    member.faults.commit = async () => {};
    await group.clock.advance(5_000);
    await group.assertAgreement();
    await group.stopAll();
  });
});
