import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runCli } from "../../support/memory-cli-env.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { eventually, LoopbackCluster } from "../support/loopback-cluster.ts";

const COPIES = { defaultCopies: 2, defaultCopiesMin: 1, defaultRacksMin: 1 };

describe("the removal of a chunkserver", () => {
  it("is refused while it is live or its chunks are not elsewhere", async () => {
    await using cluster = await LoopbackCluster.start(2, { ...COPIES, repairDelayStoppedMs: 0 });
    const fs = await cluster.connect();
    await fs.writeFile("/f", Buffer.alloc(100_000, 1));
    const leader = cluster.masters.leader();
    const server = cluster.servers[0];
    assert.ok(leader !== undefined && server !== undefined);
    const { running } = leader;
    const levelMax = (await fs.status()).featureLevel?.supported;
    await eventually("the feature level", () => running.namespace().featureLevel === levelMax);
    const { serverId } = server.running;
    await assert.rejects(fs.removeServer("0".repeat(32)), hasCode("NOT_FOUND"));
    await assert.rejects(fs.removeServer(serverId), hasCode("PRECONDITION_FAILED"));
    await server.stop();
    const states = (await fs.status()).chunkservers.map(({ state }) => state);
    assert.deepEqual(states.sort(), ["live", "stopped"]);
    await assert.rejects(fs.removeServer(serverId), (error: { details?: object }) => {
      assert.deepEqual(error.details, { missingCount: 1 });
      return true;
    });
    await cluster.addServer();
    const [chunkId] = running.namespace().chunksOfServer(serverId, null, 1);
    assert.ok(chunkId !== undefined);
    const copies = () => running.namespace().chunk(chunkId)?.replicas.length;
    await eventually("the chunk is repaired", () => copies() === 3);
    const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
    const remove = (name: string) => runCli(["server", "remove", name, "--yes"], { variables });
    const unknown = await remove("nowhere:1");
    assert.deepEqual([unknown.status, /No such chunkserver/.test(unknown.stderr)], [3, true]);
    const removed = await remove(serverId.slice(0, 8));
    assert.deepEqual(
      [removed.status, removed.stderr.split(" (")[0]],
      [0, `removed chunkserver ${serverId.slice(0, 8)}`],
    );
    assert.match((await remove(serverId)).stderr, /was removed before/);
    assert.equal((await fs.status()).chunkservers.length, 2);
    await eventually("its replica is dropped", () => copies() === 2);
  });
});
