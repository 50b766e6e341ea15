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
  it("requests a durable vote in the same Ready that grants it", () => {
    const { node } = testNode();
    node.step(VOTE_REQUEST);
    const { messages, append } = node.ready();
    assert.deepEqual(messages, []);
    assert.deepEqual(append?.hardState, { term: 1, votedFor: 2, commitIndex: 1 });
    assert.deepEqual(append?.replies, [
      { kind: "vote-reply", from: 1, to: 2, term: 1, granted: true },
    ]);
  });

  it("grants one vote for each term, and repeats the same vote", () => {
    const test = testNode();
    const granted = (message: VoteRequest) =>
      repliesTo(test, message).map((reply) => "granted" in reply && reply.granted);
    assert.deepEqual(granted(VOTE_REQUEST), [true]);
    assert.deepEqual(granted({ ...VOTE_REQUEST, from: id(3) }), [false]);
    assert.deepEqual(granted(VOTE_REQUEST), [true]);
    assert.deepEqual(granted({ ...VOTE_REQUEST, from: id(3), term: term(2) }), [true]);
  });

  it("keeps its vote after a restart", () => {
    const hardState = { term: term(1), votedFor: id(2), commitIndex: index(1) };
    const test = testNode({ hardState });
    const [reply] = repliesTo(test, { ...VOTE_REQUEST, from: id(3) });
    assert.deepEqual(reply, { kind: "vote-reply", from: 1, to: 3, term: 1, granted: false });
  });

  it("rejects a candidate whose log is not up to date", () => {
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

  it("ignores candidates while a leader is active, except in a transfer (thesis §4.2.3)", () => {
    const test = testNode({ checkQuorum: true });
    repliesTo(test, heartbeat(3, 1));
    assert.deepEqual(repliesTo(test, { ...VOTE_REQUEST, term: term(9) }), []);
    assert.equal(test.core.term, 1);
    const transfer: VoteRequest = { ...VOTE_REQUEST, term: term(9), isTransfer: true };
    assert.deepEqual(repliesTo(test, transfer), [
      { kind: "vote-reply", from: 1, to: 2, term: 9, granted: true },
    ]);
  });

  it("grants votes again when the leader was silent for an election timeout", () => {
    const test = testNode({ checkQuorum: true, electionTicks: 5, heartbeatTicks: 1 });
    repliesTo(test, heartbeat(3, 1));
    tick(test, 4);
    assert.equal(repliesTo(test, { ...VOTE_REQUEST, term: term(2) }).length, 0);
    test.core.electionTimeoutTicks = 99;
    tick(test, 1);
    assert.equal(repliesTo(test, { ...VOTE_REQUEST, term: term(2) }).length, 1);
  });
});

describe("campaigning (Raft §5.2)", () => {
  it("starts after a random timeout between one and two election timeouts", () => {
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

  it("is postponed by every heartbeat", () => {
    const test = testNode({ electionTicks: 5, heartbeatTicks: 1 });
    for (let round = 0; round < 5; round += 1) {
      tick(test, 4);
      repliesTo(test, heartbeat(2, 1));
    }
    assert.equal(test.core.role.kind, "follower");
  });

  it("counts the own vote only when it is durable", () => {
    const test = testNode({ voters: [1] });
    test.node.campaign();
    const { append } = test.node.ready();
    assert.equal(test.core.role.kind, "candidate");
    assert.ok(append !== null);
    complete(test, append);
    assert.equal(test.core.role.kind, "leader");
  });

  it("counts each voter once, and ignores non-members", () => {
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

  it("ignores a second, different vote of a voter", () => {
    const test = testNode();
    test.node.campaign();
    settle(test);
    const reply = { kind: "vote-reply", to: id(1), term: term(1), from: id(2) } as const;
    test.node.step({ ...reply, granted: false });
    test.node.step({ ...reply, granted: true });
    assert.equal(test.core.role.kind, "candidate");
  });

  it("ends with a message of the leader of the term", () => {
    const test = testNode();
    test.node.campaign();
    settle(test);
    repliesTo(test, heartbeat(2, 1));
    assert.deepEqual(test.core.role, { kind: "follower", leaderId: 2 });
  });

  it("waits until a committed membership change is applied (etcd #12359)", () => {
    const change = { kind: "conf-change-v2", data: new Uint8Array(0) } as const;
    const hardState = { term: term(2), votedFor: id(0), commitIndex: index(2) };
    const test = testNode({ entries: [{ ...at(2, 2), ...change }], hardState });
    test.node.campaign();
    assert.equal(test.core.role.kind, "follower");
  });

  it("waits until a received snapshot is durable", () => {
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
  it("changes no member's term or vote", () => {
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

  it("is not granted by a member with an active leader (thesis §4.2.3)", () => {
    const test = testNode({ checkQuorum: true, preVote: true });
    repliesTo(test, heartbeat(3, 1));
    const request = { kind: "pre-vote-request", from: id(2), to: id(1), term: term(9) } as const;
    assert.deepEqual(repliesTo(test, { ...request, last: at(9, 9) }), []);
    assert.equal(test.core.term, 1);
  });

  it("starts an election once a quorum has granted it", () => {
    const test = testNode({ preVote: true });
    test.node.campaign();
    settle(test);
    const reply = { kind: "pre-vote-reply", from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...reply, granted: true });
    assert.equal(test.core.role.kind, "candidate");
    assert.equal(test.core.term, 1);
  });

  it("is rejected with the current term if the candidate's term is older", () => {
    const hardState = { term: term(7), votedFor: id(2), commitIndex: index(1) };
    const test = testNode({ hardState });
    const request = { kind: "pre-vote-request", from: id(2), to: id(1), term: term(3) } as const;
    const [reply] = repliesTo(test, { ...request, last: at(9, 9) });
    assert.deepEqual(reply, { kind: "pre-vote-reply", from: 1, to: 2, term: 7, granted: false });
  });
});

describe("a leader without a quorum (thesis §6.2)", () => {
  it("steps down after an election timeout without replies of a quorum", () => {
    const test = testNode({ checkQuorum: true, electionTicks: 5, heartbeatTicks: 1 });
    elect(test);
    tick(test, 5);
    assert.equal(test.core.role.kind, "leader");
    tick(test, 5);
    assert.equal(test.core.role.kind, "follower");
    assert.equal(test.core.term, 1);
  });

  it("remains leader while a quorum replies", () => {
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
