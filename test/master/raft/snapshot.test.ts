import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LEAVE_JOINT, proposalOf } from "../../../master/raft/membership-change.ts";
import {
  acknowledgeAll,
  at,
  complete,
  elect,
  entry,
  id,
  index,
  settle,
  snapshotAt,
  term,
  testNode,
} from "./raft-fixtures.ts";

describe("snapshots (Raft §7)", () => {
  const request = (snapshot: ReturnType<typeof snapshotAt>) =>
    ({ kind: "snapshot-request", from: id(2), to: id(1), term: term(2), snapshot }) as const;

  it("replace the log and are acknowledged once durable", () => {
    const test = testNode({ entries: [entry(1, 2), entry(1, 3)] });
    test.node.step(request(snapshotAt(2, 9, [1, 2, 3])));
    const { append, messages } = test.node.ready();
    assert.deepEqual(messages, []);
    assert.equal(append?.snapshot?.index, 9);
    assert.ok(append !== null);
    const accepted = { kind: "append-accepted", from: 1, to: 2, term: 2, matchIndex: 9 };
    assert.deepEqual(complete(test, append), [accepted]);
    assert.equal(test.core.log.appliedIndex, 9);
  });

  it("only advance the commit index if the log contains their last entry", () => {
    const test = testNode({ entries: [entry(1, 2), entry(1, 3)] });
    test.node.step(request(snapshotAt(1, 2, [1, 2, 3])));
    assert.equal(test.core.log.lastIndex(), 3);
    assert.equal(test.core.log.committedIndex, 2);
    assert.equal(test.node.ready().append?.snapshot, null);
  });

  it("are ignored by a member that is not in their membership", () => {
    const test = testNode();
    test.node.step(request(snapshotAt(2, 9, [2, 3])));
    assert.equal(test.core.log.lastIndex(), 1);
  });

  it("are not sent to a member that was added later", () => {
    // The member would ignore them and wait forever. Found by the simulation.
    const test = testNode({ voters: [1, 2, 3] });
    elect(test);
    const operation = { kind: "add-learner", memberId: id(4) } as const;
    test.node.proposeChange({ kind: "v1", operation, context: new Uint8Array(0) });
    settle(test);
    acknowledgeAll(test);
    test.node.applyMembershipChange({ kind: "v1", operation, context: new Uint8Array(0) });
    settle(test);
    const rejected = { kind: "append-rejected", from: id(4), to: id(1), term: term(1) } as const;
    test.node.step({ ...rejected, rejectedIndex: index(2), hint: at(0, 0) });
    const sent = settle(test);
    assert.ok(sent.every((message) => message.kind !== "snapshot-request"));
  });

  it("keep their membership while earlier entries are still being applied", () => {
    // The snapshot already includes the changes of those entries. Found by the simulation.
    const change = { ...proposalOf(LEAVE_JOINT), ...at(1, 2) };
    const joint = { ...snapshotAt(1, 1, [1, 2, 3]).membership, votersOutgoing: [1, 2].map(id) };
    const { storage } = testNode();
    const snapshot = { ...snapshotAt(1, 1, []), membership: joint };
    storage.write({ snapshot, entries: [change], hardState: null });
    const test = testNode({ storage });
    const heartbeat = { kind: "heartbeat-request", from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...heartbeat, commitIndex: index(2), readSequence: 0 });
    const { apply } = test.node.ready();
    assert.deepEqual(apply?.entries, [change]);
    test.node.step(request(snapshotAt(2, 9, [1, 5])));
    const applied = test.node.applyMembershipChange(LEAVE_JOINT);
    assert.deepEqual(applied.voters, [1, 2, 3]);
    assert.deepEqual(applied.votersOutgoing, []);
    assert.deepEqual(test.node.status().membership.voters, [1, 5]);
    assert.ok(apply !== null);
    test.node.step(apply.reply);
    settle(test);
    assert.deepEqual(test.core.appliedMembership, test.core.membership);
  });
});
