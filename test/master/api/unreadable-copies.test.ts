import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FEATURE_LEVEL_UNREADABLE } from "../../../master/namespace/feature-levels.ts";
import { type HeartbeatRequest, heartbeat } from "../../../shared/protocol/fleet-api.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  raiseTo,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { connectionOf, FleetLeader, heartbeatOf } from "./fleet-fixture.ts";

const SERVERS = ["s1", "s2", "s3"];

/** A leader whose state has the chunk "a" on three servers, of which `live` have registered. */
async function makeLeader(
  live: readonly string[] = SERVERS,
  level = FEATURE_LEVEL_UNREADABLE,
  heard = live,
) {
  const machine = await TestStateMachine.make();
  machine.apply(raiseTo(level));
  machine.apply({ kind: "change-enrolment", nowMs: machine.nowMs, change: { kind: "open" } });
  const leader = new FleetLeader(machine);
  const connections = new Map(SERVERS.map((name) => [name, connectionOf(name)]));
  const connection = (name: string) => connections.get(name) ?? connectionOf(name);
  for (const name of live) await leader.register(connection(name), name);
  const intentIndex = machine.index;
  const content = chunksContent(sealed("a", { servers: SERVERS, intentIndex }));
  machine.run({ kind: "put", target: at("/f"), content, replace: false, ...OWNER });
  const beat = (name: string, more: Partial<HeartbeatRequest>) =>
    leader.call(connection(name), heartbeat, { ...heartbeatOf(name), ...more });
  for (const name of heard) await beat(name, {});
  const report = (name: string) =>
    beat(name, { unreadable: [{ chunkId: chunkId("a"), reason: "EIO", intentIndex }] });
  const holders = () =>
    machine.namespace.chunk(chunkId("a"))?.replicas.map((replica) => replica.serverId);
  return { leader, beat, report, holders };
}

const ids = (...names: string[]) => names.map(serverId);

describe("the report of a copy that a disk cannot read", () => {
  it("ends the counting of the copy while another one is live", async () => {
    const { leader, report, holders } = await makeLeader();
    await report("s1");
    assert.deepEqual(holders(), ids("s2", "s3"));
    assert.match(String(leader.log.lines.at(-1)?.message), /cannot read some of its replicas/);
  });

  it("does not end it before heartbeats say that the disks of the others work", async () => {
    const { report, beat, holders } = await makeLeader(SERVERS, FEATURE_LEVEL_UNREADABLE, ["s1"]);
    await report("s1");
    assert.deepEqual(holders(), ids(...SERVERS));
    await beat("s2", { isDiskFailed: true });
    await report("s1");
    assert.deepEqual(holders(), ids(...SERVERS));
    await beat("s3", {});
    await report("s1");
    assert.deepEqual(holders(), ids("s2", "s3"));
  });

  it("shows the number of such copies of each server", async () => {
    const { leader, beat } = await makeLeader();
    await beat("s1", { unreadableCount: 7 });
    const counts = leader.registry.servers().map((server) => server.unreadableCount);
    assert.deepEqual(counts, [7, 0, 0]);
  });

  it("keeps the last recorded copy if all servers report it", async () => {
    const { report, holders } = await makeLeader();
    await Promise.all(SERVERS.map((name) => report(name)));
    assert.equal(holders()?.length, 1);
    for (const name of SERVERS) await report(name);
    assert.equal(holders()?.length, 1);
  });

  it("keeps the copy while no other one is on a live server with a working disk", async () => {
    const { beat, report, holders } = await makeLeader(["s1", "s2"]);
    await beat("s2", { isDiskFailed: true });
    await report("s1"); // s3 has never registered.
    assert.deepEqual(holders(), ids(...SERVERS));
  });

  it("changes nothing below its feature level", async () => {
    const { report, holders } = await makeLeader(SERVERS, FEATURE_LEVEL_UNREADABLE - 1);
    await report("s1");
    assert.deepEqual(holders(), ids(...SERVERS));
  });
});
