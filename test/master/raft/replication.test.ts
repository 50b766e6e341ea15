import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AppendRequest } from "../../../master/raft/messages.ts";
import { at, bytes, elect, entry, id, index, settle, term, testNode } from "./raft-fixtures.ts";

const APPEND: AppendRequest = {
  kind: "append-request",
  from: id(2),
  to: id(1),
  term: term(1),
  previous: at(1, 1),
  entries: [entry(1, 2, "x")],
  commitIndex: index(1),
};

describe("the window of one member (thesis §10.2.1)", () => {
  it("pipelines requests up to its limit and continues after an acknowledgement", () => {
    const test = testNode({ voters: [1, 2], inflightMessagesMax: 2 });
    elect(test);
    const sent = ["a", "b", "c", "d"].map((text) => {
      test.node.propose([bytes(text)]);
      return settle(test).length;
    });
    assert.deepEqual(sent, [1, 1, 0, 0]);
    const answer = { kind: "append-accepted", from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...answer, matchIndex: index(3) });
    const [next] = settle(test).filter((message) => message.kind === "append-request");
    assert.deepEqual(
      next?.entries.map((item) => item.index),
      [5, 6],
    );
  });

  it("splits entries at the size limit of a message", () => {
    const test = testNode({ voters: [1, 2], messageBytesMax: 60 });
    elect(test);
    test.node.propose(["a", "b", "c"].map(bytes));
    settle(test);
    const answer = { kind: "heartbeat-reply", from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...answer, readSequence: 0 });
    const messages = settle(test).filter((message) => message.kind === "append-request");
    assert.deepEqual(
      messages.map((message) => message.entries.length),
      [1],
    );
  });
});

describe("a follower's commit index (Raft, Figure 2)", () => {
  it("advances at most to the last entry that matches the leader's log", () => {
    // Entry 3 is from an earlier leader; the committed entry 3 may be a different one.
    const test = testNode({ entries: [entry(1, 2), entry(1, 3, "left over")] });
    test.node.step({
      ...APPEND,
      term: term(2),
      previous: at(1, 2),
      entries: [],
      commitIndex: index(3),
    });
    assert.equal(test.core.log.committedIndex, 2);
  });

  it("advances to the leader's commit index, but not past the end of the log", () => {
    const test = testNode();
    test.node.step({ ...APPEND, commitIndex: index(9) });
    assert.equal(test.core.log.committedIndex, 2);
  });
});

describe("a leader's view of a member (Raft §5.3)", () => {
  it("is not changed by replies to old requests", () => {
    const test = testNode({ voters: [1, 2], entries: [entry(1, 2), entry(1, 3)] });
    test.node.campaign();
    settle(test);
    const answer = { from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...answer, kind: "vote-reply", granted: true });
    settle(test);
    const rejected = { ...answer, kind: "append-rejected", hint: at(0, 0) } as const;
    test.node.step({ ...rejected, rejectedIndex: index(1) });
    assert.equal(test.node.status().progress[1]?.nextIndex, 4);
    test.node.step({ ...rejected, rejectedIndex: index(3), hint: at(1, 2) });
    assert.equal(test.node.status().progress[1]?.nextIndex, 3);
  });

  it("never falls below the acknowledged index", () => {
    const test = testNode({ voters: [1, 2] });
    elect(test);
    const answer = { from: id(2), to: id(1), term: term(1) } as const;
    const rejected = { ...answer, kind: "append-rejected", hint: at(0, 0) } as const;
    test.node.step({ ...rejected, rejectedIndex: index(2) });
    test.node.step({ ...answer, kind: "append-accepted", matchIndex: index(1) });
    assert.equal(test.node.status().progress[1]?.matchIndex, 2);
    assert.equal(test.node.status().progress[1]?.nextIndex, 3);
  });
});
