import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMasters } from "../support/real-masters.ts";

describe("a leader that is stopped gracefully", () => {
  it("transfers leadership before it stops, without an election timeout", async () => {
    await using masters = await startRealMasters({
      count: 3,
      clusterId: "d".repeat(32) as ClusterId,
      makeEnv: () => makeEnv(new MemoryLog()),
      settings: {},
    });
    const addresses = masters.members.map((member) => member.address);
    await using fileSystem = await connect({ masters: addresses });
    await fileSystem.create("/before");
    const leader = masters.leader();
    assert.ok(leader !== undefined, "the cluster has a leader after a commit");
    await leader.stop();
    const others = masters.members.filter((member) => member !== leader);
    const roles = others.map(({ running }) => running.consensus.status().role);
    assert.deepEqual(roles.sort(), ["follower", "leader"]);
    await fileSystem.create("/after");
  });
});
