import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MemberStatus } from "../../../master/consensus.ts";
import { RefusedMessages } from "../../../master/driver/refused-messages.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";
import { elect, entry, id, index, settle, type TestNode, testNode } from "../raft/raft-fixtures.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";

const REFUSED = "Refused a message of another master";

/** Nothing is flushed, so the disk of a member contains all that it knows. */
const timing = { flushIntervalMs: 1_000_000_000 };

/**
 * Returns a group in which member 1 has 30 committed entries that the others lost, because their
 * disks were set back to an older image. The others have committed one other entry since.
 */
async function divergedGroup(): Promise<{
  readonly group: TestGroup;
  readonly leader: TestMember;
}> {
  const group = await TestGroup.start({ timing });
  const [first, ...others] = group.members as [TestMember, ...TestMember[]];
  await group.proposeAll(texts("a", 5));
  await group.assertAgreement();
  const images = others.map(({ disk }) => disk.image());
  await group.proposeAll(texts("b", 30));
  await group.proposeAll(["stores the commit index of the entries before"]);
  await group.assertAgreement();
  for (const member of group.members) group.kill(member);
  group.acknowledged.clear(); // The others will use the indexes of lost entries again.
  for (const [position, member] of others.entries()) member.disk = images[position] as never;
  for (const member of others) await group.startMember(member);
  const leader = await group.leader();
  await group.clock.advanceFor(leader.running.propose(new TextEncoder().encode("c")), "c commits");
  await group.startMember(first);
  return { group, leader };
}

function viewOf(leader: TestMember, id: number): NonNullable<MemberStatus["progress"]> {
  const view = leader.running.membership().members.find((each) => each.id === id);
  assert.ok(view !== undefined && view.progress !== null, `the leader has progress of ${id}`);
  return view.progress;
}

function refusalsIn(member: TestMember): string[] {
  return member.log.lines
    .filter(({ message }) => message === REFUSED)
    .map(({ fields }) => String(fields["error"]));
}

describe("a member that has committed entries which the leader lacks", () => {
  it("is reported as not following, by itself and by the leader, and is not acknowledged", async () => {
    const { group, leader } = await divergedGroup();
    const diverged = group.member(1);
    await group.clock.advance(60_000);
    assert.equal(viewOf(leader, 1).matchIndex, 0);
    const { refusal } = diverged.running.status();
    assert.ok(refusal !== null && refusal.forMs > 50_000, `refused for ${refusal?.forMs} ms`);
    assert.match(
      refusal.reason,
      /^expected entry \d+ of term \d+, which this member has committed/,
    );
    // The log of the leader grows beyond that of the member: the logs still contradict each other.
    await group.proposeAll(texts("d", 40));
    await group.clock.advance(60_000);
    assert.equal(viewOf(leader, 1).matchIndex, 0);
    assert.ok((diverged.running.status().refusal?.forMs ?? 0) > 110_000, "it does not follow");
    assert.equal(diverged.fatal, null);
    await group.stopAll();
  });

  it("confirms no read, and waits for no index: the answer would be of another history", async () => {
    const { group } = await divergedGroup();
    await group.clock.advance(2_000);
    const diverged = group.member(1).running;
    const { appliedIndex } = group.member(1).machine;
    const read = group.clock.advanceFor(diverged.confirmRead(5_000), "the read ends");
    await assert.rejects(read, hasCode("UNAVAILABLE"));
    await assert.rejects(diverged.waitApplied(appliedIndex, 5_000), hasCode("UNAVAILABLE"));
    await group.stopAll();
  });

  it("logs why once when it begins, then once a minute with the count", async () => {
    const { group } = await divergedGroup();
    await group.clock.advance(150_000);
    const diverged = group.member(1);
    const lines = diverged.log.lines.filter(({ message }) => message === REFUSED);
    assert.equal(lines.length, 3, refusalsIn(diverged).join("\n"));
    assert.match(String(lines[0]?.fields["error"]), /append-request of member/);
    assert.deepEqual(lines[0]?.fields["unloggedCount"], 0);
    assert.ok(Number(lines[1]?.fields["unloggedCount"]) > 100);
    await group.stopAll();
  });
});

