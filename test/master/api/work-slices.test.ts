import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chunkKeysOf } from "../../../master/api/chunk-keys.ts";
import { FeedService } from "../../../master/api/feed-handler.ts";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import { registerNamespaceHandlers } from "../../../master/api/namespace-handlers.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { decodeCommand } from "../../../master/namespace/command-encoding.ts";
import type { Namespace } from "../../../master/namespace/namespace.ts";
import { present } from "../../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { Hasher } from "../../../shared/ports/hasher.ts";
import type { WatchMessage } from "../../../shared/protocol/feed-api.ts";
import { asOf, history } from "../../../shared/protocol/history-api.ts";
import { signReceipt } from "../../../shared/protocol/intent.ts";
import type { Operation } from "../../../shared/protocol/namespace-api.ts";
import * as api from "../../../shared/protocol/namespace-api.ts";
import { stat } from "../../../shared/protocol/stat-api.ts";
import { type TransactResponse, transact } from "../../../shared/protocol/transact-api.ts";
import type { CallHandler, Handlers, Stream, StreamHandler } from "../../../shared/wire/rpc.ts";
import type { ServerCall } from "../../../shared/wire/server-call.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  at,
  chunkId,
  chunksContent,
  hasher,
  inline,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";

const CALLS = 20;
/** Virtual time of one read of the state. The second one ends a slice of 5 ms. */
const READ_MS = 3;
const HASH_MS = 0.004;
const READS_PER_TURN_MAX = 2;
const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
const MIB = 2 ** 20;
/** The reads of the state that take time. */
const READS = ["stat", "list", "locate", "history", "feed", "storageClasses", "timeOf"] as const;

