import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { TestGroup, texts } from "./test-group.ts";
import { bytesOfText } from "./toy-machine.ts";

describe("a group of drivers", () => {
  it("elects one leader, which all members know", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    await group.clock.advance(1_000);
    for (const member of group.members) {
      const status = member.running.status();
      assert.equal(status.leaderId, leader.id);
      assert.equal(status.leaderAddress, `${leader.host}:7000`);
      assert.equal(status.role, member === leader ? "leader" : "follower");
      assert.deepEqual(
        status.members.map((each) => each.id),
        [1, 2, 3],
      );
    }
    await group.stopAll();
  });

  it("answers a command with the outcome of its own entry", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const answers = Promise.all(
      texts("a", 200).map(async (text) => {
        const { index, outcome } = await group.propose(leader, text);
        assert.equal(outcome, `did ${text}`);
        return index;
      }),
    );
    const indexes = await group.clock.advanceFor(answers, "commands are committed");
    assert.equal(new Set(indexes).size, 200);
    const history = await group.assertAgreement();
    assert.deepEqual(
      history.filter((text) => text !== ""),
      texts("a", 200),
    );
    await group.stopAll();
  });

  it("writes the commands of one turn as one record", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    let syncs = 0;
    leader.faults.disk = (operation) => {
      if (operation.kind === "sync" && operation.path.startsWith("log/")) syncs += 1;
      return null;
    };
    await group.proposeAll(texts("a", 500));
    assert.ok(syncs <= 3, `${syncs} syncs for 500 commands`);
    await group.stopAll();
  });

  it("writes new entries before it applies the entries that they commit", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const follower = group.members.find((member) => member !== leader);
    assert.ok(follower !== undefined);
    const appliedAtWrite: number[] = [];
    let appliedAtCall = 0;
    follower.faults.delay = async () => {
      appliedAtCall = follower.machine.appliedIndex;
    };
    follower.faults.disk = ({ kind, path }) => {
      if (kind === "write" && path.startsWith("log/")) appliedAtWrite.push(appliedAtCall);
      return null;
    };
    const before = follower.machine.appliedIndex;
    const inTurn = (async () => {
      for (const text of texts("a", 3)) await group.propose(leader, text);
    })();
    await group.clock.advanceFor(inTurn, "the commands are committed one after the other");
    // At each write, the previous entry is committed and not applied yet.
    assert.deepEqual(appliedAtWrite, [before, before + 1, before + 2]);
    follower.faults.delay = () => Promise.resolve();
    await group.stopAll();
  });

  it("refuses commands at a follower and names the leader", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const follower = group.members.find((member) => member !== leader);
    assert.ok(follower !== undefined);
    const refused = follower.running.propose(bytesOfText("a"));
    await assert.rejects(
      group.clock.advanceFor(refused, "the command is refused"),
      (error: unknown) => {
        assert.ok(hasCode("NOT_LEADER")(error));
        const { details } = error as { details: Record<string, unknown> };
        assert.equal(details["leaderAddress"], `${leader.host}:7000`);
        return true;
      },
    );
    await group.stopAll();
  });

  it("limits the number and the size of pending commands", async () => {
    const group = await TestGroup.start({ limits: { proposalsMax: 10, proposalBytesMax: 1_000 } });
    const leader = await group.leader();
    const results = texts("a", 30).map((text) => group.propose(leader, text));
    const settled = await group.clock.advanceFor(Promise.allSettled(results), "all settle");
    assert.equal(settled.filter((each) => each.status === "fulfilled").length, 10);
    for (const each of settled.slice(10)) {
      assert.ok(each.status === "rejected" && hasCode("OVERLOADED")(each.reason));
    }
    const tooLarge = leader.running.propose(new Uint8Array(5 * 1024 * 1024));
    await assert.rejects(tooLarge, hasCode("TOO_LARGE"));
    await group.stopAll();
  });

  it("continues without one member, which catches up after its restart", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 20));
    const follower = group.members.find((member) => !group.leaders().includes(member));
    assert.ok(follower !== undefined);
    group.kill(follower);
    await group.proposeAll(texts("b", 20));
    await group.startMember(follower);
    const history = await group.assertAgreement();
    assert.equal(history.filter((text) => text !== "").length, 40);
    await group.stopAll();
  });

  it("keeps all acknowledged commands over repeated crashes of the leader", async () => {
    const group = await TestGroup.start({ seed: 5 });
    for (let round = 0; round < 6; round += 1) {
      await group.proposeAll(texts(`r${round}-`, 30));
      const leader = await group.leader();
      // These commands are pending at the crash: each of them may be lost or committed.
      const pending = texts(`p${round}-`, 10).map((text) => group.propose(leader, text));
      await group.clock.advance(group.random.integer(4));
      group.kill(leader);
      const settled = await group.clock.advanceFor(Promise.allSettled(pending), "all settle");
      for (const each of settled) {
        if (each.status === "rejected") assert.ok(hasCode("COMMIT_UNKNOWN")(each.reason));
      }
      await group.proposeAll(texts(`s${round}-`, 5));
      await group.startMember(leader);
    }
    await group.assertAgreement();
    assert.ok(group.acknowledged.size >= 6 * 35);
    await group.stopAll();
  });

  it("recovers from a power failure of all members", async () => {
    const group = await TestGroup.start({ seed: 9 });
    await group.proposeAll(texts("a", 50));
    for (const member of group.members) group.kill(member);
    for (const member of group.members) await group.startMember(member);
    await group.proposeAll(texts("b", 10));
    const history = await group.assertAgreement();
    assert.equal(history.filter((text) => text !== "").length, 60);
    await group.stopAll();
  });

  it("transfers leadership when the leader is stopped gracefully", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 5));
    const leader = await group.leader();
    const startMs = group.clock.monotonicMs();
    await group.stop(leader);
    await group.leader();
    const tookMs = group.clock.monotonicMs() - startMs;
    assert.ok(tookMs < 500, `the next leader was ready after ${tookMs} ms`);
    await group.stopAll();
  });

  it("commits with a single member", async () => {
    const group = await TestGroup.start({ size: 1 });
    await group.proposeAll(texts("a", 10));
    group.kill(group.member(1));
    await group.startMember(group.member(1));
    const history = await group.assertAgreement();
    assert.deepEqual(
      history.filter((text) => text !== ""),
      texts("a", 10),
    );
    await group.stopAll();
  });
});

