import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import { registerTransact } from "../../../master/api/transact-handler.ts";
import { TransactionAdmission } from "../../../master/api/transaction-admission.ts";
import { decodeCommand } from "../../../master/namespace/command-encoding.ts";
import { AshlarError } from "../../../shared/base/errors.ts";
import type { TransactRequest, TransactResponse } from "../../../shared/protocol/transact-api.ts";
import type { CallHandler, Handlers } from "../../../shared/wire/rpc.ts";
import type { ServerCall } from "../../../shared/wire/server-call.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { at, hasher, inline, OWNER, TestStateMachine } from "../namespace/harness.ts";

const CALLS = 20;
const ADMITTED_BYTES_MAX = 16 * 1024 * 1024;
const turns = async (): Promise<void> => {
  for (let each = 0; each < 50; each += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** A leader whose proposals are applied when the test says so. */
async function startLeader() {
  const machine = await TestStateMachine.make();
  const clock = new VirtualClock();
  const contexts = new CallContexts(clock);
  const pending: { readonly bytes: Uint8Array; apply(): void }[] = [];
  let role = "leader";
  const consensus = {
    status: () => ({ role, isReady: true, term: 1, leaderId: 1 }),
    propose: (bytes: Uint8Array) =>
      new Promise((resolve) => {
        const apply = (): void => resolve({ outcome: machine.apply(decodeCommand(bytes)) });
        pending.push({ bytes, apply });
      }),
  };
  let handler: CallHandler<TransactRequest, TransactResponse> | null = null;
  const onCall = (_method: unknown, given: typeof handler): void => {
    handler = given;
  };
  const deps = {
    ...{ consensus, env: { clock, hasher }, namespace: () => machine.namespace },
    ...{ nowMs: () => machine.nowMs, sessions: { recordActivity: () => {} } },
  };
  registerTransact({ onCall } as unknown as Handlers, deps as unknown as MasterDeps);
  const sessionId = machine.openSession();
  /** Calls with one transaction of `files` new files of 4,000 bytes. */
  const call = (number: number, files: number): Promise<unknown> => {
    const operations = Array.from({ length: files }, (_, file) => {
      const content = inline("x".repeat(4_000));
      const target = at(`/${number}-${file}`);
      return { kind: "put", target, content, replace: false, ...OWNER } as const;
    });
    const transactions = [{ sequence: number + 1, preconditions: [], operations }];
    const head = { sessionId, firstUnacknowledged: 1, transactions };
    const request = { release: () => {}, head, body: new Uint8Array() };
    return handler?.(request, contexts.make()) ?? Promise.reject(new Error("not registered"));
  };
  return {
    ...{ call, pending },
    loseLeadership: () => {
      role = "follower";
    },
  };
}

describe("large transactions", () => {
  it("wait before their work while others are in progress, and all are answered", async () => {
    const { call, pending } = await startLeader();
    const answers = Array.from({ length: CALLS }, (_, number) => call(number, 600));
    let appliedCount = 0;
    while (appliedCount < CALLS) {
      await turns();
      const bytes = pending.reduce((sum, each) => sum + each.bytes.length, 0);
      assert.ok(bytes > 0 && bytes <= 1.1 * ADMITTED_BYTES_MAX, `${bytes} bytes are in progress`);
      pending.shift()?.apply();
      appliedCount += 1;
    }
    for (const answer of await Promise.all(answers)) {
      const [outcome] = (answer as TransactResponse).outcomes;
      assert.ok(outcome !== undefined && "index" in outcome, String(outcome));
    }
  });

  it("do not delay small ones", async () => {
    const { call, pending } = await startLeader();
    for (let number = 0; number < CALLS; number += 1) call(number, 600);
    await turns();
    const before = pending.length;
    call(CALLS, 1);
    await turns();
    assert.equal(pending.length, before + 1);
  });

  it("are refused after a wait in which the leadership was lost", async () => {
    const { call, pending, loseLeadership } = await startLeader();
    const answers = Array.from({ length: CALLS }, (_, number) => call(number, 600));
    await turns();
    const begun = pending.length;
    const refused = Promise.all(
      answers.slice(begun).map((answer) => assert.rejects(answer, hasCode("NOT_LEADER"))),
    );
    loseLeadership();
    for (const each of pending.splice(0)) each.apply();
    await refused;
    assert.equal(pending.length, 0);
  });
});

describe("the admission of large transactions", () => {
  /** An admission in which the calls of the test wait: a call of 100 bytes is in progress. */
  async function startFull() {
    const admission = new TransactionAdmission(100);
    const contexts = new CallContexts(new VirtualClock());
    const order: string[] = [];
    const admit = (name: string, bytes = 100, connection = "client:1"): ServerCall => {
      const context = Object.assign(contexts.makeCall(), { peerAddress: connection });
      admission.admit(bytes, context).then(
        (release) => {
          order.push(name);
          release();
        },
        () => {},
      );
      return context;
    };
    const first = await admission.admit(100, contexts.make());
    return { admission, admit, order, releaseFirst: first };
  }

  it("gives each connection the same share", async () => {
    const { admit, order, releaseFirst } = await startFull();
    for (let each = 0; each < 3; each += 1) admit(`a${each}`, 100, "client:1");
    for (let each = 0; each < 3; each += 1) admit(`b${each}`, 100, "client:2");
    releaseFirst();
    await turns();
    assert.deepEqual(order, ["a0", "b0", "a1", "b1", "a2", "b2"]);
  });

  it("does not count a call that ends while it waits", async () => {
    const { admission, admit, order, releaseFirst } = await startFull();
    admit("b0", 100, "client:2");
    const ended = admit("ended", 100, "client:1");
    ended.abort(new AshlarError("DEADLINE_EXCEEDED", "The call has expired"));
    await turns();
    assert.equal(admission.waitingCount, 1);
    admit("b1", 100, "client:2");
    admit("a0", 100, "client:1");
    releaseFirst();
    await turns();
    assert.deepEqual(order, ["b0", "a0", "b1"]);
  });

  it("admits a call larger than the bound alone", async () => {
    const admission = new TransactionAdmission(100);
    const contexts = new CallContexts(new VirtualClock());
    const begun: string[] = [];
    const admit = async (name: string, bytes: number): Promise<() => void> => {
      const release = await admission.admit(bytes, contexts.make());
      begun.push(name);
      return release;
    };
    const small = admit("small", 50);
    const large = admit("large", 1_000);
    const next = admit("next", 10);
    await turns();
    assert.deepEqual(begun, ["small"]);
    (await small)();
    await turns();
    assert.deepEqual(begun, ["small", "large"]);
    (await large)();
    (await next)();
    assert.deepEqual(begun, ["small", "large", "next"]);
  });
});