/** A leader with three live servers, a file of one chunk at /f and an empty file at /e. */
async function startLeader() {
  const machine = await TestStateMachine.make();
  const content = chunksContent(sealed("a"));
  machine.run({ kind: "put", target: at("/f"), content, replace: false, ...OWNER });
  machine.run({ kind: "put", target: at("/e"), content: inline(""), replace: false, ...OWNER });
  const clock = new VirtualClock();
  const times = { suspectMs: 1e6, deadMs: 2e6, repairDelayMs: 3, repairDelayStoppedMs: 4 };
  const registry = new Registry({ clock, random: new SeededRandom(1), times });
  for (const name of ["s1", "s2", "s3"]) {
    const location = { serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" };
    machine.apply({ kind: "register-server", nowMs: machine.nowMs, server: location });
    registry.recordRegistration(location, SPACE);
  }
  const contexts = new CallContexts(clock);
  const readsOfTurns = [0];
  const namespace = timed(machine.namespace, () => {
    clock.stall(READ_MS);
    readsOfTurns.push((readsOfTurns.pop() ?? 0) + 1);
  });
  const chooseServers = registry.chooseServers.bind(registry);
  registry.chooseServers = (request) => {
    clock.stall(READ_MS);
    readsOfTurns.push((readsOfTurns.pop() ?? 0) + 1);
    return chooseServers(request);
  };
  /** The reads that are confirmed: all of them in one turn, as in a round of ReadIndex. */
  const waiting: (() => void)[] = [];
  const confirmRead = () =>
    new Promise<unknown>((resolve) => waiting.push(() => resolve(machine.index)));
  let proposedCount = 0;
  const consensus = {
    status: () => ({ role: "leader", isReady: true, term: 1, leaderId: 1 }),
    confirmRead,
    waitApplied: () => new Promise<void>((resolve) => waiting.push(resolve)),
    propose: async (bytes: Uint8Array) => {
      proposedCount += 1;
      return { outcome: machine.apply(decodeCommand(bytes)) };
    },
  };
  let hashMs = 0;
  const keyedHash: Hasher["keyedHash"] = (key, bytes) => {
    clock.stall(hashMs);
    if (hashMs > 0) readsOfTurns.push((readsOfTurns.pop() ?? 0) + 1);
    return hasher.keyedHash(key, bytes);
  };
  const env = { clock, hasher: { ...hasher, keyedHash } };
  const deps = {
    ...{ consensus, env, fleet: registry, namespace: () => namespace },
    ...{ nowMs: () => machine.nowMs, sessions: { recordActivity: () => {} } },
  };
  const calls = new Map<string, CallHandler<unknown, unknown>>();
  const streams = new Map<string, StreamHandler<unknown, unknown, unknown>>();
  const handlers = {
    onCall: (method: { readonly name: string }, handler: never) => calls.set(method.name, handler),
    onStream: (method: { readonly name: string }, handler: never) =>
      streams.set(method.name, handler),
  } as unknown as Handlers;
  registerNamespaceHandlers(handlers, deps as never);
  const feed = new FeedService(deps as unknown as MasterDeps);
  feed.register(handlers);
  const started: ServerCall[] = [];
  const call = (method: { readonly name: string }, head: unknown): Promise<unknown> => {
    const handler = calls.get(method.name) as CallHandler<unknown, unknown>;
    return new Promise((resolve, reject) => {
      const request = { release: () => {}, head, body: new Uint8Array() };
      const work = contexts.makeCall();
      started.push(work);
      work.begin(() => handler(request, work).then(resolve, reject), reject);
    });
  };
  /** Resumes all waits, and runs turns until `isDone` or no work is left. Returns the reads of each turn. */
  const run = async (isDone = (): boolean => false): Promise<readonly number[]> => {
    while (!isDone()) {
      const resumed = waiting.splice(0);
      for (const resume of resumed) resume();
      await new Promise((resolve) => setImmediate(resolve));
      readsOfTurns.push(0);
      const hasRun = await clock.step(clock.monotonicMs() + READ_MS);
      if (!hasRun && resumed.length === 0 && waiting.length === 0) break;
    }
    return readsOfTurns.splice(0, readsOfTurns.length, 0).filter((count) => count > 0);
  };
  return {
    ...{ machine, call, run, streams, feed, contexts, proposedCount: () => proposedCount },
    /** From now on, hashes are reads, too: they take time. */
    timesHashes: () => {
      hashMs = HASH_MS;
    },
    cancelAll: () => {
      for (const work of started) work.abort(new AshlarError("CANCELLED", "cancelled"));
    },
  };
}

/** Returns `namespace`, whose reads call `onRead` first. */
function timed(namespace: Namespace, onRead: () => void): Namespace {
  return new Proxy(namespace, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const isRead = READS.some((read) => read === name);
      return (...parameters: unknown[]) => {
        if (isRead) onRead();
        return Reflect.apply(value, target, parameters);
      };
    },
  });
}

type Leader = Awaited<ReturnType<typeof startLeader>>;

const linearizable = { kind: "linearizable" } as const;
const path = new TextEncoder().encode("/f");
const METHODS: readonly (readonly [{ readonly name: string }, object])[] = [
  [stat, { targets: [at("/f")], read: linearizable }],
  [api.list, { target: at("/"), read: linearizable, limit: 10 }],
  [api.locate, { target: at("/f"), read: linearizable, firstPosition: 0, count: 1 }],
  [api.listStorageClasses, { read: linearizable }],
  [asOf, { at: { kind: "index", index: 3 }, read: linearizable }],
  [history, { path, read: linearizable, limit: 10 }],
  [
    api.allocate,
    { target: at("/f"), count: 1, chunkSizeBytes: MIB, exclude: [], keep: [], clientHost: "" },
  ],
];

describe("reads that are confirmed together", () => {
  for (const [method, head] of METHODS) {
    it(`take a slice of each turn of the event loop: ${method.name}`, async () => {
      const { call, run } = await startLeader();
      const all = Array.from({ length: CALLS }, () => call(method, head));
      const reads = await run();
      assert.ok(Math.max(...reads) <= READS_PER_TURN_MAX, `reads in each turn: ${reads.join(" ")}`);
      await Promise.all(all);
    });
  }
});

