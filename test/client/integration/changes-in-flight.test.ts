import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { startRealMasters } from "../support/real-masters.ts";

/** About three times as many as the masters keep outcomes of a session. */
const CREATES = 3_000;

describe("3,000 changes of one client at once", () => {
  it("are all acknowledged although the leadership is transferred twice", async () => {
    await using masters = await startRealMasters({
      count: 3,
      clusterId: "d".repeat(32) as ClusterId,
      makeEnv: () => makeEnv(new MemoryLog()),
      settings: {},
    });
    const addresses = masters.members.map((member) => member.address);
    await using fileSystem = await connect({ masters: addresses, timeoutMs: 120_000 });
    let doneCount = 0;
    const creates = Array.from({ length: CREATES }, async (_, number) => {
      await fileSystem.create(`/file-${number}`);
      doneCount += 1;
      if (doneCount === 100 || doneCount === 1_500) await fileSystem.masters.transfer(null);
    });
    const failed = (await Promise.allSettled(creates)).filter(
      ({ status }) => status === "rejected",
    );
    assert.deepEqual(failed, []);
  });
});
