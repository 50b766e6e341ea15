import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { PeerMessage } from "../../../master/raft/messages.ts";
import type { StepResult } from "../../../master/raft/raft.ts";
import { elect, entry, id, index, settle, type TestNode, term, testNode } from "./raft-fixtures.ts";

function kindOf(result: StepResult): string {
  return typeof result === "object" ? result.kind : result;
}

describe("a leader whose log ends before an entry that a member has acknowledged", () => {
  /** A leader with 4 entries, to which member 2 has acknowledged entry 9. */
  function refusing(): TestNode & { readonly sent: readonly PeerMessage[] } {
    const test = testNode({ entries: [entry(1, 2), entry(1, 3)], checkQuorum: true });
    elect(test);
    const header = { from: id(2), to: id(1), term: test.core.term } as const;
    const result = test.node.step({ ...header, kind: "append-accepted", matchIndex: index(9) });
    assert.equal(kindOf(result), "member-differs");
    return { ...test, sent: settle(test) };
  }

  it("rejects the acknowledgement, and names the end of its log", () => {
    const { core, sent } = refusing();
    const hint = { index: index(4), term: core.term };
    const header = { from: id(1), to: id(2), term: core.term };
    const rejected = { ...header, kind: "append-rejected", rejectedIndex: index(9), hint };
    assert.deepEqual(sent, [rejected]);
  });

  it("counts no later acknowledgement of the member, and sends it no entries", () => {
    const test = refusing();
    const { core, node } = test;
    node.propose([new Uint8Array(1)]);
    assert.ok(settle(test).every(({ kind, to }) => kind !== "append-request" || to === id(3)));
    const header = { from: id(2), to: id(1), term: core.term } as const;
    const result = node.step({ ...header, kind: "append-accepted", matchIndex: index(5) });
    assert.equal(kindOf(result), "member-differs");
    settle(test);
    assert.equal(core.log.committedIndex, 4);
    node.step({ ...header, from: id(3), kind: "append-accepted", matchIndex: index(5) });
    settle(test);
    assert.equal(core.log.committedIndex, 5);
  });

  it("confirms no read with its replies, and answers none of its reads", () => {
    const test = refusing();
    const { core, node } = test;
    assert.equal(node.readIndex().kind, "requested");
    settle(test);
    const header = { from: id(2), to: id(1), term: core.term } as const;
    const reply = node.step({ ...header, kind: "heartbeat-reply", readSequence: 1 });
    assert.equal(kindOf(reply), "member-differs");
    assert.equal(core.readStates.length, 0);
    const request = { kind: "read-index-request", from: id(2), to: id(1), readId: 7 } as const;
    assert.equal(kindOf(node.step(request)), "member-differs");
    node.step({ ...header, from: id(3), kind: "heartbeat-reply", readSequence: 1 });
    assert.equal(core.readStates.length, 1);
    assert.ok(settle(test).every(({ kind }) => kind !== "read-index-reply"));
  });

  it("stays the leader while the member replies: otherwise the member could lead", () => {
    const test = refusing();
    const { core, node } = test;
    for (let tick = 0; tick < 100; tick += 1) {
      const header = { from: id(2), to: id(1), term: core.term } as const;
      node.step({ ...header, kind: "heartbeat-reply", readSequence: 0 });
      node.tick();
      settle(test);
    }
    assert.equal(core.role.kind, "leader");
  });
});

describe("a member whose leader has another history of the same term", () => {
  /** A follower of member 2 in term 2 with 5 committed entries, 3 of them of this term. */
  function following(): TestNode {
    const entries = [entry(1, 2), entry(2, 3), entry(2, 4), entry(2, 5)];
    const hardState = { term: term(2), votedFor: id(1), commitIndex: index(5) };
    const test = testNode({ entries, hardState });
    const header = { from: id(2), to: id(1), term: term(2) } as const;
    test.node.step({
      ...header,
      kind: "heartbeat-request",
      commitIndex: index(0),
      readSequence: 0,
    });
    settle(test);
    return test;
  }

  it("refuses a read at an index before those that it had committed", () => {
    const test = following();
    const read = test.node.readIndex();
    assert.ok(read.kind === "requested");
    const header = { from: id(2), to: id(1), term: term(2), kind: "read-index-reply" } as const;
    const reply = { ...header, readId: read.readId, readIndex: index(4) };
    assert.equal(kindOf(test.node.step({ ...reply, readId: 3 })), "accepted", "an earlier run");
    assert.equal(kindOf(test.node.step(reply)), "leader-differs");
    // Now it also refuses an answer that shows no difference.
    assert.equal(kindOf(test.node.step({ ...reply, readIndex: index(9) })), "leader-differs");
  });

  it("follows no leader after a rejected acknowledgement, and does not campaign", () => {
    const test = following();
    const { core, node } = test;
    const header = { from: id(2), to: id(1), term: term(2) } as const;
    const hint = { index: index(4), term: term(2) };
    const rejected = node.step({
      ...{ ...header, kind: "append-rejected", hint },
      rejectedIndex: index(5),
    });
    assert.equal(kindOf(rejected), "leader-differs");
    const append = {
      ...{ ...header, from: id(3), term: term(4) },
      kind: "append-request",
      previous: { index: index(5), term: term(2) },
      entries: [entry(4, 6)],
      commitIndex: index(6),
    } as const;
    assert.equal(kindOf(node.step(append)), "leader-differs");
    for (let tick = 0; tick < 200; tick += 1) node.tick();
    node.campaign();
    assert.deepEqual(settle(test), []);
    assert.equal(core.log.lastIndex(), 5);
    assert.equal(core.role.kind, "follower");
  });
});
