import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PeerMessage, VoteRequest } from "../../../master/raft/messages.ts";
import type { TestNode } from "./raft-fixtures.ts";
import { at, complete, elect, entry, id, index, settle, term, testNode } from "./raft-fixtures.ts";

const VOTE_REQUEST: VoteRequest = {
  kind: "vote-request",
  from: id(2),
  to: id(1),
  term: term(1),
  last: at(1, 1),
  isTransfer: false,
};

const heartbeat = (from: number, inTerm: number): PeerMessage => ({
  kind: "heartbeat-request",
  from: id(from),
  to: id(1),
  term: term(inTerm),
  commitIndex: index(1),
  readSequence: 0,
});

function repliesTo(test: TestNode, message: PeerMessage): readonly PeerMessage[] {
  test.node.step(message);
  return settle(test);
}

function tick(test: TestNode, count: number): void {
  for (let ticks = 0; ticks < count; ticks += 1) test.node.tick();
}

describe("voting (Raft §5.2, §5.4.1)", () => {
  it("asks for the vote to be durable in the Ready that grants it", () => {
    const { node } = testNode();
    node.step(VOTE_REQUEST);
    const { messages, append } = node.ready();
    assert.deepEqual(messages, []);
    assert.deepEqual(append?.hardState, { term: 1, votedFor: 2, commitIndex: 1 });
    assert.deepEqual(append?.replies, [
      { kind: "vote-reply", from: 1, to: 2, term: 1, granted: true },
    ]);
  });

  it("gives one vote a term, and the same one again", () => {
    const test = testNode();
    const granted = (message: VoteRequest) =>
      repliesTo(test, message).map((reply) => "granted" in reply && reply.granted);
    assert.deepEqual(granted(VOTE_REQUEST), [true]);
    assert.deepEqual(granted({ ...VOTE_REQUEST, from: id(3) }), [false]);
    assert.deepEqual(granted(VOTE_REQUEST), [true]);
    assert.deepEqual(granted({ ...VOTE_REQUEST, from: id(3), term: term(2) }), [true]);
  });

  it("remembers its vote over a restart", () => {
    const hardState = { term: term(1), votedFor: id(2), commitIndex: index(1) };
    const test = testNode({ hardState });
    const [reply] = repliesTo(test, { ...VOTE_REQUEST, from: id(3) });
    assert.deepEqual(reply, { kind: "vote-reply", from: 1, to: 3, term: 1, granted: false });
  });

  it("refuses whose log is older than its own", () => {
    for (const [last, granted] of [
      [at(2, 2), true],
      [at(2, 3), true],
      [at(3, 1), true],
      [at(2, 1), false],
      [at(1, 9), false],
    ] as const) {
      const test = testNode({ entries: [entry(2, 2)] });
      const [reply] = repliesTo(test, { ...VOTE_REQUEST, term: term(4), last });
      assert.ok(reply?.kind === "vote-reply");
      assert.equal(reply.granted, granted, `last ${last.term}/${last.index}`);
    }
  });

  it("gives none while it hears a leader, unless the leader asked for it (thesis §4.2.3)", () => {
    const test = testNode({ checkQuorum: true });
    repliesTo(test, heartbeat(3, 1));
    assert.deepEqual(repliesTo(test, { ...VOTE_REQUEST, term: term(9) }), []);
    assert.equal(test.core.term, 1);
    const asked: VoteRequest = { ...VOTE_REQUEST, term: term(9), isTransfer: true };
    assert.deepEqual(repliesTo(test, asked), [
      { kind: "vote-reply", from: 1, to: 2, term: 9, granted: true },
    ]);
  });

  it("gives one again when the leader was silent for an election timeout", () => {
    const test = testNode({ checkQuorum: true, electionTicks: 5, heartbeatTicks: 1 });
    repliesTo(test, heartbeat(3, 1));
    tick(test, 4);
    assert.equal(repliesTo(test, { ...VOTE_REQUEST, term: term(2) }).length, 0);
    test.core.electionTimeoutTicks = 99;
    tick(test, 1);
    assert.equal(repliesTo(test, { ...VOTE_REQUEST, term: term(2) }).length, 1);
  });
});

