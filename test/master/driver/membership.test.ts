import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { CommandLoad } from "./command-load.ts";
import { addressOf, TestGroup, type TestMember, texts } from "./test-group.ts";

const NO_CHANGE = { add: [], promote: [], remove: [] };

/** Adds two members that have caught up and are learners. */
async function twoLearners(group: TestGroup): Promise<[TestMember, TestMember]> {
  const newcomers: [TestMember, TestMember] = [await group.join(), await group.join()];
  await group.change({ add: newcomers.map(addressOf) });
  for (const member of newcomers) await group.catchUp(member);
  return newcomers;
}

/** Removes the data directory and the stores of a member. */
async function wipe(member: TestMember): Promise<void> {
  member.wipe();
  for (const name of await member.stores.list()) await member.stores.remove(name);
}

describe("adding a member", () => {
  it("sends the new member the state and the log under load, and then gives it a vote", async () => {
    const group = await TestGroup.start({ seed: 11 });
    await group.proposeAll(texts("a", 50));
    const fourth = await group.join();
    await group.clock.advance(3_000);
    assert.equal(fourth.running.status().memberPhase, "joining");
    assert.equal(fourth.running.status().term, 0, "the new member does not start an election");
    const load = new CommandLoad(group);
    await group.addVoter(fourth);
    await group.clock.advance(200);
    await load.end();
    assert.equal(fourth.running.status().memberPhase, "member");
    assert.deepEqual(group.votersAt(await group.leader()), [1, 2, 3, 4]);
    await group.assertAgreement();
    // The vote of member 4 counts: with members 2 and 3 it is a majority of four voters.
    await group.stop(group.member(1));
    await group.proposeAll(texts("b", 5));
    await group.stop(group.member(2));
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0, "two of four voters are no majority");
    await group.stopAll();
  });

  it("gives the address to all members, even after all members restart", async () => {
    const group = await TestGroup.start({ seed: 12 });
    const fourth = await group.join();
    await group.addVoter(fourth);
    await group.assertAgreement();
    await group.stopAll();
    for (const member of group.members) await group.startMember(member);
    await group.assertAgreement();
    const masters = ["m1:7000", "m2:7000", "m3:7000", "m4:7000"];
    for (const member of group.members) {
      assert.deepEqual(member.running.status().masters, masters);
    }
    await group.transfer(fourth);
    await group.proposeAll(texts("b", 5));
    assert.equal(await group.leader(), fourth);
    await group.stopAll();
  });

  it("works at a leader whose log does not begin with the first entry", async () => {
    const group = await TestGroup.start({ size: 1, seed: 13 });
    await group.proposeAll(texts("a", 20));
    const second = await group.join();
    await group.addVoter(second);
    await group.transfer(second);
    await group.change({ remove: [1 as MemberId] });
    const third = await group.join();
    await group.addVoter(third);
    await group.proposeAll(texts("b", 5));
    assert.deepEqual(group.votersAt(await group.leader()), [2, 3]);
    await group.assertAgreement();
    await group.stopAll();
  });

  it("refuses a member that is unreachable, already known or has another id", async () => {
    const group = await TestGroup.start({ seed: 14 });
    const leader = await group.leader();
    const add = (id: number, address: string) =>
      group.clock.advanceFor(
        leader.running.changeMembers({ ...NO_CHANGE, add: [{ id: id as MemberId, address }] }),
        "the change is refused",
      );
    await assert.rejects(add(4, "nowhere:7000"), hasCode("MEMBER_UNREACHABLE"));
    await assert.rejects(add(3, "elsewhere:7000"), hasCode("ALREADY_EXISTS"));
    await assert.rejects(add(4, "m2:7000"), hasCode("ALREADY_EXISTS"));
    const fourth = await group.join();
    await assert.rejects(add(5, addressOf(fourth).address), hasCode("WRONG_IDENTITY"));
    await group.stopAll();
  });

  it("refuses a vote to a member that has not caught up", async () => {
    const group = await TestGroup.start({ seed: 15 });
    await group.proposeAll(texts("a", 10));
    const fourth = await group.join();
    const leader = await group.leader();
    await group.change({ add: [addressOf(fourth)] });
    group.network.cut(leader.host, fourth.host);
    await group.clock.advance(2_000);
    const early = leader.running.changeMembers({ ...NO_CHANGE, promote: [fourth.id] });
    await assert.rejects(
      group.clock.advanceFor(early, "the change is refused"),
      hasCode("MEMBER_BEHIND"),
    );
    group.network.heal();
    await group.catchUp(fourth);
    await group.change({ promote: [fourth.id] });
    await group.assertAgreement();
    await group.stopAll();
  });
});

