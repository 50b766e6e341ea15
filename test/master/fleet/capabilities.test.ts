import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { allocateChunks } from "../../../master/api/allocate.ts";
import type { MasterDeps } from "../../../master/api/leader-context.ts";
import { Registry } from "../../../master/fleet/registry.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { at, hasher, serverId, TestStateMachine } from "../namespace/harness.ts";

const TIMES = { suspectMs: 2_000, deadMs: 10_000, repairDelayMs: 0, repairDelayStoppedMs: 0 };
const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
const TERM = 7;
const REQUIRED = "put-small";

const location = (name: string): ServerLocation => ({
  ...{ serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" },
});

/** Returns the registry of a leader, and its answer to `namespace.allocate` with a required capability. */
async function startLeader() {
  const random = new SeededRandom(1);
  const registry = new Registry({ clock: new VirtualClock(), random, times: TIMES });
  const machine = await TestStateMachine.make();
  registry.beginTerm(TERM, () => []);
  const deps = {
    consensus: { status: () => ({ role: "leader", isReady: true, term: TERM }) },
    env: { hasher },
    fleet: registry,
    namespace: () => machine.namespace,
  } as unknown as MasterDeps;
  const request = {
    ...{ target: at("/f"), count: 1, chunkSizeBytes: 1, exclude: [], keep: [], clientHost: "" },
    requires: [REQUIRED],
  };
  return { registry, allocate: () => allocateChunks(deps, request) };
}

describe("a chunkserver without a capability", () => {
  it("is not chosen for a chunk that requires it, and the refusal names the capability", async () => {
    const { registry, allocate } = await startLeader();
    registry.recordRegistration(location("old"), SPACE);
    registry.recordRegistration(location("other"), SPACE, ["another"]);
    registry.recordRegistration(location("s1"), SPACE, [REQUIRED]);
    assert.throws(allocate, (error: unknown) => {
      assert.ok(isAshlarError(error, "TOO_FEW_CHUNKSERVERS"), String(error));
      assert.match(
        error.message,
        /: old:1 \(\w+\): its version lacks put-small; other:1 \(\w+\): its version lacks put-small; s1:1 \(\w+\): suitable$/,
      );
      return true;
    });
    for (const name of ["s2", "s3"]) registry.recordRegistration(location(name), SPACE, [REQUIRED]);
    const [intent] = allocate().intents;
    const hosts = intent?.servers.map(({ host }) => host).sort();
    assert.deepEqual(hosts, ["s1", "s2", "s3"]);
  });

  it("does not hide that all servers with the capability are full", async () => {
    const { registry, allocate } = await startLeader();
    const full = { ...SPACE, availableBytes: 0 };
    for (const name of ["s1", "s2", "s3"])
      registry.recordRegistration(location(name), full, [REQUIRED]);
    for (const name of ["o1", "o2", "o3"]) registry.recordRegistration(location(name), SPACE);
    assert.throws(allocate, hasCode("NO_SPACE"));
  });

  it("has the capabilities of its last registration", async () => {
    const { registry, allocate } = await startLeader();
    const names = ["s1", "s2", "s3"];
    for (const name of names) registry.recordRegistration(location(name), SPACE, [REQUIRED]);
    allocate();
    // Returned to an older version.
    for (const name of names) registry.recordRegistration(location(name), SPACE);
    assert.throws(allocate, hasCode("TOO_FEW_CHUNKSERVERS"));
  });
});
