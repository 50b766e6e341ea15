import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Founding, type FoundingOptions } from "../../../master/driver/founding.ts";
import { openMemberStorage } from "../../../master/storage/open-member-storage.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId, LogIndex, MemberId, Term } from "../../../shared/base/ids.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { TestGroup, type TestMember, texts } from "./test-group.ts";

const REFUSED = "This master has an empty directory and was in the cluster before";
const WAITS = "This master has an empty directory and does not take part yet";

/** Kills the member and starts it with an empty directory. */
async function lose(group: TestGroup, member: TestMember): Promise<void> {
  if (member.isUp) group.kill(member);
  await member.wipeAll();
  await group.startMember(member);
}

function hasLogged(member: TestMember, message: string): boolean {
  return member.log.lines.some((line) => line.message === message);
}

function assertNobodyLeads(group: TestGroup): void {
  const states = group.members.filter(({ isUp }) => isUp).map((member) => member.running.status());
  for (const { role, term, memberId } of states) {
    assert.notEqual(role, "leader", `member ${memberId} leads in term ${term}`);
  }
}

describe("a new group", () => {
  it("is founded as soon as all founders are there, before any election timeout", async () => {
    const group = new TestGroup({ seed: 61, timing: { electionTimeoutMsMin: 20_000 } });
    for (const id of [1, 2]) await group.startMember(group.member(id));
    await group.clock.advance(20_000);
    assertNobodyLeads(group);
    assert.ok(hasLogged(group.member(1), WAITS));
    await group.startMember(group.member(3));
    const leader = await group.leader();
    assert.equal(leader.id, 1, "the first founder need not wait");
    assert.equal(leader.running.status().term, 1);
    await group.proposeAll(texts("a", 5));
    await group.assertAgreement();
    await group.stopAll();
  });

  it("has the incarnations of all founders in entry 1, and so in every state", async () => {
    const group = await TestGroup.start({ seed: 62 });
    await group.proposeAll(texts("a", 5));
    await group.assertAgreement();
    await group.clock.advance(2_000); // The flush interval.
    const stored = group.members.map(({ machine }) => machine.openSnapshot().membership);
    assert.deepEqual(stored[1], stored[0]);
    assert.deepEqual(stored[2], stored[0]);
    const text = new TextDecoder().decode(stored[0]);
    assert.equal(text.match(/[0-9a-f]{32}/g)?.length, 3);
    await group.stopAll();
  });

  it("waits while the founders have different lists of members", async () => {
    const group = new TestGroup({ seed: 63 });
    group.member(2).foundWithout = [3 as MemberId];
    for (const member of group.members) await group.startMember(member);
    await group.clock.advance(10_000);
    assertNobodyLeads(group);
    const reason = group.member(1).log.lines.find((line) => line.message === WAITS);
    assert.match(String(reason?.fields["reason"]), /member 2: founds with members 1, 2/);
    await group.stopAll();
  });

  it("is founded without a member that the operator names on all others", async () => {
    const group = new TestGroup({ seed: 64 });
    for (const id of [1, 2]) {
      group.member(id).foundWithout = [3 as MemberId];
      await group.startMember(group.member(id));
    }
    await group.proposeAll(texts("a", 5));
    assert.deepEqual(group.votersAt(await group.leader()), [1, 2]);
    // The third can only join: with its old config it waits.
    const third = group.member(3);
    await group.startMember(third);
    await group.clock.advance(10_000);
    assert.equal(third.running.status().lastIndex, 0);
    assert.ok(hasLogged(third, WAITS));
    await group.stop(third);
    third.isRejoining = true;
    await group.startMember(third);
    await group.addVoter(third);
    await group.assertAgreement();
    await group.stopAll();
  });

  it("accepts a founder that lost its directory before the group was founded", async () => {
    const group = new TestGroup({ seed: 65 });
    for (const id of [1, 2]) await group.startMember(group.member(id));
    await group.clock.advance(5_000);
    await lose(group, group.member(2));
    await group.clock.advance(5_000);
    await group.startMember(group.member(3));
    await group.proposeAll(texts("a", 5));
    await group.assertAgreement();
    await group.stopAll();
  });
});

describe("a founder that waits", () => {
  it("names the answer of each other founder, and the silence of those without one", () => {
    const founders = [1, 2, 3] as MemberId[];
    const own = {
      clusterId: "c".repeat(32),
      memberId: 1,
      incarnation: "1".repeat(32),
      address: "",
    };
    const clock = { monotonicMs: () => 0 };
    const options = { own, founders, isUnused: true, clock };
    const founding = new Founding(options as unknown as FoundingOptions);
    const refusal = "Cannot serve a member of cluster d: expected cluster c";
    founding.noteFailure(2 as MemberId, new AshlarError("WRONG_CLUSTER", refusal));
    founding.noteFailure(3 as MemberId, new AshlarError("DEADLINE_EXCEEDED", "No answer"));
    assert.equal(
      founding.reason,
      `waits for all founders: member 2: WRONG_CLUSTER: ${refusal}; member 3: no answer`,
    );
  });
});