describe("removing a member", () => {
  it("reports the removal to the removed member, even after its restart", async () => {
    const group = await TestGroup.start({ seed: 21 });
    const leader = await group.leader();
    const other = group.members.find((member) => member !== leader) as TestMember;
    const load = new CommandLoad(group);
    await group.change({ remove: [other.id] });
    await group.clock.advance(2_000);
    await load.end();
    assert.equal(other.running.status().memberPhase, "removed");
    const remaining = group.members.filter((member) => member !== other);
    assert.deepEqual(
      other.running.status().masters,
      remaining.map((member) => addressOf(member).address),
    );
    group.kill(other);
    await group.startMember(other);
    await group.clock.advance(2_000);
    assert.equal(other.running.status().memberPhase, "removed");
    await group.proposeAll(texts("b", 5));
    await group.assertAgreement();
    await group.stopAll();
  });

  it("transfers leadership first if the leader is removed", async () => {
    const group = await TestGroup.start({ seed: 22 });
    await group.proposeAll(texts("a", 10));
    const old = await group.leader();
    const load = new CommandLoad(group);
    const startMs = group.clock.monotonicMs();
    await group.change({ remove: [old.id] });
    const tookMs = group.clock.monotonicMs() - startMs;
    await load.end();
    const successor = await group.leader();
    assert.notEqual(successor, old);
    assert.ok(
      tookMs < 500,
      `the leader was removed after ${tookMs} ms: expected less than an election timeout`,
    );
    assert.ok(!group.votersAt(successor).includes(old.id));
    await group.assertAgreement();
    await group.stopAll();
  });

  it("survives a power failure of all remaining members", async () => {
    for (const seed of [24, 25, 26]) {
      const group = await TestGroup.start({ seed });
      const leader = await group.leader();
      const leaving = group.members.filter((member) => member !== leader);
      const newcomers = await twoLearners(group);
      const [promote, remove] = [newcomers, leaving].map((all) => all.map(({ id }) => id));
      await group.change({ promote: promote ?? [], remove: remove ?? [] });
      for (const member of group.members) group.kill(member);
      // The new voters are the leader and the two new members. The leader stays down.
      for (const member of newcomers) await group.startMember(member);
      await group.proposeAll(texts("b", 5));
      assert.deepEqual(group.votersAt(await group.leader()), [leader.id, ...(promote ?? [])]);
      await group.stopAll();
    }
  });

  it("refuses to remove the leader while no successor is available", async () => {
    const group = await TestGroup.start({ seed: 27 });
    const leader = await group.leader();
    const [other, silent] = group.members.filter((each) => each !== leader) as [
      TestMember,
      TestMember,
    ];
    const newcomers = await twoLearners(group);
    const promote = newcomers.map(({ id }) => id);
    const remove = [leader.id, other.id];
    group.kill(silent);
    await group.clock.advance(2_000);
    const refused = leader.running.changeMembers({ ...NO_CHANGE, promote, remove });
    await assert.rejects(
      group.clock.advanceFor(refused, "the change is refused"),
      hasCode("MEMBER_BEHIND"),
    );
    // `ashlar master add --replace` then does the following steps.
    await group.change({ promote });
    await group.transfer(newcomers[0]);
    await group.change({ remove });
    for (const member of [leader, other]) group.kill(member);
    await group.proposeAll(texts("b", 5));
    assert.deepEqual(group.votersAt(await group.leader()), [silent.id, ...promote]);
    await group.stopAll();
  });

  it("refuses the last voter, an unknown member, and one that the majority needs", async () => {
    const group = await TestGroup.start({ seed: 23 });
    const leader = await group.leader();
    const [first, second] = group.members.filter((member) => member !== leader) as [
      TestMember,
      TestMember,
    ];
    const remove = (...ids: number[]) =>
      group.clock.advanceFor(
        leader.running.changeMembers({ ...NO_CHANGE, remove: ids as MemberId[] }),
        "the change is refused",
      );
    await assert.rejects(remove(1, 2, 3), hasCode("MAJORITY_AT_RISK"));
    await assert.rejects(remove(7), hasCode("MEMBER_UNKNOWN"));
    await assert.rejects(remove(), hasCode("INVALID_ARGUMENT"));
    group.kill(first);
    await group.clock.advance(2_000);
    await assert.rejects(remove(second.id), hasCode("MAJORITY_AT_RISK"));
    await group.change({ remove: [first.id] });
    await group.proposeAll(texts("b", 5));
    await group.assertAgreement();
    await group.stopAll();
  });
});