/**
 * Returns a group in which members 1 and another have led in the same term: member 1 has 30 committed
 * entries of that term, and the disks of the others were set back to an image of the term before.
 */
async function sameTermGroup(): Promise<{
  readonly group: TestGroup;
  readonly leader: TestMember;
}> {
  const group = await TestGroup.start({ timing });
  const [first, ...others] = group.members as [TestMember, ...TestMember[]];
  await group.transfer(group.member(2));
  await group.proposeAll(texts("a", 5));
  await group.assertAgreement();
  const images = others.map(({ disk }) => disk.image());
  await group.transfer(first);
  await group.proposeAll(texts("b", 30));
  await group.proposeAll(["stores the commit index of the entries before"]);
  await group.assertAgreement();
  const { term } = first.running.status();
  for (const member of group.members) group.kill(member);
  group.acknowledged.clear(); // The others will use the indexes of lost entries again.
  for (const [position, member] of others.entries()) member.disk = images[position] as never;
  for (const member of others) await group.startMember(member);
  const leader = await group.leader();
  assert.equal(leader.running.status().term, term);
  await group.proposeAll(["c"]);
  await group.startMember(first);
  return { group, leader };
}

describe("a member that has another history of the same term", () => {
  it("confirms no read, also when the log of the leader is longer, and keeps its entries", async () => {
    const { group, leader } = await sameTermGroup();
    const other = group.member(1);
    await group.clock.advanceUntil(
      () => other.running.status().leaderId !== null,
      "it knows the leader",
    );
    const first = group.clock.advanceFor(other.running.confirmRead(3_000), "the first read ends");
    await assert.rejects(first, hasCode("UNAVAILABLE"));
    const history = other.machine.history();
    assert.equal(history.filter((text) => text.startsWith("b")).length, 30);
    for (let round = 0; round < 4; round += 1) {
      const read = group.clock.advanceFor(other.running.confirmRead(400), "the read ends");
      await assert.rejects(read, hasCode("UNAVAILABLE"));
      const wait = other.running.waitApplied(history.length as LogIndex, 400);
      await assert.rejects(group.clock.advanceFor(wait, "the wait ends"), hasCode("UNAVAILABLE"));
      await group.proposeAll(texts(`d${round}`, 20));
      await group.clock.advance(20_000);
      assert.equal(viewOf(leader, 1).matchIndex, 0);
      assert.ok((viewOf(leader, 1).refusal?.forMs ?? 0) > 10_000, "the leader reports it");
      assert.ok((other.running.status().refusal?.forMs ?? 0) > 10_000, "it reports itself");
    }
    assert.deepEqual(other.machine.history(), history);
    assert.equal(other.fatal, null);
    await group.stopAll();
  });

  it("does not follow the leader of a later term, and does not lead", async () => {
    const { group, leader } = await sameTermGroup();
    const other = group.member(1);
    await group.clock.advance(1_000);
    const history = other.machine.history();
    await group.proposeAll(texts("d", 60));
    const next = group.member(leader.id === 2 ? 3 : 2);
    await group.transfer(next);
    await group.proposeAll(texts("e", 10));
    await group.clock.advance(20_000);
    assert.equal(viewOf(next, 1).matchIndex, 0);
    const read = group.clock.advanceFor(other.running.confirmRead(400), "the read ends");
    await assert.rejects(read, hasCode("UNAVAILABLE"));
    for (const member of group.members.slice(1)) group.kill(member);
    await group.startMember(leader);
    await group.clock.advance(20_000);
    assert.notEqual(other.running.status().role, "leader");
    assert.deepEqual(other.machine.history(), history);
    await group.stopAll();
  });
});

