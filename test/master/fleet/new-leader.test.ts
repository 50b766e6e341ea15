import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { allocateChunks } from "../../../master/api/allocate.ts";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import type { Clock } from "../../../shared/ports/clock.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { at, hasher, TestStateMachine } from "../namespace/harness.ts";

const DEAD_MS = 10_000;
const TIMES = { suspectMs: 2_000, deadMs: DEAD_MS, repairDelayMs: 0, repairDelayStoppedMs: 0 };
const SPACE = { totalBytes: 1, availableBytes: 1, usedBytes: 0 };
const LOCATIONS = ["a", "b"].map((name) => ({
  serverId: name.repeat(32) as ServerId,
  address: `${name}:1`,
  host: name,
  rack: "r",
}));

const random = new SeededRandom(1);

describe("a new leader", () => {
  it("judges no chunkserver before it has led for as long as a dead one is silent", () => {
    let nowMs = 100_000;
    const clock = { monotonicMs: () => nowMs } as Clock;
    const registry = new Registry({ clock, random, times: TIMES });
    const [first, second] = LOCATIONS;
    assert.ok(first !== undefined && second !== undefined);
    // The process has been a follower for longer than a dead server is silent.
    nowMs += 1_000_000;
    const begin = (term: number): void => registry.beginTerm(term, () => LOCATIONS);
    begin(7);
    nowMs += 1_500;
    begin(7);
    assert.deepEqual(registry.settling(), { leaderForMs: 1_500, heardCount: 0 });
    for (const { serverId } of LOCATIONS) {
      assert.deepEqual([registry.liveness(serverId), registry.silentMs(serverId)], ["live", null]);
    }
    registry.recordRegistration(first, SPACE);
    assert.deepEqual(registry.settling(), { leaderForMs: 1_500, heardCount: 1 });
    registry.recordRegistration(second, SPACE);
    assert.equal(registry.settling(), null);

    // In a later term of the same process, the contacts of the earlier term do not count.
    nowMs += 60_000;
    begin(9);
    assert.deepEqual(registry.settling(), { leaderForMs: 0, heardCount: 0 });
    assert.equal(registry.silentMs(first.serverId), null);
    registry.recordRegistration(first, SPACE);
    nowMs += DEAD_MS;
    assert.equal(registry.settling(), null);
    assert.deepEqual(
      LOCATIONS.map(({ serverId }) => registry.liveness(serverId)),
      ["dead", "dead"],
    );
  });

  it("does not call the cluster full before chunkservers have reported their space", async () => {
    let nowMs = 1_000_000;
    const registry = new Registry({
      clock: { monotonicMs: () => nowMs } as Clock,
      random,
      times: TIMES,
    });
    const machine = await TestStateMachine.make();
    const deps = {
      consensus: { status: () => ({ role: "leader", isReady: true, term: 7 }) },
      env: { hasher, random: new SeededRandom(1) },
      fleet: registry,
      namespace: () => machine.namespace,
    } as unknown as MasterDeps;
    const write = { target: at("/f"), count: 1, chunkSizeBytes: 1, exclude: [], keep: [] };
    const allocate = () => allocateChunks(deps, { ...write, clientHost: "" });
    nowMs += 1_000_000;
    // The event loop of the member was blocked while it was a follower.
    registry.forgiveStall(60_000);
    assert.throws(allocate, hasCode("TOO_FEW_CHUNKSERVERS"));
    assert.throws(
      allocate,
      /expected at least (1 suitable chunkserver|\d+ suitable chunkservers): no chunkserver has/,
    );
    for (const location of LOCATIONS) {
      registry.recordRegistration(location, { ...SPACE, availableBytes: 0 });
    }
    assert.throws(allocate, hasCode("NO_SPACE"));
  });

  it("keeps a server of a broken chain once, however often the writer names it", async () => {
    const machine = await TestStateMachine.make();
    const registry = new Registry({
      clock: { monotonicMs: () => 0 } as Clock,
      random,
      times: TIMES,
    });
    const deps = {
      consensus: { status: () => ({ role: "leader", isReady: true, term: 7 }) },
      env: { hasher, random: new SeededRandom(1) },
      fleet: registry,
      namespace: () => machine.namespace,
    } as unknown as MasterDeps;
    registry.beginTerm(7, () => LOCATIONS);
    for (const location of LOCATIONS) registry.recordRegistration(location, SPACE);
    const [first] = LOCATIONS;
    const keep = Array.from({ length: 9 }, () => first?.serverId as never);
    const write = { target: at("/f"), count: 1, chunkSizeBytes: 1, exclude: [], keep };
    const { intents } = allocateChunks(deps, { ...write, clientHost: "" });
    const ids = intents[0]?.servers.map(({ serverId }) => serverId) ?? [];
    assert.equal(ids[0], first?.serverId);
    assert.equal(new Set(ids).size, ids.length);
  });
});