describe("standing for election (Raft §5.2)", () => {
  it("begins a term after a timeout that is drawn between one and two election timeouts", () => {
    for (const [random, expectedTicks] of [
      [0, 5],
      [0.5, 7],
      [0.999, 9],
    ] as const) {
      const test = testNode({ electionTicks: 5, heartbeatTicks: 1, random: () => random });
      tick(test, expectedTicks - 1);
      assert.equal(test.core.role.kind, "follower");
      tick(test, 1);
      assert.equal(test.core.role.kind, "candidate");
      assert.equal(test.core.term, 1);
    }
  });

  it("is put off by every heartbeat", () => {
    const test = testNode({ electionTicks: 5, heartbeatTicks: 1 });
    for (let round = 0; round < 5; round += 1) {
      tick(test, 4);
      repliesTo(test, heartbeat(2, 1));
    }
    assert.equal(test.core.role.kind, "follower");
  });

  it("counts its own vote only when that is durable", () => {
    const test = testNode({ voters: [1] });
    test.node.campaign();
    const { append } = test.node.ready();
    assert.equal(test.core.role.kind, "candidate");
    assert.ok(append !== null);
    complete(test, append);
    assert.equal(test.core.role.kind, "leader");
  });

  it("counts each voter once, and strangers never", () => {
    const test = testNode({ voters: [1, 2, 3, 4, 5] });
    test.node.campaign();
    settle(test);
    const reply = { kind: "vote-reply", to: id(1), term: term(1), granted: true } as const;
    test.node.step({ ...reply, from: id(2) });
    test.node.step({ ...reply, from: id(2) });
    assert.equal(test.node.step({ ...reply, from: id(9) }), "unknown-peer");
    assert.equal(test.core.role.kind, "candidate");
    test.node.step({ ...reply, from: id(3) });
    assert.equal(test.core.role.kind, "leader");
  });

  it("does not change its mind about a voter", () => {
    const test = testNode();
    test.node.campaign();
    settle(test);
    const reply = { kind: "vote-reply", to: id(1), term: term(1), from: id(2) } as const;
    test.node.step({ ...reply, granted: false });
    test.node.step({ ...reply, granted: true });
    assert.equal(test.core.role.kind, "candidate");
  });

  it("ends when the leader of the term is heard", () => {
    const test = testNode();
    test.node.campaign();
    settle(test);
    repliesTo(test, heartbeat(2, 1));
    assert.deepEqual(test.core.role, { kind: "follower", leaderId: 2 });
  });

  it("waits for a membership change that is committed and not applied (etcd #12359)", () => {
    const change = { kind: "conf-change-v2", data: new Uint8Array(0) } as const;
    const hardState = { term: term(2), votedFor: id(0), commitIndex: index(2) };
    const test = testNode({ entries: [{ ...at(2, 2), ...change }], hardState });
    test.node.campaign();
    assert.equal(test.core.role.kind, "follower");
  });

  it("waits for a snapshot to become durable", () => {
    const test = testNode();
    const snapshot = {
      ...at(1, 9),
      membership: test.node.status().membership,
      data: new Uint8Array(0),
    };
    const to = id(1);
    test.node.step({ kind: "snapshot-request", from: id(2), to, term: term(1), snapshot });
    test.node.campaign();
    assert.equal(test.core.role.kind, "follower");
    settle(test);
    test.node.campaign();
    assert.equal(test.core.role.kind, "candidate");
  });
});

describe("pre-vote (thesis §9.6)", () => {
  it("changes neither the term nor the vote of anybody", () => {
    const test = testNode({ preVote: true });
    test.node.campaign();
    const sent = settle(test);
    assert.deepEqual(
      sent.map((message) => [message.kind, "term" in message && message.term]),
      [
        ["pre-vote-request", 1],
        ["pre-vote-request", 1],
      ],
    );
    assert.equal(test.core.term, 0);

    const other = testNode({ self: 2 });
    const request = { kind: "pre-vote-request", from: id(1), to: id(2), term: term(5) } as const;
    const [reply] = repliesTo(other, { ...request, last: at(1, 1) });
    assert.deepEqual(reply, { kind: "pre-vote-reply", from: 2, to: 1, term: 5, granted: true });
    assert.equal(other.core.term, 0);
    assert.equal(other.core.votedFor, 0);
  });

  it("is not granted by who hears a leader, so that nobody disturbs it (thesis §4.2.3)", () => {
    const test = testNode({ checkQuorum: true, preVote: true });
    repliesTo(test, heartbeat(3, 1));
    const request = { kind: "pre-vote-request", from: id(2), to: id(1), term: term(9) } as const;
    assert.deepEqual(repliesTo(test, { ...request, last: at(9, 9) }), []);
    assert.equal(test.core.term, 1);
  });

  it("leads to an election once a quorum would grant it", () => {
    const test = testNode({ preVote: true });
    test.node.campaign();
    settle(test);
    const reply = { kind: "pre-vote-reply", from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...reply, granted: true });
    assert.equal(test.core.role.kind, "candidate");
    assert.equal(test.core.term, 1);
  });

  it("tells a candidate of an earlier term the term that is here", () => {
    const hardState = { term: term(7), votedFor: id(2), commitIndex: index(1) };
    const test = testNode({ hardState });
    const request = { kind: "pre-vote-request", from: id(2), to: id(1), term: term(3) } as const;
    const [reply] = repliesTo(test, { ...request, last: at(9, 9) });
    assert.deepEqual(reply, { kind: "pre-vote-reply", from: 1, to: 2, term: 7, granted: false });
  });
});

describe("a leader without a quorum (thesis §6.2)", () => {
  it("steps down after an election timeout in which too few answered", () => {
    const test = testNode({ checkQuorum: true, electionTicks: 5, heartbeatTicks: 1 });
    elect(test);
    tick(test, 5);
    assert.equal(test.core.role.kind, "leader");
    tick(test, 5);
    assert.equal(test.core.role.kind, "follower");
    assert.equal(test.core.term, 1);
  });

  it("stays while a quorum answers", () => {
    const test = testNode({ checkQuorum: true, electionTicks: 5, heartbeatTicks: 1 });
    elect(test);
    for (let round = 0; round < 6; round += 1) {
      tick(test, 5);
      const reply = { kind: "heartbeat-reply", from: id(3), to: id(1), term: term(1) } as const;
      test.node.step({ ...reply, readSequence: 0 });
    }
    assert.equal(test.core.role.kind, "leader");
  });
});
