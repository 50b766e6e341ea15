import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Command, Transact } from "../../../master/namespace/command.ts";
import type { SessionId } from "../../../shared/base/ids.ts";
import { SESSION_OUTCOMES_MAX } from "../../../shared/protocol/transact-api.ts";
import { assertOk, at, codeOf, OWNER, START_MS, TestStateMachine } from "./harness.ts";

function makeCommand(
  machine: TestStateMachine,
  sequence: number,
  options: { path?: string; firstUnacknowledged?: number } = {},
): Transact {
  const { path = `/d${sequence}`, firstUnacknowledged = 1 } = options;
  return {
    kind: "transact",
    nowMs: machine.nowMs,
    attempt: { sessionId: machine.sessionId, sequence, firstUnacknowledged },
    preconditions: [],
    operations: [{ kind: "make-directory", target: at(path), parents: false, ...OWNER }],
  };
}

describe("exactly once (G4, Raft thesis §6.3)", () => {
  it("returns the first outcome to a retry and changes nothing", async () => {
    const machine = await TestStateMachine.make();
    const command = makeCommand(machine, 1);
    const first = machine.apply(command);
    assertOk(first);
    assert.deepEqual(machine.apply(command), first);
    assert.equal(machine.namespace.counters().directoryCount, 2);
  });

  it("returns the first refusal to a retry that would succeed by now", async () => {
    const machine = await TestStateMachine.make();
    const command = makeCommand(machine, 1, { path: "/parent/child" });
    const first = machine.apply(command);
    assert.equal(codeOf(first), "NOT_FOUND");
    assertOk(machine.apply(makeCommand(machine, 2, { path: "/parent" })));
    assert.deepEqual(machine.apply(command), first);
    assert.throws(() => machine.namespace.stat(at("/parent/child")));
  });

  it("keeps flushed and replayed outcomes over a restart", async () => {
    const machine = await TestStateMachine.make();
    const first = machine.apply(makeCommand(machine, 1));
    await machine.namespace.flush();
    const second = machine.apply(makeCommand(machine, 2));
    machine.restart();
    assert.deepEqual(machine.apply(makeCommand(machine, 1)), first);
    assert.deepEqual(machine.apply(makeCommand(machine, 2)), second);
  });

  it("applies sequences that arrive out of order", async () => {
    const machine = await TestStateMachine.make();
    for (const sequence of [3, 1, 2]) assertOk(machine.apply(makeCommand(machine, sequence)));
    assert.equal(machine.namespace.counters().directoryCount, 4);
  });

  it("refuses a sequence whose outcome the client has acknowledged", async () => {
    const machine = await TestStateMachine.make();
    assertOk(machine.apply(makeCommand(machine, 1)));
    assertOk(machine.apply(makeCommand(machine, 2, { firstUnacknowledged: 2 })));
    assert.equal(codeOf(machine.apply(makeCommand(machine, 1))), "SESSION_EXPIRED");
  });

  it("keeps SESSION_OUTCOMES_MAX outcomes and refuses an older sequence", async () => {
    const machine = await TestStateMachine.make();
    for (let sequence = 1; sequence <= SESSION_OUTCOMES_MAX + 1; sequence += 1) {
      assertOk(machine.apply(makeCommand(machine, sequence)));
    }
    assert.equal(codeOf(machine.apply(makeCommand(machine, 1))), "SESSION_EXPIRED");
    assertOk(machine.apply(makeCommand(machine, 2)));
    await machine.namespace.flush();
    const range = { start: Uint8Array.of(0x6f), end: Uint8Array.of(0x70) };
    assert.equal([...machine.store.range(range)].length, SESSION_OUTCOMES_MAX);
  });

  it("bounds the outcomes of a client that skips sequences", async () => {
    const machine = await TestStateMachine.make();
    for (const sequence of [1, 2, 1e9, 1e9 + 1, 2e12]) {
      assertOk(machine.apply(makeCommand(machine, sequence)));
    }
    await machine.namespace.flush();
    const range = { start: Uint8Array.of(0x6f), end: Uint8Array.of(0x70) };
    assert.equal([...machine.store.range(range)].length, 1);
    assert.equal(codeOf(machine.apply(makeCommand(machine, 2))), "SESSION_EXPIRED");
  });

  it("refuses an attempt that is acknowledged before it ran, and stores no outcome", async () => {
    const machine = await TestStateMachine.make();
    const early = makeCommand(machine, 1, { firstUnacknowledged: 2 });
    assert.equal(codeOf(machine.apply(early)), "INVALID_ARGUMENT");
    assertOk(machine.apply(makeCommand(machine, 1)));
  });

  it("refuses an unknown, a closed and an expired session", async () => {
    const machine = await TestStateMachine.make();
    const { sessionId } = machine;
    const commands: Command[] = [
      { kind: "close-session", nowMs: START_MS, sessionId },
      { kind: "expire-sessions", nowMs: START_MS, sessionIds: [sessionId, 77 as SessionId] },
    ];
    for (const command of commands) {
      machine.openSession();
      const ended = { ...command, sessionId: machine.sessionId, sessionIds: [machine.sessionId] };
      assertOk(machine.apply(makeCommand(machine, 1, { path: `/${command.kind}` })));
      assertOk(machine.apply(ended));
      assertOk(machine.apply(ended));
      assert.equal(codeOf(machine.apply(makeCommand(machine, 2))), "SESSION_EXPIRED");
      assert.ok(!machine.namespace.hasSession(machine.sessionId));
    }
    await machine.namespace.flush();
    const outcomes = [
      ...machine.store.range({ start: Uint8Array.of(0x6f), end: Uint8Array.of(0x70) }),
    ];
    assert.equal(outcomes.length, 0);
  });

  it("renews a session by keep-session", async () => {
    const machine = await TestStateMachine.make();
    const { sessionId } = machine;
    machine.nowMs += 5_000;
    assertOk(machine.apply({ kind: "keep-session", nowMs: machine.nowMs, sessionId }));
    assert.deepEqual(machine.namespace.sessions({ after: null, limit: 1_000 }), [
      { sessionId, clientName: "test", openedMs: START_MS, activeMs: START_MS + 5_000 },
    ]);
    const unknown = 99 as SessionId;
    const outcome = machine.apply({
      kind: "keep-session",
      nowMs: machine.nowMs,
      sessionId: unknown,
    });
    assert.equal(codeOf(outcome), "SESSION_EXPIRED");
  });

  it("applies a definition of a storage class once", async () => {
    const machine = await TestStateMachine.make();
    const define = (sequence: number, copies: number): Command => ({
      kind: "define-storage-class",
      nowMs: START_MS,
      attempt: { sessionId: machine.sessionId, sequence, firstUnacknowledged: 1 },
      storageClass: { name: "safe", copies, copiesMin: 2, racksMin: 2 },
    });
    assertOk(machine.apply(define(1, 4)));
    assertOk(machine.apply(define(2, 5)));
    assertOk(machine.apply(define(1, 4)));
    assert.equal(machine.namespace.storageClass("safe")?.copies, 5);
    assert.equal(codeOf(machine.apply(define(3, 1))), "INVALID_ARGUMENT");
  });
});
