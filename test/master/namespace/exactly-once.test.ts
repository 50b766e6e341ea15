import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Command, Transact } from "../../../master/namespace/command.ts";
import { OUTCOMES_MAX } from "../../../master/namespace/sessions.ts";
import type { SessionId } from "../../../shared/base/ids.ts";
import { assertOk, at, codeOf, OWNER, Replica, START_MS } from "./harness.ts";

function makeCommand(
  replica: Replica,
  sequence: number,
  options: { path?: string; firstUnacknowledged?: number } = {},
): Transact {
  const { path = `/d${sequence}`, firstUnacknowledged = 1 } = options;
  return {
    kind: "transact",
    nowMs: replica.nowMs,
    attempt: { sessionId: replica.sessionId, sequence, firstUnacknowledged },
    preconditions: [],
    operations: [{ kind: "make-directory", target: at(path), parents: false, ...OWNER }],
  };
}

describe("exactly once (G4, Raft thesis §6.3)", () => {
  it("answers a retry with the first outcome and changes nothing", async () => {
    const replica = await Replica.make();
    const command = makeCommand(replica, 1);
    const first = replica.apply(command);
    assertOk(first);
    assert.deepEqual(replica.apply(command), first);
    assert.equal(replica.namespace.counters().directoryCount, 2);
  });

  it("answers a retry with the refusal of the first attempt, though it would succeed now", async () => {
    const replica = await Replica.make();
    const command = makeCommand(replica, 1, { path: "/parent/child" });
    const first = replica.apply(command);
    assert.equal(codeOf(first), "NOT_FOUND");
    assertOk(replica.apply(makeCommand(replica, 2, { path: "/parent" })));
    assert.deepEqual(replica.apply(command), first);
    assert.throws(() => replica.namespace.stat(at("/parent/child")));
  });

  it("keeps outcomes over a restart, flushed or replayed", async () => {
    const replica = await Replica.make();
    const first = replica.apply(makeCommand(replica, 1));
    await replica.namespace.flush();
    const second = replica.apply(makeCommand(replica, 2));
    replica.restart();
    assert.deepEqual(replica.apply(makeCommand(replica, 1)), first);
    assert.deepEqual(replica.apply(makeCommand(replica, 2)), second);
  });

  it("runs sequences that arrive out of order", async () => {
    const replica = await Replica.make();
    for (const sequence of [3, 1, 2]) assertOk(replica.apply(makeCommand(replica, sequence)));
    assert.equal(replica.namespace.counters().directoryCount, 4);
  });

  it("refuses a sequence whose outcome the client has acknowledged", async () => {
    const replica = await Replica.make();
    assertOk(replica.apply(makeCommand(replica, 1)));
    assertOk(replica.apply(makeCommand(replica, 2, { firstUnacknowledged: 2 })));
    assert.equal(codeOf(replica.apply(makeCommand(replica, 1))), "SESSION_EXPIRED");
  });

  it("refuses a sequence that OUTCOMES_MAX newer ones pushed out, and keeps no more than those", async () => {
    const replica = await Replica.make();
    for (let sequence = 1; sequence <= OUTCOMES_MAX + 1; sequence += 1) {
      assertOk(replica.apply(makeCommand(replica, sequence)));
    }
    assert.equal(codeOf(replica.apply(makeCommand(replica, 1))), "SESSION_EXPIRED");
    assertOk(replica.apply(makeCommand(replica, 2)));
    await replica.namespace.flush();
    const range = { start: Uint8Array.of(0x6f), end: Uint8Array.of(0x70) };
    assert.equal([...replica.store.range(range)].length, OUTCOMES_MAX);
  });

  it("bounds the outcomes of a client that leaps ahead", async () => {
    const replica = await Replica.make();
    for (const sequence of [1, 2, 1e9, 1e9 + 1, 2e12]) {
      assertOk(replica.apply(makeCommand(replica, sequence)));
    }
    await replica.namespace.flush();
    const range = { start: Uint8Array.of(0x6f), end: Uint8Array.of(0x70) };
    assert.equal([...replica.store.range(range)].length, 1);
    assert.equal(codeOf(replica.apply(makeCommand(replica, 2))), "SESSION_EXPIRED");
  });

  it("refuses an attempt that is acknowledged before it ran, and keeps nothing of it", async () => {
    const replica = await Replica.make();
    const early = makeCommand(replica, 1, { firstUnacknowledged: 2 });
    assert.equal(codeOf(replica.apply(early)), "INVALID_ARGUMENT");
    assertOk(replica.apply(makeCommand(replica, 1)));
  });

  it("refuses a session that is unknown, closed or expired", async () => {
    const replica = await Replica.make();
    const { sessionId } = replica;
    const commands: Command[] = [
      { kind: "close-session", nowMs: START_MS, sessionId },
      { kind: "expire-sessions", nowMs: START_MS, sessionIds: [sessionId, 77 as SessionId] },
    ];
    for (const command of commands) {
      replica.openSession();
      const ended = { ...command, sessionId: replica.sessionId, sessionIds: [replica.sessionId] };
      assertOk(replica.apply(makeCommand(replica, 1, { path: `/${command.kind}` })));
      assertOk(replica.apply(ended));
      assertOk(replica.apply(ended));
      assert.equal(codeOf(replica.apply(makeCommand(replica, 2))), "SESSION_EXPIRED");
      assert.ok(!replica.namespace.hasSession(replica.sessionId));
    }
    await replica.namespace.flush();
    const outcomes = [
      ...replica.store.range({ start: Uint8Array.of(0x6f), end: Uint8Array.of(0x70) }),
    ];
    assert.equal(outcomes.length, 0);
  });

  it("renews a session by keep-session", async () => {
    const replica = await Replica.make();
    const { sessionId } = replica;
    replica.nowMs += 5_000;
    assertOk(replica.apply({ kind: "keep-session", nowMs: replica.nowMs, sessionId }));
    assert.deepEqual(replica.namespace.sessions(), [
      { sessionId, clientName: "test", openedMs: START_MS, activeMs: START_MS + 5_000 },
    ]);
    const unknown = 99 as SessionId;
    const outcome = replica.apply({
      kind: "keep-session",
      nowMs: replica.nowMs,
      sessionId: unknown,
    });
    assert.equal(codeOf(outcome), "SESSION_EXPIRED");
  });

  it("defines a storage class once", async () => {
    const replica = await Replica.make();
    const define = (sequence: number, copies: number): Command => ({
      kind: "define-storage-class",
      nowMs: START_MS,
      attempt: { sessionId: replica.sessionId, sequence, firstUnacknowledged: 1 },
      storageClass: { name: "safe", copies, copiesMin: 2, racksMin: 2 },
    });
    assertOk(replica.apply(define(1, 4)));
    assertOk(replica.apply(define(2, 5)));
    assertOk(replica.apply(define(1, 4)));
    assert.equal(replica.namespace.storageClass("safe")?.copies, 5);
    assert.equal(codeOf(replica.apply(define(3, 1))), "INVALID_ARGUMENT");
  });
});