describe("several membership changes", () => {
  it("are applied by one entry through a joint configuration, under load", async () => {
    const group = await TestGroup.start({ seed: 31 });
    await group.proposeAll(texts("a", 20));
    const joined = [await group.join(), await group.join()];
    const load = new CommandLoad(group);
    await group.change({ add: joined.map(addressOf) });
    for (const member of joined) await group.catchUp(member);
    const leader = await group.leader();
    const leaving = group.members.find(({ id }) => id <= 3 && id !== leader.id) as TestMember;
    await group.change({ promote: joined.map(({ id }) => id), remove: [leaving.id] });
    await load.end();
    const voters = group.votersAt(await group.leader());
    assert.deepEqual(
      voters,
      [1, 2, 3, 4, 5].filter((id) => id !== leaving.id),
    );
    await group.assertAgreement();
    await group.stopAll();
  });

  it("are refused while another change is in progress", async () => {
    const group = await TestGroup.start({ seed: 32 });
    const joined = [await group.join(), await group.join()];
    const leader = await group.leader();
    const requests = joined.map((member) =>
      leader.running.changeMembers({ ...NO_CHANGE, add: [addressOf(member)] }),
    );
    const results = await group.clock.advanceFor(Promise.allSettled(requests), "both are answered");
    assert.equal(results.filter((each) => each.status === "fulfilled").length, 1);
    const refused = results.find((each) => each.status === "rejected");
    assert.ok(hasCode("CHANGE_UNDER_WAY")(refused?.reason));
    await group.stopAll();
  });

  for (const delayMs of [0, 2, 3, 4, 5, 8]) {
    it(`are applied completely or not if the leader crashes after ${delayMs} ms`, async () => {
      const group = await TestGroup.start({ seed: 40 + delayMs });
      await group.proposeAll(texts("a", 10));
      const fourth = await group.join();
      await group.change({ add: [addressOf(fourth)] });
      await group.catchUp(fourth);
      const leader = await group.leader();
      const leaving = group.members.find(({ id }) => id <= 3 && id !== leader.id) as TestMember;
      const load = new CommandLoad(group);
      const change = { ...NO_CHANGE, promote: [fourth.id], remove: [leaving.id] };
      const interrupted = leader.running.changeMembers(change).then(
        () => "done",
        (error: unknown) => error,
      );
      await group.clock.advance(delayMs);
      group.kill(leader);
      const outcome = await group.clock.advanceFor(interrupted, "the request is answered");
      if (outcome !== "done") assert.ok(hasCode("COMMIT_UNKNOWN")(outcome));
      await group.startMember(leader);
      await group.clock.advance(3_000);
      await load.end();
      const nextLeader = await group.leader();
      assert.equal(nextLeader.running.membership().isJoint, false);
      const voters = group.votersAt(nextLeader);
      const isChanged = voters.includes(fourth.id);
      const expected = [1, 2, 3, 4].filter((id) => id !== (isChanged ? leaving.id : fourth.id));
      assert.deepEqual(voters, expected, "the change is applied completely or has no effect");
      if (outcome === "done") assert.ok(isChanged, "an acknowledged change is kept");
      await group.proposeAll(texts("b", 5));
      await group.assertAgreement();
      await group.stopAll();
    });
  }
});

