import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MasterSession } from "../../../client/masters/master-session.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex, SessionId } from "../../../shared/base/ids.ts";
import type { CallMethod } from "../../../shared/protocol/method.ts";
import {
  type Attempt,
  closeSession,
  keepSession,
  openSession,
} from "../../../shared/protocol/namespace-api.ts";
import {
  SESSION_OUTCOMES_MAX,
  type TransactRequest,
  transact,
} from "../../../shared/protocol/transact-api.ts";
import type { LeaderCallOptions, PartialCall } from "../../../shared/wire/leader-channel.ts";
import type { Received } from "../../../shared/wire/rpc.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";

const IDLE_MS = 9_000;

/** A channel to masters whose behavior the test sets. */
class ScriptedMasters {
  /** Received mutations. */
  readonly receivedAttempts: Attempt[] = [];
  /** Names of the called methods. */
  readonly calledMethods: string[] = [];
  /** Number of transactions in each call. */
  readonly transactionCounts: number[] = [];
  sessionCount = 0;
  /** Runs before a session is opened. Default: the opening succeeds. */
  onOpen: (options: LeaderCallOptions) => Promise<void> = async () => {};
  /** Runs before a mutation is committed. Default: the commit succeeds. */
  onTransact: (attempt: Attempt, onUncertain: () => void) => Promise<void> = async () => {};

  connection(): Promise<never> {
    return Promise.reject(new AshlarError("UNSUPPORTED", "Cannot open a stream in this test"));
  }

  refreshMasters(): Promise<void> {
    return this.connection();
  }

  async call<Request, Response>(
    method: CallMethod<Request, Response>,
    _request: Request,
    options: LeaderCallOptions,
  ): Promise<Received<Response>> {
    assert.equal(options.idempotent, true, "every call is idempotent");
    this.calledMethods.push(method.name);
    if (method.name === openSession.name) await this.onOpen(options);
    const head = await this.#answer(method.name);
    return { head: head as Response, body: new Uint8Array(), release: () => {} };
  }

  async #answer(name: string): Promise<unknown> {
    if (name === openSession.name) {
      this.sessionCount += 1;
      return { sessionId: this.sessionCount as SessionId, index: 1, idleMsMax: IDLE_MS };
    }
    return { index: 7 };
  }

  async callParts<Request, Response>(
    method: CallMethod<Request, Response>,
    { request, onResponse }: PartialCall<Request, Response>,
    { onUncertain = () => {} }: Omit<LeaderCallOptions, "idempotent">,
  ): Promise<void> {
    assert.equal(method.name, transact.name);
    const received = request() as TransactRequest;
    const { sessionId, firstUnacknowledged, transactions } = received;
    this.transactionCounts.push(transactions.length);
    const outcomes = transactions.map(async ({ sequence }) => {
      const attempt = { sessionId, firstUnacknowledged, sequence };
      this.receivedAttempts.push(attempt);
      try {
        await this.onTransact(attempt, onUncertain);
        return { index: 7, inodes: [] };
      } catch (error) {
        return error;
      }
    });
    assert.equal(onResponse({ outcomes: await Promise.all(outcomes) } as Response), null);
  }
}

function makeSession(masters: ScriptedMasters, clock = new VirtualClock()): MasterSession {
  return new MasterSession({
    channel: masters,
    anyMaster: masters,
    readMode: "linearizable",
    seenIndex: 0 as LogIndex,
    clock,
    log: new MemoryLog(),
    clientName: "test",
    timeoutMs: 1_000,
  });
}

function mutate(session: MasterSession) {
  return session.transact({ preconditions: [], operations: [] });
}

function expired(): AshlarError {
  return new AshlarError("SESSION_EXPIRED", "Cannot apply: the session has ended");
}

