import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TestNode } from "./raft-fixtures.ts";
import {
  acknowledgeAll,
  complete,
  elect,
  entry,
  id,
  index,
  settle,
  term,
  testNode,
} from "./raft-fixtures.ts";

function readIds(test: TestNode): readonly number[] {
  return test.node.ready().readStates.map(({ readId }) => readId);
}

function confirm(test: TestNode, readSequence: number): void {
  const { term: inTerm } = test.core;
  const reply = { kind: "heartbeat-reply", from: id(2), to: id(1), term: inTerm } as const;
  test.node.step({ ...reply, readSequence });
}

describe("reads (thesis §6.4, Raft §8)", () => {
  it("wait for a quorum of replies to a heartbeat sent after the read", () => {
    const test = testNode();
    elect(test);
    const first = test.node.readIndex();
    const second = test.node.readIndex();
    assert.ok(first.kind === "requested" && second.kind === "requested");
    const sequences = settle(test).map(
      (message) => "readSequence" in message && message.readSequence,
    );
    assert.deepEqual(sequences, [1, 1, 2, 2]);
    confirm(test, 0);
    assert.deepEqual(readIds(test), []);
    confirm(test, 1);
    assert.deepEqual(readIds(test), [first.readId]);
    confirm(test, 2);
    assert.deepEqual(readIds(test), [second.readId]);
  });

  it("are all confirmed by one round of heartbeats", () => {
    const test = testNode();
    elect(test);
    for (let count = 0; count < 5; count += 1) test.node.readIndex();
    settle(test);
    confirm(test, 5);
    assert.equal(readIds(test).length, 5);
  });

  it("wait for the first entry of the leader's term", () => {
    const hardState = { term: term(1), votedFor: id(0), commitIndex: index(1) };
    const test = testNode({ hardState });
    test.node.campaign();
    settle(test);
    const grant = { kind: "vote-reply", from: id(2), to: id(1), term: term(2) } as const;
    test.node.step({ ...grant, granted: true });
    assert.equal(test.node.readIndex().kind, "requested");
    const before = settle(test).filter((message) => message.kind === "heartbeat-request");
    assert.equal(before.length, 0);
    acknowledgeAll(test);
    confirm(test, 1);
    assert.deepEqual(
      test.node.ready().readStates.map(({ readIndex }) => readIndex),
      [2],
    );
  });

  it("wait for that entry in a group of one too: its commit index may be outdated", () => {
    const hardState = { term: term(1), votedFor: id(1), commitIndex: index(1) };
    const test = testNode({ voters: [1], entries: [entry(1, 2, "acknowledged")], hardState });
    test.node.campaign();
    const append = test.node.ready().append;
    assert.ok(append !== null);
    complete(test, append);
    test.node.readIndex();
    assert.equal(test.core.readStates.length, 0);
    const written = test.node.ready().append;
    assert.ok(written !== null);
    complete(test, written);
    assert.deepEqual(
      test.core.readStates.map(({ readIndex }) => readIndex),
      [3],
    );
  });

  it("are refused above the limit", () => {
    const test = testNode({ pendingReadsMax: 1 });
    elect(test);
    assert.equal(test.node.readIndex().kind, "requested");
    assert.deepEqual(test.node.readIndex(), { kind: "refused", reason: "overloaded" });
  });

  it("end with the leader's term, and late replies are ignored", () => {
    const test = testNode();
    elect(test);
    test.node.readIndex();
    settle(test);
    const heartbeat = { kind: "heartbeat-request", from: id(3), to: id(1), term: term(2) } as const;
    test.node.step({ ...heartbeat, commitIndex: index(1), readSequence: 0 });
    confirm(test, 1);
    settle(test);
    elect(test);
    assert.deepEqual(readIds(test), []);
  });
});