describe("a member that lost its data directory", () => {
  it("is accepted again after it was removed and added", async () => {
    const group = await TestGroup.start({ seed: 51 });
    await group.proposeAll(texts("a", 30));
    const leader = await group.leader();
    const lost = group.members.find((member) => member !== leader) as TestMember;
    await group.stop(lost);
    await wipe(lost);
    lost.isRejoining = true;
    await group.startMember(lost);
    await group.clock.advance(3_000);
    assert.equal(lost.running.status().lastIndex, 0, "no peer sends entries to the member");
    const load = new CommandLoad(group);
    await group.change({ remove: [lost.id] });
    await group.addVoter(lost);
    await load.end();
    assert.deepEqual(group.votersAt(await group.leader()), [1, 2, 3]);
    await group.assertAgreement();
    // The vote of the new incarnation counts, even after a restart of the other members.
    const other = group.members.find((member) => ![leader, lost].includes(member)) as TestMember;
    group.kill(other);
    group.kill(leader);
    await group.startMember(other);
    await group.proposeAll(texts("b", 5));
    await group.startMember(leader);
    await group.assertAgreement();
    await group.stopAll();
  });

  it("is refused with its old data directory after it was added with a new one", async () => {
    const group = await TestGroup.start({ seed: 52 });
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    const replaced = group.members.find((member) => member !== leader) as TestMember;
    await group.stop(replaced);
    const oldDisk = replaced.disk;
    await wipe(replaced);
    replaced.isRejoining = true;
    await group.startMember(replaced);
    await group.change({ remove: [replaced.id] });
    await group.addVoter(replaced);
    await group.assertAgreement();
    await group.stop(replaced);
    // The operator mounts the old disk again.
    replaced.disk = oldDisk;
    for (const name of await replaced.stores.list()) await replaced.stores.remove(name);
    await group.startMember(replaced);
    await group.clock.advance(5_000);
    const refused = group.members
      .filter((member) => member !== replaced)
      .some((member) =>
        member.log.lines.some((line) => isAshlarError(line.fields["error"], "WRONG_IDENTITY")),
      );
    assert.ok(refused, "the other members log the refusal");
    // With the third member down, the vote of the old directory would make a majority. It must not
    // count.
    const third = group.members.find(
      (member) => ![leader, replaced].includes(member),
    ) as TestMember;
    await group.stop(third);
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0);
    await group.stopAll();
  });
});

describe("a leadership transfer", () => {
  it("makes the requested member the leader, repeatedly and under load", async () => {
    const group = await TestGroup.start({ seed: 61 });
    const load = new CommandLoad(group);
    for (const id of [1, 2, 3, 1, 3, 2]) {
      await group.transfer(group.member(id));
      assert.equal((await group.leader()).id, id);
      await group.clock.advance(100);
    }
    await load.end();
    await group.assertAgreement();
    assert.ok(group.acknowledged.size > 20);
    await group.stopAll();
  });

  it("is refused to a member that is down, has no vote or is unknown", async () => {
    const group = await TestGroup.start({ seed: 62 });
    const fourth = await group.join();
    await group.change({ add: [addressOf(fourth)] });
    const leader = await group.leader();
    const down = group.members.find((member) => member !== leader) as TestMember;
    group.kill(down);
    await group.clock.advance(2_000);
    const transfer = (id: number) =>
      group.clock.advanceFor(
        leader.running.transferLeadership(id as MemberId),
        "the transfer is refused or done",
      );
    await assert.rejects(transfer(down.id), hasCode("MEMBER_BEHIND"));
    await assert.rejects(transfer(fourth.id), hasCode("INVALID_ARGUMENT"));
    await assert.rejects(transfer(9), hasCode("MEMBER_UNKNOWN"));
    assert.equal(await transfer(leader.id), leader.id);
    assert.equal(await group.leader(), leader);
    await group.stopAll();
  });
});
