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
