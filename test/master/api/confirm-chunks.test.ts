import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerFleetHandlers } from "../../../master/api/fleet-handlers.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { Repair } from "../../../master/fleet/repair.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { quietLog } from "../../../shared/platform/quiet.ts";
import { confirmChunks } from "../../../shared/protocol/fleet-api.ts";
import type { CallHandler, Handlers } from "../../../shared/wire/rpc.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";

const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
const SERVERS = ["s1", "s2", "s3", "s4"];

/** A leader with live servers whose state records copies of chunk "a" on `holders`. */
async function leaderWithChunk(holders: readonly string[] = ["s1", "s2"]) {
  const machine = await TestStateMachine.make();
  const intentIndex = machine.index;
  const chunk = sealed("a", { servers: [...holders], intentIndex });
  machine.run({
    ...{ kind: "put", target: at("/f"), content: chunksContent(chunk), replace: false },
    ...OWNER,
  });
  const times = { suspectMs: 1, deadMs: 2, repairDelayMs: 3, repairDelayStoppedMs: 4 };
  const clock = new VirtualClock();
  const registry = new Registry({ clock, random: new SeededRandom(1), times });
  const limits = {
    ...{ copiesPerTarget: 4, copiesTotal: 64, orderTimeoutMs: 60_000 },
    ...{ massLossShare: 0.5, racksMin: 1 },
  };
  const repair = new Repair({ registry, clock, log: quietLog, limits });
  const status = () => ({ role: "leader", isReady: true, term: 1 });
  const confirmRead = async () => machine.index;
  const handlers = new Map<string, CallHandler<unknown, unknown>>();
  const consensus = { status, confirmRead };
  const deps = { consensus, fleet: registry, repair, namespace: () => machine.namespace };
  registerFleetHandlers(
    {
      onCall: (method: { readonly name: string }, handler: never) =>
        handlers.set(method.name, handler),
    } as unknown as Handlers,
    deps as never,
  );
  const join = (): void => {
    for (const name of SERVERS) {
      const location = { serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" };
      registry.recordRegistration(location, SPACE);
    }
  };
  /** Asks, as server `name`, about its copy of a chunk. */
  const ask = async (name: string, chunkName = "a"): Promise<string> => {
    const chunks = [{ chunkId: chunkId(chunkName), intentIndex }];
    const request = { release: () => {}, head: { serverId: serverId(name), chunks } };
    const handler = handlers.get(confirmChunks.name) as CallHandler<unknown, unknown>;
    const answer = await handler(request as never, { remainingMs: () => 1_000 } as never);
    join();
    return (answer as { verdicts: string[] }).verdicts[0] ?? "";
  };
  await ask("s1"); // Begins the term.
  return { machine, repair, intentIndex, ask };
}

describe("fleet.confirm-chunks", () => {
  it("never lets a server delete the last good copy of a chunk that a file contains", async () => {
    const { machine, repair, ask } = await leaderWithChunk();
    machine.apply({ kind: "raise-intent-floor", floor: machine.index });
    const items = ["s1", "s2"].map((name) => {
      return { chunkId: chunkId("a"), serverId: serverId(name), reason: "corrupt" };
    });
    machine.apply({ kind: "drop-replicas", items });
    // s3 was the end of the chain: it sealed its copy, but its receipt never reached the client.
    assert.equal(await ask("s3"), "undecided");
    const [order] = repair.ordersFor(serverId("s3"));
    assert.ok(order?.kind === "copy" && order.chunkId === chunkId("a"));
    const { intentIndex } = order;
    const copied = { chunkId: chunkId("a"), serverId: serverId("s3"), intentIndex };
    machine.apply({ kind: "add-replicas", items: [copied] });
    assert.equal(await ask("s3"), "known");
  });

  it("lets a server delete a surplus copy, and one that no file contains", async () => {
    const { machine, ask } = await leaderWithChunk(["s1", "s2", "s3"]);
    assert.equal(await ask("s4"), "undecided", "a commit may still record the copy");
    assert.equal(await ask("s4", "b"), "undecided");
    machine.apply({ kind: "raise-intent-floor", floor: machine.index });
    assert.equal(await ask("s4"), "unknown");
    assert.equal(await ask("s4", "b"), "unknown");
  });
});

describe("the report of a lost copy", () => {
  const lostAt = (intentIndex: number) => ({
    kind: "drop-replicas" as const,
    items: [
      {
        ...{ chunkId: chunkId("a"), serverId: serverId("s1"), reason: "corrupt" },
        intentIndex: intentIndex as LogIndex,
      },
    ],
  });

  it("removes no copy that was sealed again under a later intent", async () => {
    const { machine, intentIndex } = await leaderWithChunk();
    const holders = (): number => machine.namespace.chunk(chunkId("a"))?.replicas.length ?? 0;
    machine.apply(lostAt(intentIndex - 1));
    assert.equal(holders(), 2);
    machine.apply(lostAt(intentIndex));
    assert.equal(holders(), 1);
  });
});
