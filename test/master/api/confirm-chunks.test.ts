import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogIndex } from "../../../shared/base/ids.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "../namespace/harness.ts";
import { TestLeader } from "./leader-fixture.ts";

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
  const leader = await TestLeader.start(machine, SERVERS);
  const ask = (server: string, name = "a"): Promise<string> =>
    leader.ask(server, { name, intentIndex });
  return { machine, leader, repair: leader.repair, intentIndex, ask };
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

describe("a copy that is not recorded, after a change of leader", () => {
  it("is kept until heartbeats have come from enough servers with recorded copies", async () => {
    const { machine, leader, repair, ask } = await leaderWithChunk(["s1", "s2", "s3"]);
    machine.apply({ kind: "raise-intent-floor", floor: machine.index });
    await leader.leadAgain();
    assert.equal(await ask("s4"), "undecided", "the recorded servers may be dead");
    for (const name of ["s1", "s2"]) leader.hear(name);
    assert.equal(await ask("s4"), "undecided");
    assert.deepEqual(repair.ordersFor(serverId("s4")), [], "no copy is missing yet");
    leader.hear("s3");
    assert.equal(await ask("s4"), "unknown");
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
