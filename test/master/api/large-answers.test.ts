import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerNamespaceHandlers } from "../../../master/api/namespace-handlers.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import { allocate, locate } from "../../../shared/protocol/namespace-api.ts";
import type { CallHandler, Handlers } from "../../../shared/wire/rpc.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import {
  at,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";

const CALLS = 5;
const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
const MIB = 2 ** 20;

/** A leader with three live servers and a file of one chunk at /f. */
async function startLeader() {
  const machine = await TestStateMachine.make();
  const content = chunksContent(sealed("a"));
  machine.run({ kind: "put", target: at("/f"), content, replace: false, ...OWNER });
  const clock = new VirtualClock();
  const times = { suspectMs: 1e6, deadMs: 2e6, repairDelayMs: 3, repairDelayStoppedMs: 4 };
  const registry = new Registry({ clock, random: new SeededRandom(1), times });
  for (const name of ["s1", "s2", "s3"]) {
    const location = { serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" };
    machine.apply({ kind: "register-server", nowMs: machine.nowMs, server: location });
    registry.recordRegistration(location, SPACE);
  }
  const handlers = new Map<string, CallHandler<unknown, unknown>>();
  const consensus = {
    status: () => ({ role: "leader", isReady: true, term: 1 }),
    confirmRead: async () => machine.index,
  };
  const env = { clock, hasher: createHasher().hasher };
  const deps = { consensus, env, fleet: registry, namespace: () => machine.namespace };
  registerNamespaceHandlers(
    {
      onCall: (method: { readonly name: string }, handler: never) =>
        handlers.set(method.name, handler),
    } as unknown as Handlers,
    deps as never,
  );
  const call = (method: { readonly name: string }, head: unknown): Promise<unknown> => {
    const handler = handlers.get(method.name) as CallHandler<unknown, unknown>;
    const request = { release: () => {}, head };
    return handler(request as never, { remainingMs: () => 1_000 } as never);
  };
  return { clock, call };
}

/** Starts CALLS calls in one turn and returns how many are answered in it, and in each later one. */
async function answersPerTurn(
  method: { readonly name: string },
  head: unknown,
): Promise<readonly number[]> {
  const { clock, call } = await startLeader();
  let answered = 0;
  const all = Array.from({ length: CALLS }, async () => {
    await call(method, head);
    answered += 1;
  });
  const counts: number[] = [];
  let seen = 0;
  while (answered < CALLS) {
    for (let count = 0; count < 50; count += 1) await Promise.resolve();
    counts.push(answered - seen);
    seen = answered;
    if (seen < CALLS) await clock.step();
  }
  counts.push(answered - seen);
  await Promise.all(all);
  return counts.filter((count) => count > 0);
}

const allocateOf = (count: number) => ({
  ...{ target: at("/f"), count, chunkSizeBytes: MIB, exclude: [], keep: [], clientHost: "" },
});
const locateOf = (count: number) => ({
  ...{ target: at("/f"), read: { kind: "linearizable" }, firstPosition: 0, count },
});

describe("calls that a client sends together", () => {
  it("allocate many chunks in one turn each, so that others are served between them", async () => {
    assert.deepEqual(await answersPerTurn(allocate, allocateOf(8)), [1, 1, 1, 1, 1]);
    assert.deepEqual(await answersPerTurn(allocate, allocateOf(1)), [CALLS]);
  });

  it("locate many chunks in one turn each", async () => {
    assert.deepEqual(await answersPerTurn(locate, locateOf(8)), [1, 1, 1, 1, 1]);
    assert.deepEqual(await answersPerTurn(locate, locateOf(1)), [CALLS]);
  });
});