describe("a client session (Raft thesis §6.3)", () => {
  it("is opened once by the first concurrent mutations", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    await Promise.all([mutate(session), mutate(session), mutate(session)]);
    assert.equal(masters.sessionCount, 1);
    assert.deepEqual(
      masters.receivedAttempts.map((attempt) => attempt.sequence),
      [1, 2, 3],
    );
  });

  it("does not delay the close while its opening is pending", async () => {
    const masters = new ScriptedMasters();
    const clock = new VirtualClock();
    const session = makeSession(masters, clock);
    masters.onOpen = ({ timeoutMs, signal }) => clock.sleep(timeoutMs, signal);
    const mutation = mutate(session);
    mutation.catch(() => {}); // Asserted below.
    await clock.advance(10);
    await clock.advanceFor(session[Symbol.asyncDispose](), "the session is closed", 100);
    await assert.rejects(mutation, hasCode("CANCELLED"));
  });

  it("sends the transactions of one turn together, each with its own sequence number", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    await mutate(session);
    await Promise.all([mutate(session), mutate(session), mutate(session)]);
    assert.deepEqual(masters.transactionCounts, [1, 3]);
    assert.deepEqual(masters.receivedAttempts.slice(1), [
      { sessionId: 1, sequence: 2, firstUnacknowledged: 2 },
      { sessionId: 1, sequence: 3, firstUnacknowledged: 2 },
      { sessionId: 1, sequence: 4, firstUnacknowledged: 2 },
    ]);
  });

  it("moves only the refused transactions to a new session after its expiry", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    await mutate(session);
    masters.onTransact = async ({ sessionId, sequence }) => {
      if (sessionId === 1 && sequence >= 3) throw expired();
    };
    await Promise.all([mutate(session), mutate(session), mutate(session)]);
    assert.equal(masters.sessionCount, 2);
    assert.deepEqual(masters.transactionCounts, [1, 3, 2]);
    assert.deepEqual(
      masters.receivedAttempts.map(({ sessionId, sequence }) => `${sessionId}.${sequence}`),
      ["1.1", "1.2", "1.3", "1.4", "2.1", "2.2"],
    );
  });

  it("never acknowledges an outcome that it may still request", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    let finishFirst = (): void => {};
    masters.onTransact = async ({ sequence }) => {
      if (sequence === 1) await new Promise<void>((resolve) => (finishFirst = resolve));
    };
    const first = mutate(session);
    while (masters.receivedAttempts.length === 0) await Promise.resolve();
    await mutate(session);
    await mutate(session);
    finishFirst();
    await first;
    await mutate(session);
    assert.deepEqual(
      masters.receivedAttempts.map((attempt) => attempt.firstUnacknowledged),
      [1, 1, 1, 4],
    );
  });

  it("moves a mutation to a new session if it expired before the mutation took effect", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    masters.onTransact = async ({ sessionId }) => {
      if (sessionId === 1) throw expired();
    };
    await mutate(session);
    assert.equal(masters.sessionCount, 2);
    assert.deepEqual(
      masters.receivedAttempts.map((attempt) => attempt.sequence),
      [1, 1],
    );
  });

  it("fails with COMMIT_UNKNOWN if an attempt without a response preceded its expiry", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    masters.onTransact = async (_, onUncertain) => {
      onUncertain();
      throw expired();
    };
    await assert.rejects(mutate(session), (error) => isAshlarError(error, "COMMIT_UNKNOWN"));
    assert.equal(masters.receivedAttempts.length, 1, "the mutation is not repeated");
  });

  it("moves a mutation to a new session after an attempt of another one without a response", async () => {
    const masters = new ScriptedMasters();
    const session = makeSession(masters);
    await mutate(session);
    let failOther = (): void => {};
    masters.onTransact = async ({ sessionId, sequence }, onUncertain) => {
      if (sessionId !== 1) return;
      if (sequence === 2) await new Promise<void>((resolve) => (failOther = resolve));
      else onUncertain();
      throw expired();
    };
    const moved = mutate(session);
    while (masters.receivedAttempts.length < 2) await Promise.resolve();
    const unknown = assert.rejects(mutate(session), (error) =>
      isAshlarError(error, "COMMIT_UNKNOWN"),
    );
    await unknown;
    failOther();
    await moved;
    assert.equal(masters.sessionCount, 2);
  });

  it("has at most as many sequence numbers in flight as the masters keep outcomes", async () => {
    const masters = new ScriptedMasters();
    const clock = new VirtualClock();
    const session = makeSession(masters, clock);
    let finishFirst = (): void => {};
    masters.onTransact = async ({ sequence }) => {
      if (sequence === 1) await new Promise<void>((resolve) => (finishFirst = resolve));
    };
    const first = mutate(session);
    while (masters.receivedAttempts.length === 0) await Promise.resolve();
    const others = Array.from({ length: 3_000 }, () => mutate(session));
    const cancelled = new AbortController();
    const waiting = session.transact(
      { preconditions: [], operations: [] },
      { signal: cancelled.signal },
    );
    await clock.advance(100);
    const sent = (): number => Math.max(...masters.receivedAttempts.map((each) => each.sequence));
    assert.equal(sent(), SESSION_OUTCOMES_MAX);
    cancelled.abort();
    await assert.rejects(waiting, hasCode("CANCELLED"));
    finishFirst();
    await clock.advanceFor(Promise.all([first, ...others]), "all are committed");
    assert.equal(sent(), 3_001);
    for (const { sequence, firstUnacknowledged } of masters.receivedAttempts) {
      assert.ok(sequence < firstUnacknowledged + SESSION_OUTCOMES_MAX);
    }
  });

  it("ends a mutation that waits for a sequence number at its deadline, unsent", async () => {
    const masters = new ScriptedMasters();
    const clock = new VirtualClock();
    const session = makeSession(masters, clock);
    masters.onTransact = () => clock.sleep(5_000);
    const sent = Array.from({ length: SESSION_OUTCOMES_MAX }, () => mutate(session));
    await clock.advance(1);
    const late = assert.rejects(mutate(session), hasCode("DEADLINE_EXCEEDED"));
    await clock.advanceFor(late, "it ends", 1_100);
    assert.equal(masters.receivedAttempts.length, SESSION_OUTCOMES_MAX);
    await clock.advanceFor(Promise.allSettled(sent), "the others end", 10_000);
  });

  it("is kept alive while idle, and closed at the end", async () => {
    const masters = new ScriptedMasters();
    const clock = new VirtualClock();
    const session = makeSession(masters, clock);
    await mutate(session);
    for (let step = 0; step < 4; step += 1) await clock.advance(IDLE_MS / 3);
    const kept = masters.calledMethods.filter((name) => name === keepSession.name).length;
    assert.ok(kept >= 3, `${kept} times`);
    await session[Symbol.asyncDispose]();
    assert.equal(masters.calledMethods.at(-1), closeSession.name);
    await assert.rejects(mutate(session), (error) => isAshlarError(error, "CANCELLED"));
  });
});