describe("linearizable reads", () => {
  it("show at a follower every command acknowledged before them", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const follower = group.members.find((member) => member !== leader);
    assert.ok(follower !== undefined);
    for (const text of texts("a", 10)) {
      const applied = await group.clock.advanceFor(
        group.propose(leader, text),
        "the command is committed",
      );
      const read = follower.running.confirmRead(1_000);
      const index = await group.clock.advanceFor(read, "the read is confirmed");
      assert.ok(index >= applied.index);
      assert.ok(follower.machine.appliedIndex >= applied.index);
    }
    await group.stopAll();
  });

  it("share one ReadIndex round within a turn", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const reads = Promise.all(Array.from({ length: 100 }, () => leader.running.confirmRead(1_000)));
    const indexes = await group.clock.advanceFor(reads, "reads are confirmed");
    assert.equal(new Set(indexes).size, 1);
    await group.stopAll();
  });

  it("fail at a deposed leader that is cut off from the others", async () => {
    const group = await TestGroup.start();
    await group.proposeAll(texts("a", 5));
    const deposed = await group.leader();
    for (const other of group.members)
      if (other !== deposed) group.network.cut(deposed.host, other.host);
    const early = deposed.running.confirmRead(3_000);
    const unknown = deposed.running.propose(bytesOfText("lost"));
    const settled = Promise.allSettled([early, unknown]);
    const [read, command] = await group.clock.advanceFor(settled, "both fail");
    assert.ok(read.status === "rejected" && hasCode("NOT_LEADER")(read.reason));
    assert.ok(command.status === "rejected" && hasCode("COMMIT_UNKNOWN")(command.reason));
    const successor = await group.leader();
    assert.notEqual(successor, deposed);
    await group.clock.advanceFor(group.propose(successor, "new"), "the other members commit");
    const late = deposed.running.confirmRead(500);
    await assert.rejects(group.clock.advanceFor(late, "the read fails"), (error: unknown) => {
      const { code } = error as { code: string };
      assert.ok(["NO_LEADER", "NOT_LEADER", "DEADLINE_EXCEEDED"].includes(code), code);
      return true;
    });
    group.network.heal();
    const history = await group.assertAgreement();
    assert.ok(!history.includes("lost"));
    await group.stopAll();
  });

  it("fail at their deadline, like waits for an index", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const far = (leader.running.status().appliedIndex + 100) as LogIndex;
    const wait = leader.running.waitApplied(far, 200);
    const startMs = group.clock.monotonicMs();
    await assert.rejects(
      group.clock.advanceFor(wait, "the wait ends"),
      hasCode("DEADLINE_EXCEEDED"),
    );
    assert.ok(group.clock.monotonicMs() - startMs <= 300);
    await group.stopAll();
  });
});

describe("waits of callers that went away", () => {
  it("end at the next tick with CANCELLED, and are released", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    const far = (leader.running.status().appliedIndex + 100) as LogIndex;
    let isAborted = false;
    const caller = {
      get isAborted(): boolean {
        return isAborted;
      },
    };
    for (const other of group.members)
      if (other !== leader) group.network.cut(leader.host, other.host);
    const waits = [
      leader.running.waitApplied(far, 3_600_000, caller),
      leader.running.confirmRead(3_600_000, caller),
    ];
    const ended = Promise.allSettled(waits);
    await group.clock.advance(100);
    isAborted = true;
    const startMs = group.clock.monotonicMs();
    const results = await group.clock.advanceFor(ended, "the waits end");
    assert.ok(group.clock.monotonicMs() - startMs <= 100);
    for (const result of results) {
      assert.ok(result.status === "rejected" && hasCode("CANCELLED")(result.reason));
    }
    await group.stopAll();
  });
});

describe("a stall of the event loop", () => {
  it("is detected and reported, and starts no election", async () => {
    const group = await TestGroup.start();
    const leader = await group.leader();
    await group.clock.advance(500);
    const { term } = leader.running.status();
    group.clock.stall(2_000);
    await group.clock.advance(3_000);
    for (const member of group.members) {
      assert.equal(member.stalls.length, 1);
      assert.ok((member.stalls[0] as number) > 1_900);
      assert.equal(member.running.status().term, term);
    }
    await group.stopAll();
  });
});
