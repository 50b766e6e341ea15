import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { addressOf, TestGroup, type TestMember, texts } from "./test-group.ts";

const NOTHING = { add: [], promote: [], remove: [] };

/** Proposes all the time, one command after the other, to whoever leads. */
class Load {
  readonly #group: TestGroup;
  readonly #done: Promise<void>;
  #isOver = false;
  #count = 0;

  constructor(group: TestGroup) {
    this.#group = group;
    this.#done = this.#run();
  }

  /** Resolves when it has ended; some commands must have been acknowledged since `begin`. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#group.clock.advanceFor(this.#done, "the load ends");
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const [leader] = this.#group.leaders();
      this.#count += 1;
      // Whatever becomes of it: what is acknowledged is remembered by the group.
      if (leader !== undefined) {
        await this.#group.propose(leader, `load ${this.#count}`).catch(() => {});
      }
      await this.#group.clock.sleep(5);
    }
  }
}

/** Two new members that follow and have no vote yet. */
async function twoLearners(group: TestGroup): Promise<[TestMember, TestMember]> {
  const newcomers: [TestMember, TestMember] = [await group.join(), await group.join()];
  await group.change({ add: newcomers.map(addressOf) });
  for (const member of newcomers) await group.catchUp(member);
  return newcomers;
}

async function wipe(member: TestMember): Promise<void> {
  member.wipe();
  for (const name of await member.stores.list()) await member.stores.remove(name);
}

describe("a member that is added", () => {
  it("waits and says so, gets the state and the log under load, and then votes", async () => {
    const group = await TestGroup.start({ seed: 11 });
    await group.proposeAll(texts("a", 50));
    const fourth = await group.join();
    await group.clock.advance(3_000);
    assert.equal(fourth.running.status().memberPhase, "joining");
    assert.equal(fourth.running.status().term, 0, "it stands for no election");
    const load = new Load(group);
    await group.addVoter(fourth);
    await group.clock.advance(200);
    await load.end();
    assert.equal(fourth.running.status().memberPhase, "member");
    assert.deepEqual(group.votersAt(await group.leader()), [1, 2, 3, 4]);
    await group.agree();
    // Its vote counts: of four, three are a majority, and it is the third.
    await group.stop(group.member(1));
    await group.proposeAll(texts("b", 5));
    await group.stop(group.member(2));
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0, "two of four are no majority");
    await group.stopAll();
  });

  it("is known to all with its address, also after they all start again", async () => {
    const group = await TestGroup.start({ seed: 12 });
    const fourth = await group.join();
    await group.addVoter(fourth);
    await group.agree();
    await group.stopAll();
    for (const member of group.members) await group.startMember(member);
    await group.agree();
    const masters = ["m1:7000", "m2:7000", "m3:7000", "m4:7000"];
    for (const member of group.members) {
      assert.deepEqual(member.running.status().masters, masters);
    }
    await group.transfer(fourth);
    await group.proposeAll(texts("b", 5));
    assert.equal(await group.leader(), fourth);
    await group.stopAll();
  });

  it("can itself bring another one in, although its log does not begin with the first entry", async () => {
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
    await group.agree();
    await group.stopAll();
  });

  it("is refused while it cannot be reached, is another one, or would found a cluster", async () => {
    const group = await TestGroup.start({ seed: 14 });
    const leader = await group.leader();
    const ask = (id: number, address: string) =>
      group.clock.advanceFor(
        leader.running.changeMembers({ ...NOTHING, add: [{ id: id as MemberId, address }] }),
        "it is refused",
      );
    await assert.rejects(ask(4, "nowhere:7000"), hasCode("MEMBER_UNREACHABLE"));
    await assert.rejects(ask(3, "elsewhere:7000"), hasCode("ALREADY_EXISTS"));
    await assert.rejects(ask(4, "m2:7000"), hasCode("ALREADY_EXISTS"));
    const fourth = await group.join();
    await assert.rejects(ask(5, addressOf(fourth).address), hasCode("WRONG_IDENTITY"));
    await group.stopAll();
  });

  it("gets no vote before it has the log", async () => {
    const group = await TestGroup.start({ seed: 15 });
    await group.proposeAll(texts("a", 10));
    const fourth = await group.join();
    const leader = await group.leader();
    await group.change({ add: [addressOf(fourth)] });
    group.network.cut(leader.host, fourth.host);
    await group.clock.advance(2_000);
    const early = leader.running.changeMembers({ ...NOTHING, promote: [fourth.id] });
    await assert.rejects(group.clock.advanceFor(early, "it is refused"), hasCode("MEMBER_BEHIND"));
    group.network.heal();
    await group.catchUp(fourth);
    await group.change({ promote: [fourth.id] });
    await group.agree();
    await group.stopAll();
  });
});

