import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerFleetHandlers } from "../../../master/api/fleet-handlers.ts";
import { Registrations } from "../../../master/api/registrations.ts";
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
  const consensus = {
    status: () => ({ role: "leader", isReady: true, term: 1 }),
    confirmRead: async () => machine.index,
    propose: async (bytes: Uint8Array) => ({ outcome: machine.apply(decodeCommand(bytes)) }),
  };
  const deps = {
    ...{ consensus, fleet: registry, namespace: () => machine.namespace },
    ...{ env: { log: new MemoryLog(), clock, hasher }, nowMs: () => machine.nowMs },
    ...{ registrations: new Registrations(), isFounding: () => false },
  };
  registerFleetHandlers({ onCall } as unknown as Handlers, deps as never);
  const call = async (method: { readonly name: string }, head: unknown): Promise<unknown> => {
    const request = { head, body: new Uint8Array(), release: () => {} };
    return handlers.get(method.name)?.(request as never, contexts.make(PEER));
  };
  const register = (name: string) =>
    call(api.register, { server: location(name), space: SPACE, clusterId: null });
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
    for (const name of names) registry.recordRegistration(location(name), SPACE);
  };
  return { machine, registry, register, remove, keepAlive };
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
});
