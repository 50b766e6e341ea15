import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LEAVE_JOINT, proposalOf } from "../../../master/raft/membership-change.ts";
import type { AppendRequest } from "../../../master/raft/messages.ts";
import type { TestNode } from "./raft-fixtures.ts";
import {
  acknowledgeAll,
  at,
  bytes,
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

const APPEND: AppendRequest = {
  kind: "append-request",
  from: id(2),
  to: id(1),
  term: term(1),
  previous: at(1, 1),
  entries: [entry(1, 2, "x")],
  commitIndex: index(1),
};

function readIds(test: TestNode): readonly number[] {
  return test.node.ready().readStates.map(({ readId }) => readId);
}

function confirm(test: TestNode, readSequence: number): void {
  const { term: inTerm } = test.core;
  const reply = { kind: "heartbeat-reply", from: id(2), to: id(1), term: inTerm } as const;
  test.node.step({ ...reply, readSequence });
}

describe("what a driver is asked to do", () => {
  it("acknowledges entries only behind their write (Raft, Figure 2)", () => {
    const { node } = testNode();
    node.step(APPEND);
    const { messages, append } = node.ready();
    assert.deepEqual(messages, []);
    assert.deepEqual(append?.entries, APPEND.entries);
    assert.deepEqual(append?.replies, [
      { kind: "append-accepted", from: 1, to: 2, term: 1, matchIndex: 2 },
      { kind: "storage-appended", to: 1, term: 1, last: at(1, 2), snapshot: null },
    ]);
  });

  it("asks for nothing twice", () => {
    const test = testNode();
    test.node.step(APPEND);
    assert.ok(test.node.hasReady());
    test.node.ready();
    assert.ok(!test.node.hasReady());
    const { append, apply, messages, leadership } = test.node.ready();
    assert.deepEqual([append, apply, messages, leadership], [null, null, [], null]);
  });

  it("takes several writes at a time, and makes nothing of the first when the second is durable", () => {
    const test = testNode();
    test.node.step(APPEND);
    const first = test.node.ready().append;
    test.node.step({ ...APPEND, previous: at(1, 2), entries: [entry(1, 3)] });
    const second = test.node.ready().append;
    assert.ok(first !== null && second !== null);
    assert.deepEqual(second.entries, [entry(1, 3)]);
    complete(test, first);
    assert.equal(test.core.log.unstable.firstIndex, 3);
    complete(test, second);
    assert.equal(test.core.log.unstable.firstIndex, 4);
  });

  it("does not count a write of an earlier term (etcd's ABA race)", () => {
    const test = testNode();
    test.node.step(APPEND);
    const first = test.node.ready().append;
    test.node.step({ ...APPEND, term: term(2), entries: [entry(2, 2)] });
    const second = test.node.ready().append;
    test.node.step({ ...APPEND, term: term(3), entries: [entry(1, 2, "x")] });
    const third = test.node.ready().append;
    assert.ok(first !== null && second !== null && third !== null);
    complete(test, first);
    // The entry is the one that the first write made durable, but the second will overwrite it.
    assert.equal(test.core.log.unstable.firstIndex, 2);
    complete(test, second);
    assert.equal(test.core.log.unstable.firstIndex, 2);
    complete(test, third);
    assert.equal(test.core.log.unstable.firstIndex, 3);
  });

  it("hands out entries only when they are durable here", () => {
    const test = testNode();
    test.node.step({ ...APPEND, commitIndex: index(2) });
    const { append, apply } = test.node.ready();
    assert.equal(apply, null);
    assert.ok(append !== null);
    complete(test, append);
    assert.deepEqual(test.node.ready().apply?.entries, APPEND.entries);
  });

  it("goes on when the storage has loaded what it called unavailable", () => {
    const { storage } = testNode({ entries: [entry(1, 2)] });
    let isLoaded = false;
    const slow = new Proxy(storage, {
      get: (target, name) => {
        if (name === "entries" && !isLoaded) return () => ({ kind: "unavailable" });
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const test = testNode({ storage: slow });
    const heartbeat = { kind: "heartbeat-request", from: id(2), to: id(1), term: term(1) } as const;
    test.node.step({ ...heartbeat, commitIndex: index(2), readSequence: 0 });
    assert.equal(test.node.ready().apply, null);
    assert.ok(!test.node.hasReady());
    isLoaded = true;
    test.node.entriesLoaded();
    assert.deepEqual(test.node.ready().apply?.entries, [entry(1, 2)]);
  });
});

describe("starting again", () => {
  it("believes the state when it is ahead of the commit index on disk", () => {
    // The commit index is not synced for its own sake. Found by the simulation.
    const hardState = { term: term(1), votedFor: id(0), commitIndex: index(2) };
    const entries = [entry(1, 2), entry(1, 3), entry(1, 4)];
    const { core } = testNode({ entries, hardState, appliedIndex: index(4) });
    assert.equal(core.log.committedIndex, 4);
    assert.equal(core.log.appliedIndex, 4);
  });

  it("stops when the log ends before what was committed", () => {
    const hardState = { term: term(1), votedFor: id(0), commitIndex: index(9) };
    assert.throws(() => testNode({ hardState }), /holds what it acknowledged/);
  });

  it("asks for reads under ids that no earlier run has used (etcd #20418)", () => {
    const ids = [0.1, 0.7].map((random) => {
      const test = testNode({ random: () => random });
      elect(test);
      const result = test.node.readIndex();
      assert.ok(result.kind === "requested");
      return result.readId;
    });
    assert.notEqual(ids[0], ids[1]);
  });
});

describe("proposing", () => {
  it("tells where the entries stand, so that the driver knows its own", () => {
    const test = testNode();
    elect(test);
    const result = test.node.propose([bytes("a"), bytes("b")]);
    assert.deepEqual(result, { kind: "appended", firstIndex: 3, term: 1 });
    assert.deepEqual(
      test.node.ready().append?.entries.map((item) => [item.index, item.data]),
      [
        [3, bytes("a")],
        [4, bytes("b")],
      ],
    );
  });

  it("is refused without a leader, at a follower, and while leadership is handed over", () => {
    const test = testNode();
    const reasonOf = () => {
      const result = test.node.propose([bytes("a")]);
      return result.kind === "refused" ? result.reason : result.kind;
    };
    assert.equal(reasonOf(), "no-leader");
    test.node.step(APPEND);
    assert.equal(reasonOf(), "not-leader");
    elect(test);
    assert.equal(reasonOf(), "appended");
    test.node.transferLeadership(id(2));
    assert.equal(reasonOf(), "transferring");
  });

  it("is refused when too much is uncommitted, and then nothing is taken", () => {
    const test = testNode({ uncommittedBytesMax: 10 });
    elect(test);
    test.node.propose([new Uint8Array(8)]);
    const lastIndex = test.core.log.lastIndex();
    const refused = test.node.propose([new Uint8Array(1), new Uint8Array(8)]);
    assert.deepEqual(refused, { kind: "refused", reason: "overloaded" });
    assert.equal(test.core.log.lastIndex(), lastIndex);
    settle(test);
    acknowledgeAll(test);
    assert.equal(test.node.propose([new Uint8Array(8)]).kind, "appended");
  });

  it("refuses a change that would leave no voter, and tells so", () => {
    const test = testNode();
    elect(test);
    const operations = [1, 2, 3].map((memberId) => ({
      kind: "remove" as const,
      memberId: id(memberId),
    }));
    const change = { kind: "v2", transition: "auto", context: new Uint8Array(0) } as const;
    const result = test.node.proposeChange({ ...change, operations });
    assert.deepEqual(result, { kind: "refused", reason: "change-not-allowed" });
    assert.deepEqual(test.node.proposeChange(LEAVE_JOINT), result);
  });
});

describe("the window of one member (thesis §10.2.1)", () => {
  it("sends ahead up to the bound, and no further until something is acknowledged", () => {
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

  it("splits what it sends at the bound of a message", () => {
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

describe("reads (thesis §6.4, Raft §8)", () => {
  it("wait for a quorum that answers a heartbeat sent after they came", () => {
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

  it("are all confirmed by one round", () => {
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

  it("of a single member also wait for it: what it knew to be committed may be old", () => {
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

  it("are refused beyond the bound", () => {
    const test = testNode({ pendingReadsMax: 1 });
    elect(test);
    assert.equal(test.node.readIndex().kind, "requested");
    assert.deepEqual(test.node.readIndex(), { kind: "refused", reason: "overloaded" });
  });

  it("end with the leader's term, and so do late answers", () => {
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

describe("a follower's commit index (Raft, Figure 2)", () => {
  it("goes no further than the last entry that the leader has vouched for", () => {
    // Entry 3 is left over from an earlier leader; the one that is committed may be another.
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

  it("takes over what the leader says, as far as the log reaches", () => {
    const test = testNode();
    test.node.step({ ...APPEND, commitIndex: index(9) });
    assert.equal(test.core.log.committedIndex, 2);
  });
});

describe("a leader's view of a member (Raft §5.3)", () => {
  it("is not changed by answers to requests from long ago", () => {
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

  it("never goes behind what was acknowledged", () => {
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

describe("snapshots (Raft §7)", () => {
  const request = (snapshot: ReturnType<typeof snapshotAt>) =>
    ({ kind: "snapshot-request", from: id(2), to: id(1), term: term(2), snapshot }) as const;

  it("replace the log, and are acknowledged when they are durable", () => {
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

  it("only bring the commit index forward where the log has their last entry", () => {
    const test = testNode({ entries: [entry(1, 2), entry(1, 3)] });
    test.node.step(request(snapshotAt(1, 2, [1, 2, 3])));
    assert.equal(test.core.log.lastIndex(), 3);
    assert.equal(test.core.log.committedIndex, 2);
    assert.equal(test.node.ready().append?.snapshot, null);
  });

  it("are disregarded by who does not belong to them", () => {
    const test = testNode();
    test.node.step(request(snapshotAt(2, 9, [2, 3])));
    assert.equal(test.core.log.lastIndex(), 1);
  });

  it("are not sent to a member that was added after them", () => {
    // It would disregard them, and wait for ever. Found by the simulation.
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

  it("keep their membership while entries from before them are still applied", () => {
    // The changes in those entries are in the snapshot already. Found by the simulation.
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
    assert.deepEqual(test.core.appliedConfiguration, test.core.configuration);
  });
});

describe("leadership", () => {
  it("is shown with its term, so that a driver sees also that it was lost and won again", () => {
    const test = testNode();
    elect(test);
    const heartbeat = { kind: "heartbeat-request", from: id(3), to: id(1), term: term(2) } as const;
    test.node.step({ ...heartbeat, commitIndex: index(1), readSequence: 0 });
    test.node.campaign();
    const grant = { kind: "vote-reply", to: id(1), term: term(3), granted: true } as const;
    test.node.step({ ...grant, from: id(2) });
    test.node.step({ ...grant, from: id(3) });
    assert.deepEqual(test.node.ready().leadership, { role: "leader", leaderId: 1, term: 3 });
  });

  it("is not shared: who hears another leader of its own term stops", () => {
    const test = testNode();
    elect(test);
    assert.throws(() => test.node.step(APPEND), /one leader/);
  });
});