describe("a member that is removed", () => {
  it("counts no more, and hears so when it comes again", async () => {
    const group = await TestGroup.start({ seed: 21 });
    const leader = await group.leader();
    const other = group.members.find((member) => member !== leader) as TestMember;
    const load = new Load(group);
    await group.change({ remove: [other.id] });
    await group.clock.advance(2_000);
    await load.end();
    assert.equal(other.running.status().memberPhase, "removed");
    const left = group.members.filter((member) => member !== other);
    assert.deepEqual(
      other.running.status().masters,
      left.map((member) => addressOf(member).address),
    );
    group.kill(other);
    await group.startMember(other);
    await group.clock.advance(2_000);
    assert.equal(other.running.status().memberPhase, "removed");
    await group.proposeAll(texts("b", 5));
    await group.agree();
    await group.stopAll();
  });

  it("hands over first if it leads, so that nobody waits for an election", async () => {
    const group = await TestGroup.start({ seed: 22 });
    await group.proposeAll(texts("a", 10));
    const old = await group.leader();
    const load = new Load(group);
    const startMs = group.clock.monotonicMs();
    await group.change({ remove: [old.id] });
    const tookMs = group.clock.monotonicMs() - startMs;
    await load.end();
    const successor = await group.leader();
    assert.notEqual(successor, old);
    assert.ok(tookMs < 500, `the leader was removed after ${tookMs} ms: less than a timeout`);
    assert.ok(!group.votersAt(successor).includes(old.id));
    await group.agree();
    await group.stopAll();
  });

  it("may be gone for good at once: those that stay cannot forget it, not even in a power cut", async () => {
    for (const seed of [24, 25, 26]) {
      const group = await TestGroup.start({ seed });
      const leader = await group.leader();
      const leaving = group.members.filter((member) => member !== leader);
      const newcomers = await twoLearners(group);
      const [promote, remove] = [newcomers, leaving].map((all) => all.map(({ id }) => id));
      await group.change({ promote: promote ?? [], remove: remove ?? [] });
      for (const member of group.members) group.kill(member);
      // Of the new voters, the leader and the two newcomers, the leader stays away.
      for (const member of newcomers) await group.startMember(member);
      await group.proposeAll(texts("b", 5));
      assert.deepEqual(group.votersAt(await group.leader()), [leader.id, ...(promote ?? [])]);
      await group.stopAll();
    }
  });

  it("is not removed while it leads and nobody can take over", async () => {
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
    const ask = leader.running.changeMembers({ ...NOTHING, promote, remove });
    await assert.rejects(group.clock.advanceFor(ask, "it is refused"), hasCode("MEMBER_BEHIND"));
    // What `ashlar master add --replace` does then.
    await group.change({ promote });
    await group.transfer(newcomers[0]);
    await group.change({ remove });
    for (const member of [leader, other]) group.kill(member);
    await group.proposeAll(texts("b", 5));
    assert.deepEqual(group.votersAt(await group.leader()), [silent.id, ...promote]);
    await group.stopAll();
  });

  it("is refused if it is the last one, unknown, or needed by those that are left", async () => {
    const group = await TestGroup.start({ seed: 23 });
    const leader = await group.leader();
    const [first, second] = group.members.filter((member) => member !== leader) as [
      TestMember,
      TestMember,
    ];
    const remove = (...ids: number[]) =>
      group.clock.advanceFor(
        leader.running.changeMembers({ ...NOTHING, remove: ids as MemberId[] }),
        "it is refused",
      );
    await assert.rejects(remove(1, 2, 3), hasCode("MAJORITY_AT_RISK"));
    await assert.rejects(remove(7), hasCode("MEMBER_UNKNOWN"));
    await assert.rejects(remove(), hasCode("INVALID_ARGUMENT"));
    group.kill(first);
    await group.clock.advance(2_000);
    await assert.rejects(remove(second.id), hasCode("MAJORITY_AT_RISK"));
    await group.change({ remove: [first.id] });
    await group.proposeAll(texts("b", 5));
    await group.agree();
    await group.stopAll();
  });
});

describe("several changes", () => {
  it("at once go through a joint configuration, under load", async () => {
    const group = await TestGroup.start({ seed: 31 });
    await group.proposeAll(texts("a", 20));
    const joined = [await group.join(), await group.join()];
    const load = new Load(group);
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
    await group.agree();
    await group.stopAll();
  });

  it("asked for at the same time are taken one after the other", async () => {
    const group = await TestGroup.start({ seed: 32 });
    const joined = [await group.join(), await group.join()];
    const leader = await group.leader();
    const asked = joined.map((member) =>
      leader.running.changeMembers({ ...NOTHING, add: [addressOf(member)] }),
    );
    const results = await group.clock.advanceFor(Promise.allSettled(asked), "both are answered");
    assert.equal(results.filter((each) => each.status === "fulfilled").length, 1);
    const refused = results.find((each) => each.status === "rejected");
    assert.ok(hasCode("CHANGE_UNDER_WAY")(refused?.reason));
    await group.stopAll();
  });

  for (const delayMs of [0, 2, 3, 4, 5, 8]) {
    it(`are finished by the next leader if the power goes ${delayMs} ms into a joint one`, async () => {
      const group = await TestGroup.start({ seed: 40 + delayMs });
      await group.proposeAll(texts("a", 10));
      const fourth = await group.join();
      await group.change({ add: [addressOf(fourth)] });
      await group.catchUp(fourth);
      const leader = await group.leader();
      const leaving = group.members.find(({ id }) => id <= 3 && id !== leader.id) as TestMember;
      const load = new Load(group);
      const change = { ...NOTHING, promote: [fourth.id], remove: [leaving.id] };
      const cut = leader.running.changeMembers(change).then(
        () => "done",
        (error: unknown) => error,
      );
      await group.clock.advance(delayMs);
      group.kill(leader);
      const outcome = await group.clock.advanceFor(cut, "the caller is told");
      if (outcome !== "done") assert.ok(hasCode("COMMIT_UNKNOWN")(outcome));
      await group.startMember(leader);
      await group.clock.advance(3_000);
      await load.end();
      const now = await group.leader();
      assert.equal(now.running.membership().isJoint, false);
      const voters = group.votersAt(now);
      const isChanged = voters.includes(fourth.id);
      const expected = [1, 2, 3, 4].filter((id) => id !== (isChanged ? leaving.id : fourth.id));
      assert.deepEqual(voters, expected, "all of the change, or nothing");
      if (outcome === "done") assert.ok(isChanged, "what was acknowledged holds");
      await group.proposeAll(texts("b", 5));
      await group.agree();
      await group.stopAll();
    });
  }
});

