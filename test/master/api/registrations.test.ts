import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { confirmChunks, goodbye, heartbeat } from "../../../shared/protocol/fleet-api.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { connectionOf, FleetLeader, heartbeatOf, location } from "./fleet-fixture.ts";

/** A leader with a file on s1, s2 and s3, which have registered on connections of their own. */
async function leaderOfThree() {
  const machine = await TestStateMachine.make();
  const content = chunksContent(sealed("a"));
  machine.run({ kind: "put", target: at("/f"), content, replace: false, ...OWNER });
  const leader = new FleetLeader(machine);
  const connections = { s1: connectionOf("s1"), s2: connectionOf("s2"), s3: connectionOf("s3") };
  for (const [name, connection] of Object.entries(connections)) {
    await leader.register(connection, name);
  }
  return { leader, machine, connections };
}

const lost = { chunkId: chunkId("a"), reason: "planted", intentIndex: 9 as LogIndex };

describe("the reports of a chunkserver", () => {
  it("are refused for another server than the one that registered on the connection", async () => {
    const { leader, machine, connections } = await leaderOfThree();
    const report = { ...heartbeatOf("s2"), lost: [lost] };
    const foreign = hasCode("WRONG_IDENTITY");
    await assert.rejects(leader.call(connections.s1, heartbeat, report), foreign);
    assert.equal(machine.namespace.chunk(chunkId("a"))?.replicas.length, 3);
    const chunks = [{ chunkId: chunkId("a"), intentIndex: 1 as LogIndex }];
    const question = { serverId: serverId("s2"), chunks };
    await assert.rejects(leader.call(connections.s1, confirmChunks, question), foreign);
    const farewell = { serverId: serverId("s2") };
    await assert.rejects(leader.call(connections.s1, goodbye, farewell), foreign);
    assert.equal(leader.registry.liveness(serverId("s2")), "live");

    await leader.call(connections.s2, heartbeat, report);
    assert.equal(machine.namespace.chunk(chunkId("a"))?.replicas.length, 2);
  });

  it("are refused with NOT_FOUND on a connection without a registration: it registers", async () => {
    const { leader } = await leaderOfThree();
    const again = connectionOf("s1");
    await assert.rejects(leader.call(again, heartbeat, heartbeatOf("s1")), hasCode("NOT_FOUND"));
    await leader.register(again, "s1");
    assert.deepEqual((await leader.call(again, heartbeat, heartbeatOf("s1"))).orders, []);
  });

  it("are accepted on the newest connection only", async () => {
    const { leader, connections } = await leaderOfThree();
    const again = connectionOf("s1");
    await leader.register(again, "s1");
    await leader.call(again, heartbeat, heartbeatOf("s1"));
    const old = leader.call(connections.s1, heartbeat, heartbeatOf("s1"));
    await assert.rejects(old, hasCode("NOT_FOUND"));
  });
});

describe("a second process with the id of a chunkserver", () => {
  it("is refused at another address while the first one is live", async () => {
    const { leader } = await leaderOfThree();
    const copy = connectionOf("s1");
    const moved = { server: { ...location("s1"), address: "elsewhere:1" } };
    await assert.rejects(leader.register(copy, "s1", moved), hasCode("WRONG_IDENTITY"));
    assert.equal(leader.registry.location(serverId("s1"))?.address, location("s1").address);
    await leader.clock.advance(1_500);
    await leader.register(copy, "s1", moved);
    assert.equal(leader.registry.location(serverId("s1"))?.address, "elsewhere:1");
  });
});