describe("watchers that one change wakes", () => {
  it("read it in a slice of each turn of the event loop", async () => {
    const { machine, run, streams, feed, contexts } = await startLeader();
    let received = 0;
    let sent = 0;
    const send = async ({ events }: WatchMessage): Promise<void> => {
      received += events.length;
      sent += 1;
    };
    const from = { index: machine.index + 1, sequence: 0 };
    const head = { path: at("/").path, from, heartbeatMs: 1e6 };
    const watch = streams.get("namespace.watch") as StreamHandler<unknown, unknown, unknown>;
    const all = Array.from({ length: CALLS }, () => {
      const request = { head, body: new Uint8Array(), release: () => {} };
      return watch(request, { send } as unknown as Stream<unknown, unknown>, contexts.make());
    });
    for (const watching of all) watching.catch(() => {});
    await run(() => sent === CALLS);
    machine.run({ kind: "unlink", target: at("/e") });
    const reads = await run(() => received === CALLS);
    assert.ok(Math.max(...reads) <= READS_PER_TURN_MAX, `reads in each turn: ${reads.join(" ")}`);
    feed[Symbol.dispose]();
    await Promise.allSettled(all);
  });
});

describe("a call with many receipts", () => {
  const TRANSACTIONS = 40;
  const CHUNKS = 30;
  const SERVERS = ["s1", "s2", "s3"];

  function putOf({ machine }: Leader, number: number): Operation {
    const intentIndex = machine.index;
    const [key] = chunkKeysOf(machine.namespace);
    const chunks = Array.from({ length: CHUNKS }, (_, position) => {
      const id = chunkId(`t${number}c${position}`);
      const receipts = SERVERS.map((name) => {
        const sealedChunk = {
          serverId: serverId(name),
          chunkId: id,
          lengthBytes: MIB,
          intentIndex,
        };
        const receipt = signReceipt(hasher, present(key, "a key").key, sealedChunk);
        return { serverId: serverId(name), receipt };
      });
      return { id, lengthBytes: MIB, intentIndex, receipts };
    });
    const content = {
      kind: "chunks",
      sizeBytes: CHUNKS * MIB,
      chunkSizeBytes: MIB,
      chunks,
    } as const;
    return { kind: "put", target: at(`/t${number}`), content, replace: false, ...OWNER };
  }

  /** Starts a call, and returns its answer and the receipts that are verified in each turn. */
  async function startCall(): Promise<{ leader: Leader; answer: Promise<unknown> }> {
    const leader = await startLeader();
    const sessionId = leader.machine.openSession();
    const transactions = Array.from({ length: TRANSACTIONS }, (_, number) => ({
      ...{ sequence: number + 1, preconditions: [], operations: [putOf(leader, number)] },
    }));
    leader.timesHashes();
    const answer = leader.call(transact, { sessionId, firstUnacknowledged: 1, transactions });
    return { leader, answer };
  }

  it("is verified in parts", async () => {
    const { leader, answer } = await startCall();
    const receipts = await leader.run();
    const { outcomes } = (await answer) as TransactResponse;
    assert.deepEqual(
      outcomes.filter((outcome) => isAshlarError(outcome)),
      [],
    );
    assert.equal(leader.proposedCount(), TRANSACTIONS);
    assert.ok(Math.max(...receipts) <= 1_500, `receipts in each turn: ${receipts.join(" ")}`);
  });

  it("proposes nothing more when it is cancelled between two parts", async () => {
    const { leader, answer } = await startCall();
    let turns = 0;
    answer.catch(() => {});
    await leader.run(() => {
      turns += 1;
      if (turns === 2) leader.cancelAll();
      return false;
    });
    await assert.rejects(answer, hasCode("CANCELLED"));
    const proposed = leader.proposedCount();
    assert.ok(proposed > 0 && proposed < TRANSACTIONS, `${proposed} transactions are proposed`);
  });
});
