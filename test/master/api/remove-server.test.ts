import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerFleetHandlers } from "../../../master/api/fleet-handlers.ts";
import { Registrations } from "../../../master/api/registrations.ts";
import { ServerRemoval } from "../../../master/api/server-removal.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { decodeCommand } from "../../../master/namespace/command-encoding.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import * as api from "../../../shared/protocol/fleet-api.ts";
import type { CallHandler, Handlers, PeerIdentity } from "../../../shared/wire/rpc.ts";
import { CallContexts } from "../../support/call-contexts.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../../support/wire-fixture.ts";
import {
  at,
  chunksContent,
  hasher,
  OWNER,
  raiseTo,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { heartbeatOf } from "./fleet-fixture.ts";

const SPACE = { totalBytes: 1e9, availableBytes: 1e9, usedBytes: 0 };
const NAMES = ["s1", "s2", "s3", "s4"];

const PEER: PeerIdentity = { role: "chunkserver", clusterId: null, name: "s" };

const location = (name: string) => ({
  ...{ serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" },
});

/** A leader of four servers, whose chunks are on s1, s2 and s3. */
async function leader(chunkCount: number) {
  const machine = await TestStateMachine.make();
  const chunks = Array.from({ length: chunkCount }, (_, number) => sealed(`c${number}`));
  const content = chunksContent(...chunks);
  machine.run({ kind: "put", target: at("/f"), content, replace: false, ...OWNER });
  machine.apply(raiseTo(FEATURE_LEVEL_MAX));
  machine.apply({ kind: "change-enrolment", nowMs: machine.nowMs, change: { kind: "open" } });
  const times = { suspectMs: 1, deadMs: 10, repairDelayMs: 3, repairDelayStoppedMs: 4 };
  const clock = new VirtualClock();
  const contexts = new CallContexts(clock);
  const registry = new Registry({ clock, random: new SeededRandom(1), times });
  const handlers = new Map<string, CallHandler<unknown, unknown>>();
  const onCall = (method: { readonly name: string }, handler: never) =>
    handlers.set(method.name, handler);
  let term = 1;
  const consensus = {
    status: () => ({ role: "leader", isReady: true, term }),
    confirmRead: async () => machine.index,
    propose: async (bytes: Uint8Array) => ({ outcome: machine.apply(decodeCommand(bytes)) }),
  };
  const deps = {
    ...{ consensus, fleet: registry, namespace: () => machine.namespace },
    ...{ env: { log: new MemoryLog(), clock, hasher }, nowMs: () => machine.nowMs },
    ...{
      registrations: new Registrations(),
      removal: new ServerRemoval(clock),
      repair: { ordersFor: () => [], recordCopyResult: () => {}, adoptCopy: () => false },
      isFounding: () => false,
    },
  };
  registerFleetHandlers({ onCall } as unknown as Handlers, deps as never);
  const call = async (
    method: { readonly name: string },
    head: unknown,
    peer = PEER,
  ): Promise<unknown> => {
    const request = { head, body: new Uint8Array(), release: () => {} };
    return handlers.get(method.name)?.(request as never, contexts.make(peer));
  };
  /** The connection of each server. */
  const peers = new Map<string, PeerIdentity>();
  const register = (name: string) => {
    const peer = { ...PEER, name };
    peers.set(name, peer);
    return call(api.register, { server: location(name), space: SPACE, clusterId: null }, peer);
  };
  const heartbeat = (name: string, changes: Partial<api.HeartbeatRequest>) =>
    call(api.heartbeat, { ...heartbeatOf(name), ...changes }, peers.get(name));
  const becomeLeaderAgain = (): void => {
    term += 1;
    registry.beginTerm(term, () => machine.namespace.servers());
  };
  for (const name of NAMES) await register(name);
  const remove = async (name: string, isForced = false) => {
    let calls = 0;
    let [checkedTo, missingCount]: [unknown, number] = [null, 0];
    for (;;) {
      const request = { serverId: serverId(name), isForced, checkedTo, missingCount };
      const reply = (await call(api.removeServer, request)) as Record<string, unknown>;
      calls += 1;
      if (reply["isRemoved"] === true) return calls;
      ({ checkedTo, missingCount } = reply as { checkedTo: unknown; missingCount: number });
    }
  };
  /** All servers but these are silent for long enough to be dead. */
  const keepAlive = async (...names: string[]): Promise<void> => {
    await clock.advance(20);
    for (const name of names) hear(name);
  };
  /** Registers a server with a heartbeat. */
  const hear = (name: string): void => {
    registry.recordRegistration(location(name), SPACE);
    registry.recordHeartbeat(heartbeatOf(name));
  };
  return {
    ...{ machine, registry, register, remove, keepAlive, clock, call, hear },
    ...{ heartbeat, becomeLeaderAgain },
  };
}

describe("fleet.remove-server", () => {
  it("refuses a live server, and a server whose chunks lack copies elsewhere", async () => {
    const { machine, remove, keepAlive } = await leader(600);
    await assert.rejects(remove("s1"), /expected a server that is stopped, dead or refused/);
    await keepAlive("s2", "s3", "s4");
    await assert.rejects(remove("s1"), (error: { details?: unknown }) => {
      assert.deepEqual(error.details, { missingCount: 600 });
      return true;
    });
    // With --force one copy elsewhere is enough.
    assert.equal(await remove("s1", true), 2);
    await keepAlive("s4");
    await assert.rejects(remove("s2", true), /at least one copy .* 600 chunks/);
    assert.equal(machine.namespace.servers().length, 3);
  });

  it("removes a server that is gone for ever, and is not an error when it is repeated", async () => {
    const { machine, registry, register, remove, keepAlive } = await leader(3);
    await keepAlive("s1", "s2", "s3");
    assert.equal(await remove("s4"), 1);
    assert.equal(await remove("s4"), 1);
    assert.equal(registry.location(serverId("s4")), undefined);
    await assert.rejects(register("s4"), hasCode("WRONG_IDENTITY"));
    assert.equal(machine.namespace.servers().length, 3);
    await assert.rejects(remove("s5"), hasCode("NOT_FOUND"));
  });

  it("counts no copy on a server that has sent no heartbeat to this leader", async () => {
    const { registry, remove, keepAlive, hear, clock, becomeLeaderAgain } = await leader(3);
    await keepAlive(...NAMES);
    await clock.advance(1);
    becomeLeaderAgain(); // It presumes that all recorded servers are alive.
    hear("s1");
    assert.ok(registry.isAvailable(serverId("s2")));
    await assert.rejects(remove("s1", true), hasCode("PRECONDITION_FAILED"));
    registry.recordRegistration(location("s2"), SPACE);
    await assert.rejects(remove("s1", true), hasCode("PRECONDITION_FAILED"));
    hear("s2");
    assert.equal(await remove("s1", true), 1);
  });

  it("removes one server at a time, so that no two count on the copies of each other", async () => {
    const { machine, remove, keepAlive, clock } = await leader(600);
    await keepAlive(...NAMES);
    const results = await Promise.allSettled(NAMES.map((name) => remove(name, true)));
    const removed = results.filter(({ status }) => status === "fulfilled");
    assert.equal(removed.length, 1);
    for (const result of results) {
      if (result.status === "rejected") assert.ok(hasCode("CHANGE_UNDER_WAY")(result.reason));
    }
    assert.equal(machine.namespace.servers().length, 3);
    await clock.advance(1); // The others are still live.
  });

  it("forgets the removal of a caller that has gone", async () => {
    const { call, remove, keepAlive, hear, clock } = await leader(600);
    await keepAlive(...NAMES);
    const first = { serverId: serverId("s1"), isForced: true, checkedTo: null, missingCount: 0 };
    await call(api.removeServer, first);
    await assert.rejects(remove("s2", true), hasCode("CHANGE_UNDER_WAY"));
    await clock.advance(30_000);
    for (const name of NAMES) hear(name);
    assert.equal(await remove("s2", true), 2);
  });

  it("checks again if a copy was lost meanwhile, and if another leader has checked", async () => {
    const { call, remove, keepAlive, machine, heartbeat } = await leader(600);
    await keepAlive(...NAMES);
    const request = { serverId: serverId("s1"), isForced: true, checkedTo: null, missingCount: 0 };
    const page = (await call(api.removeServer, request)) as { checkedTo: unknown };
    // A loss of the other copies of a chunk that was checked.
    const [checked] = machine.namespace.chunksOfServer(serverId("s1"), null, 1);
    for (const name of ["s2", "s3"]) {
      const lost = [{ chunkId: checked, reason: "lost" }];
      await heartbeat(name, { lost } as never);
    }
    const last = { ...request, ...page };
    const again = (await call(api.removeServer, last)) as {
      isRemoved: boolean;
      checkedTo: unknown;
    };
    assert.deepEqual([again.isRemoved, again.checkedTo], [false, null]);
    await assert.rejects(remove("s1", true), (error: { details?: unknown }) => {
      assert.deepEqual(error.details, { missingCount: 1 });
      return true;
    });
    const unknown = { ...request, checkedTo: checked, missingCount: 0 };
    const restarted = (await call(api.removeServer, unknown)) as { checkedTo: unknown };
    assert.notEqual(restarted.checkedTo, null);
    assert.deepEqual(restarted.checkedTo, page.checkedTo);
  });
});