describe("a member that lost its directory", () => {
  it("is taken back once it was removed and added again", async () => {
    const group = await TestGroup.start({ seed: 51 });
    await group.proposeAll(texts("a", 30));
    const leader = await group.leader();
    const lost = group.members.find((member) => member !== leader) as TestMember;
    await group.stop(lost);
    await wipe(lost);
    lost.isRejoining = true;
    await group.startMember(lost);
    await group.clock.advance(3_000);
    assert.equal(lost.running.status().lastIndex, 0, "nobody talks to it");
    const load = new Load(group);
    await group.change({ remove: [lost.id] });
    await group.addVoter(lost);
    await load.end();
    assert.deepEqual(group.votersAt(await group.leader()), [1, 2, 3]);
    await group.agree();
    // Its vote counts again, with its new incarnation and after a restart of the others.
    const other = group.members.find((member) => ![leader, lost].includes(member)) as TestMember;
    group.kill(other);
    group.kill(leader);
    await group.startMember(other);
    await group.proposeAll(texts("b", 5));
    await group.startMember(leader);
    await group.agree();
    await group.stopAll();
  });

  it("is refused with its old directory after it was added again with a new one", async () => {
    const group = await TestGroup.start({ seed: 52 });
    await group.proposeAll(texts("a", 10));
    const leader = await group.leader();
    const twice = group.members.find((member) => member !== leader) as TestMember;
    await group.stop(twice);
    const oldDisk = twice.disk;
    await wipe(twice);
    twice.isRejoining = true;
    await group.startMember(twice);
    await group.change({ remove: [twice.id] });
    await group.addVoter(twice);
    await group.agree();
    await group.stop(twice);
    // Somebody mounts the old disk again.
    twice.disk = oldDisk;
    for (const name of await twice.stores.list()) await twice.stores.remove(name);
    await group.startMember(twice);
    await group.clock.advance(5_000);
    const refused = group.members
      .filter((member) => member !== twice)
      .some((member) =>
        member.log.lines.some((line) => isAshlarError(line.fields["error"], "WRONG_IDENTITY")),
      );
    assert.ok(refused, "the others say whom they refuse");
    // With the third one away its vote would be needed, and must not count.
    const third = group.members.find((member) => ![leader, twice].includes(member)) as TestMember;
    await group.stop(third);
    await group.clock.advance(10_000);
    assert.equal(group.leaders().length, 0);
    await group.stopAll();
  });
});

describe("a transfer", () => {
  it("moves leadership to the one that was asked for, again and again, under load", async () => {
    const group = await TestGroup.start({ seed: 61 });
    const load = new Load(group);
    for (const id of [1, 2, 3, 1, 3, 2]) {
      await group.transfer(group.member(id));
      assert.equal((await group.leader()).id, id);
      await group.clock.advance(100);
    }
    await load.end();
    await group.agree();
    assert.ok(group.acknowledged.size > 20);
    await group.stopAll();
  });

  it("to a member that is away, has no vote or is unknown is refused", async () => {
    const group = await TestGroup.start({ seed: 62 });
    const fourth = await group.join();
    await group.change({ add: [addressOf(fourth)] });
    const leader = await group.leader();
    const away = group.members.find((member) => member !== leader) as TestMember;
    group.kill(away);
    await group.clock.advance(2_000);
    const transfer = (id: number) =>
      group.clock.advanceFor(
        leader.running.transferLeadership(id as MemberId),
        "it is refused or done",
      );
    await assert.rejects(transfer(away.id), hasCode("MEMBER_BEHIND"));
    await assert.rejects(transfer(fourth.id), hasCode("INVALID_ARGUMENT"));
    await assert.rejects(transfer(9), hasCode("MEMBER_UNKNOWN"));
    assert.equal(await transfer(leader.id), leader.id);
    assert.equal(await group.leader(), leader);
    await group.stopAll();
  });
});
