import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Deferred } from "../../../shared/flow/deferred.ts";
import type { MemoryDisk } from "../../support/memory-disk.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  countLogLines,
  proposeMany,
  SMALL_LIMITS,
  startWithoutMember3,
} from "./compacted-group.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";

/** Size of the header of a log segment: without records after it, the segment is complete and empty. */
const HEADER_BYTES = 128;

/** Cuts the last log segment of a stopped member. */
async function cutLastSegment(member: TestMember, share: number): Promise<void> {
  const path = member.disk.filesBelow("log").at(-1);
  assert.ok(path !== undefined, "a member has a log");
  const bytes = member.disk.contentOf(path) ?? new Uint8Array();
  const length = HEADER_BYTES + Math.floor(share * (bytes.length - HEADER_BYTES));
  await member.disk.mount().writeFileDurably(path, bytes.slice(0, length));
}

/** Asserts that a member does not start, now and later, and that no other log replaces its own. */
async function assertRefused(group: TestGroup, member: TestMember): Promise<void> {
  for (const start of ["first", "second"]) {
    const opening = group.clock.advanceFor(group.open(member), `the ${start} start`);
    await assert.rejects(opening, hasCode("LOG_CORRUPT"), `the ${start} start`);
  }
  assert.equal(countLogLines(member, "Resetting the log to the state, which is ahead of it"), 0);
}

/** Sets the disk of a running member back to an image, and keeps its stores. */
async function setBack(group: TestGroup, member: TestMember, image: MemoryDisk): Promise<void> {
  await group.stop(member);
  member.disk = image;
  for (const name of await member.stores.list()) await member.stores.remove(name);
}

/** Starts a group in which the disk of a follower was set back. `atRecord` is called for `lost-log.json`. */
async function startSetBack(
  atRecord: () => Promise<"EIO" | null> = () => Promise.resolve(null),
): Promise<{ group: TestGroup; member: TestMember; leader: TestMember }> {
  const group = await TestGroup.start();
  await group.proposeAll(texts("a", 5));
  await group.clock.advance(1_000);
  const leader = await group.leader();
  const [member] = group.members.filter((each) => each !== leader) as [TestMember];
  const image = member.disk.image(member.disk.options);
  await group.proposeAll(texts("b", 30));
  await group.clock.advance(1_000);
  await setBack(group, member, image);
  const isRecord = ({ kind, path }: DiskOperation): boolean =>
    kind === "write" && path === "lost-log.json";
  let errno: "EIO" | null = null;
  member.faults.delay = async (operation) => {
    if (isRecord(operation)) errno = await atRecord();
  };
  member.faults.disk = (operation) => (isRecord(operation) ? errno : null);
  await group.startMember(member);
  return { group, member, leader };
}

describe("a member that a message of the leader has shown to have lost entries", () => {
  it("does not start again, although its log shows no damage", async () => {
    const { group, member } = await startSetBack();
    await group.clock.advanceUntil(() => member.fatal !== null, "the member stops");
    assert.equal(member.fatal?.code, "LOG_CORRUPT");
    assert.match(member.fatal.hint ?? "", /Keep this directory/);
    group.kill(member);
    await assertRefused(group, member);
    await group.stopAll();
  });

  it("takes no part from then on, also while it records the loss", async () => {
    const recording = new Deferred<null>();
    let isRecording = false;
    const { group, member, leader } = await startSetBack(() => {
      isRecording = true;
      return recording.promise;
    });
    await group.clock.advanceUntil(() => isRecording, "the member records the loss");
    group.kill(leader); // The other member has all entries, and needs one vote.
    await group.clock.advance(20_000);
    assert.equal(group.leaders().length, 0);
    assert.equal(member.fatal, null);
    recording.resolve(null);
    await group.clock.advanceUntil(() => member.fatal !== null, "the member stops");
    await group.stopAll();
  });

  it("logs that it must not be started again if it cannot record the loss, and stops", async () => {
    const { group, member } = await startSetBack(() => Promise.resolve("EIO"));
    await group.clock.advanceUntil(() => member.fatal !== null, "the member stops");
    assert.equal(member.fatal?.code, "LOG_CORRUPT");
    const line = "Cannot record that this member has lost entries: do not start it again";
    assert.equal(countLogLines(member, line), 1);
    await group.stopAll();
  });
});

describe("a member whose state is ahead of its log", () => {
  it("does not start: with the rest of a majority it would elect a leader without acknowledged commands", async () => {
    for (const share of [0, 0.3, 0.6]) {
      const group = await TestGroup.start();
      await group.proposeAll(texts("a", 30));
      const member = group.member(3);
      // Only members 1 and 3 have these.
      group.kill(group.member(2));
      await group.proposeAll(texts("b", 30));
      await group.clock.advance(2_000);
      await group.stop(member);
      await group.stop(group.member(1));
      await cutLastSegment(member, share);
      await group.startMember(group.member(2));
      await assertRefused(group, member);
      await group.startMember(group.member(1));
      await group.proposeAll(texts("c", 5));
      await group.clock.advance(2_000);
      const { machine } = group.member(2);
      assert.equal(machine.history().filter((text) => text !== "").length, 65);
      await group.stopAll();
    }
  });

  it("does not start if a file that shows an earlier log is lost, too", async () => {
    for (const lost of ["founders.json", "peers.json", "newest-segment.json"]) {
      const group = await TestGroup.start();
      await group.proposeAll(texts("a", 30));
      await group.clock.advance(2_000);
      const member = group.member(3);
      await group.stop(member);
      await member.disk.mount().remove(lost);
      await cutLastSegment(member, 0.3);
      await assertRefused(group, member);
      await group.stopAll();
    }
  });

  it("does not start without its log", async () => {
    for (const isCompacted of [false, true]) {
      const group = await TestGroup.start(isCompacted ? SMALL_LIMITS : {});
      if (isCompacted) await proposeMany(group, "a");
      else await group.proposeAll(texts("a", 30));
      await group.clock.advance(2_000);
      const member = group.member(3);
      await group.stop(member);
      await member.disk.mount().removeTree("log");
      await assertRefused(group, member);
      await group.stopAll();
    }
  });

  it("does not start with a log whose end is missing after the installation of a snapshot", async () => {
    const group = await startWithoutMember3();
    const member = group.member(3);
    await group.startMember(member);
    await group.assertAgreement();
    assert.equal(countLogLines(member, "Installed a snapshot"), 1);
    await group.proposeAll(texts("b", 3));
    await group.clock.advance(2_000);
    await group.stop(member);
    await cutLastSegment(member, 0);
    await assertRefused(group, member);
    await group.stopAll();
  });
});