describe("a leader that refuses the acknowledgements of a member", () => {
  interface Refusing extends TestNode {
    readonly clock: VirtualClock;
    readonly log: MemoryLog;
    readonly refused: RefusedMessages;
    /** Lets member 2 acknowledge an entry once in each of some seconds. */
    readonly acknowledge: (matchIndex: number, secondsCount: number) => Promise<void>;
  }

  function leading(): Refusing {
    const clock = new VirtualClock();
    const log = new MemoryLog();
    const test = testNode({ entries: [entry(1, 2), entry(1, 3)] });
    elect(test);
    const { core, node } = test;
    const onLogLost = (): void => assert.fail("the log of the leader is complete");
    const onContradiction = (): void => assert.fail("the leader is right");
    const refused = new RefusedMessages({ clock, log, node, onLogLost, onContradiction });
    const acknowledge = async (matchIndex: number, secondsCount: number): Promise<void> => {
      for (let second = 0; second < secondsCount; second += 1) {
        await clock.advance(1_000);
        const header = { from: id(2), to: core.id, term: core.term };
        const message = {
          ...header,
          kind: "append-accepted",
          matchIndex: index(matchIndex),
        } as const;
        const result = node.step(message);
        if (typeof result === "object") refused.note(message, result);
        settle(test);
      }
    };
    return { ...test, clock, log, refused, acknowledge };
  }

  it("reports the member after 10 s without progress, with the reason", async () => {
    const { refused, acknowledge } = leading();
    await acknowledge(99, 10);
    assert.equal(refused.refusalOf(id(2)), null);
    await acknowledge(99, 5);
    const reason = "expected an acknowledgement of at most entry 4: current value is 99";
    assert.deepEqual(refused.refusalOf(id(2)), { forMs: 14_000, reason });
    assert.equal(refused.refusalOf(id(3)), null);
  });

  it("counts none of them in this term, also not when its log is longer", async () => {
    const { core, node, refused, acknowledge } = leading();
    await acknowledge(6, 1);
    node.propose([new Uint8Array(1), new Uint8Array(1), new Uint8Array(1)]);
    await acknowledge(6, 15);
    assert.equal(refused.refusalOf(id(2))?.forMs, 15_000);
    assert.equal(core.log.committedIndex, index(4));
    const progress = node.status().progress.find((each) => each.id === id(2));
    assert.equal(progress?.matchIndex, index(0));
  });

  it("reports it no longer when it is silent", async () => {
    const { refused, acknowledge, clock } = leading();
    await acknowledge(99, 15);
    assert.equal(refused.refusalOf(id(2))?.forMs, 14_000);
    await clock.advance(10_000);
    assert.equal(refused.refusalOf(id(2)), null);
  });

  it("logs each member at once, then once a minute", async () => {
    const { log, acknowledge } = leading();
    await acknowledge(99, 130);
    assert.deepEqual(
      log.lines.map(({ fields }) => fields["unloggedCount"]),
      [0, 59, 59],
    );
  });
});

describe("a member that was away", () => {
  it("is not reported as refused while it catches up", async () => {
    const group = await TestGroup.start();
    const away = group.member(3);
    await group.transfer(group.member(1));
    group.kill(away);
    for (let round = 0; round < 40; round += 1) await group.proposeAll([`b${round}`]);
    const leader = await group.leader();
    group.delayMs = () => 300; // A slow network.
    await group.clock.advance(20_000);
    assert.equal(viewOf(leader, 3).refusal, null);
    await group.startMember(away);
    for (let second = 0; second < 30; second += 1) {
      await group.clock.advance(1_000);
      for (const member of group.members) assert.equal(member.running.status().refusal, null);
      for (const { progress } of group.leaders()[0]?.running.membership().members ?? []) {
        assert.equal(progress?.refusal ?? null, null);
      }
    }
    assert.equal(away.running.status().appliedIndex, leader.running.status().lastIndex);
    await group.stopAll();
  });
});
