import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LEAVE_JOINT } from "../../../master/raft/membership-change.ts";
import type { AppendRequest } from "../../../master/raft/messages.ts";
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

describe("the work of a Ready", () => {
  it("acknowledges entries only after their write (Raft, Figure 2)", () => {
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

  it("is requested only once", () => {
    const test = testNode();
    test.node.step(APPEND);
    assert.ok(test.node.hasReady());
    test.node.ready();
    assert.ok(!test.node.hasReady());
    const { append, apply, messages, leadership } = test.node.ready();
    assert.deepEqual([append, apply, messages, leadership], [null, null, [], null]);
  });

  it("can contain several pending writes, which complete one after the other", () => {
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

  it("ignores the completion of a write of an earlier term (etcd's ABA race)", () => {
    const test = testNode();
    test.node.step(APPEND);
    const first = test.node.ready().append;
    test.node.step({ ...APPEND, term: term(2), entries: [entry(2, 2)] });
    const second = test.node.ready().append;
    test.node.step({ ...APPEND, term: term(3), entries: [entry(1, 2, "x")] });
    const third = test.node.ready().append;
    assert.ok(first !== null && second !== null && third !== null);
    complete(test, first);
    // The first write made an equal entry durable, but the second write will overwrite it.
    assert.equal(test.core.log.unstable.firstIndex, 2);
    complete(test, second);
    assert.equal(test.core.log.unstable.firstIndex, 2);
    complete(test, third);
    assert.equal(test.core.log.unstable.firstIndex, 3);
  });

  it("contains entries to apply only when they are durable on this member", () => {
    const test = testNode();
    test.node.step({ ...APPEND, commitIndex: index(2) });
    const { append, apply } = test.node.ready();
    assert.equal(apply, null);
    assert.ok(append !== null);
    complete(test, append);
    assert.deepEqual(test.node.ready().apply?.entries, APPEND.entries);
  });

  it("continues when the storage has loaded entries that were unavailable", () => {
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

describe("a restart", () => {
  it("uses the applied index if it is higher than the stored commit index", () => {
    // A new commit index alone is not synced. Found by the simulation.
    const hardState = { term: term(1), votedFor: id(0), commitIndex: index(2) };
    const entries = [entry(1, 2), entry(1, 3), entry(1, 4)];
    const { core } = testNode({ entries, hardState, appliedIndex: index(4) });
    assert.equal(core.log.committedIndex, 4);
    assert.equal(core.log.appliedIndex, 4);
  });

  it("fails if the log ends before the commit index", () => {
    const hardState = { term: term(1), votedFor: id(0), commitIndex: index(9) };
    assert.throws(() => testNode({ hardState }), /contains every acknowledged entry/);
  });

  it("uses read ids that no earlier run has used (etcd #20418)", () => {
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
  it("returns index and term of the entries, so that the driver recognizes them", () => {
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

  it("is refused without a leader, on a follower, and during a leadership transfer", () => {
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

  it("is refused as a whole when too much is uncommitted", () => {
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

  it("refuses a membership change that would leave no voter", () => {
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

describe("leadership", () => {
  it("is reported with its term, so that losing and regaining it is visible", () => {
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

  it("stays after a message of another leader of the term, which is refused", () => {
    const test = testNode();
    elect(test);
    const result = test.node.step(APPEND);
    assert.deepEqual(result, { kind: "refused", reason: "expected no other leader of term 1" });
    assert.equal(test.core.role.kind, "leader");
  });
});