describe("a founder that lost its directory", () => {
  it("founds nothing with a founder that never started, while the others are down", async () => {
    const group = await TestGroup.start({ seed: 66 });
    const [first, second, third] = [1, 2, 3].map((id) => group.member(id)) as [
      TestMember,
      TestMember,
      TestMember,
    ];
    await group.proposeAll(texts("acknowledged", 100));
    await group.clock.advance(2_000); // The flush interval.
    // The third loses its directory, too, as if it had never been there.
    group.kill(first);
    await lose(group, second);
    await lose(group, third);
    await group.clock.advance(20_000);
    assertNobodyLeads(group);
    assert.ok(hasLogged(second, WAITS) && hasLogged(third, WAITS));
    // The member with the data is back: it knows both with other directories.
    await group.startMember(first);
    await group.clock.advance(20_000);
    assertNobodyLeads(group);
    assert.ok(hasLogged(second, REFUSED) && hasLogged(third, REFUSED));
    assert.equal(first.machine.history().filter((text) => text.startsWith("ack")).length, 100);
    await group.stopAll();
  });

  it("founds nothing with another one while the member with the data lives", async () => {
    const group = await TestGroup.start({ seed: 67 });
    await group.proposeAll(texts("acknowledged", 100));
    await group.clock.advance(2_000);
    for (const id of [2, 3]) group.kill(group.member(id));
    for (const id of [2, 3]) await lose(group, group.member(id));
    await group.clock.advance(20_000);
    assertNobodyLeads(group);
    for (const id of [2, 3]) {
      assert.equal(group.member(id).running.status().lastIndex, 0);
      assert.ok(hasLogged(group.member(id), REFUSED));
    }
    await group.stopAll();
  });

  it("gets no vote and no entry of a founder that had not met it, which follows the leader", async () => {
    const group = new TestGroup({ seed: 68 });
    const [first, second, third] = [1, 2, 3].map((id) => group.member(id)) as [
      TestMember,
      TestMember,
      TestMember,
    ];
    for (const member of group.members) await group.startMember(member);
    await group.leader();
    // The third has the incarnations by entry 1 only: its own records are lost with its power.
    group.kill(third);
    await group.proposeAll(texts("a", 20));
    group.kill(first);
    await lose(group, second);
    await group.startMember(third);
    await group.clock.advance(20_000);
    assertNobodyLeads(group);
    await group.startMember(first);
    await group.proposeAll(texts("b", 5));
    assert.equal(second.running.status().lastIndex, 0);
    // The way out: remove it and add it again.
    await group.stop(second);
    second.isRejoining = true;
    await group.change({ remove: [second.id] });
    await group.startMember(second);
    await group.addVoter(second);
    await group.assertAgreement();
    await group.stopAll();
  });
});

/** Creates the directory of a member that version 0.1.0 founded: entry 1 names no founders. */
async function makeOldDirectory(group: TestGroup, member: TestMember): Promise<void> {
  const storage = await openMemberStorage({
    disk: member.disk.mount(),
    stores: member.stores,
    hasher: createHasher().hasher,
    random: group.random,
    log: member.log,
    clusterId: "d".repeat(32) as ClusterId,
    memberId: member.id,
    segmentBytes: 1024 * 1024,
    cacheBytes: 1024 * 1024,
    keptBytes: 1024 * 1024,
    founders: group.members.map(({ id }) => id),
  });
  await storage.log.settleDamage(0 as LogIndex);
  const [index, term] = [1 as LogIndex, 1 as Term];
  await storage.log.append({
    hardState: { term, votedFor: 1 as MemberId, commitIndex: index },
    entries: [{ index, term, kind: "normal", data: new Uint8Array(0) }],
  });
  await storage.log.close();
}

describe("a group that version 0.1.0 founded", () => {
  it("works, admits a founder that was never started, and refuses one that was emptied", async () => {
    const group = new TestGroup({ seed: 70 });
    const [first, second, third] = [1, 2, 3].map((id) => group.member(id)) as [
      TestMember,
      TestMember,
      TestMember,
    ];
    for (const member of [first, second]) {
      await makeOldDirectory(group, member);
      await group.startMember(member);
    }
    await group.proposeAll(texts("a", 20));
    await lose(group, second);
    await group.clock.advance(5_000);
    assertNobodyLeads(group);
    assert.ok(hasLogged(second, REFUSED));
    await group.startMember(third);
    await group.proposeAll(texts("b", 5));
    assert.equal(second.running.status().lastIndex, 0);
    // A membership change names the incarnations of all members.
    await group.stop(second);
    second.isRejoining = true;
    await group.change({ remove: [second.id] });
    await group.startMember(second);
    await group.addVoter(second);
    await group.assertAgreement();
    await group.stopAll();
  });
});

describe("a member that cannot store the incarnation of its peers", () => {
  it("says so in its log, and is reported so by the peers that it refuses", async () => {
    const group = new TestGroup();
    const [first, ...others] = group.members as [TestMember, ...TestMember[]];
    first.faults.disk = ({ kind, path }) =>
      kind === "write" && path === "peers.json" ? "EIO" : null;
    for (const member of group.members) await group.open(member);
    await group.clock.advance(10_000);
    const messagesOf = ({ log }: TestMember) => {
      const problems = log.lines.filter(({ level }) => level === "warn" || level === "error");
      return problems.map(({ message, fields }) => `${message}: ${fields["error"]}`);
    };
    const own = messagesOf(first).filter((text) => text.includes("peers.json"));
    assert.ok(own.length > 0, messagesOf(first).join("\n"));
    for (const text of own) {
      assert.match(
        text,
        /^Cannot record the incarnation of a peer: AshlarError: Cannot record the incarnation of members? [23, ]+: .*peers\.json/,
      );
    }
    for (const member of others) {
      const texts = messagesOf(member).filter((text) => text.includes("peers.json"));
      for (const text of texts) {
        assert.match(text, /^A peer cannot record the incarnation of this member: /);
      }
    }
    first.faults.disk = () => null;
    await group.proposeAll(["a"]);
    await group.stopAll();
  });
});
