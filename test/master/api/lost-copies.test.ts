import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FEATURE_LEVEL_LOST_INTENT } from "../../../master/namespace/feature-levels.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { heartbeat } from "../../../shared/protocol/fleet-api.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  raiseTo,
  sealed,
  TestStateMachine,
} from "../namespace/harness.ts";
import { connectionOf, FleetLeader, heartbeatOf } from "./fleet-fixture.ts";

const SERVERS = ["s1", "s2", "s3"];

/** A leader with which s1 has registered, and the report of s1 that it lost chunk "a". */
async function makeLeader(level = FEATURE_LEVEL_LOST_INTENT) {
  const machine = await TestStateMachine.make();
  if (level > 1) machine.apply(raiseTo(level));
  const leader = new FleetLeader(machine);
  const connection = connectionOf("s1");
  await leader.register(connection, "s1");
  const report = (intentIndex: LogIndex) => {
    const lost = [{ chunkId: chunkId("a"), reason: "planted", intentIndex }];
    return leader.call(connection, heartbeat, { ...heartbeatOf("s1"), lost });
  };
  return { machine, leader, connection, report };
}

describe("a report of many lost copies", () => {
  it("reads no row outside of its entries, and writes one line to the log", async () => {
    const { machine, leader, connection } = await makeLeader();
    const { namespace } = machine;
    const names = Array.from({ length: 1_000 }, (_, number) => `lost ${number}`);
    const lost = names.map((name) => ({ chunkId: chunkId(name), reason: "planted" }));
    let reads = 0;
    const chunk = namespace.chunk.bind(namespace);
    namespace.chunk = (id) => {
      reads += 1;
      return chunk(id);
    };
    await leader.call(connection, heartbeat, { ...heartbeatOf("s1"), lost });
    assert.equal(reads, 0);
    const [line, ...others] = leader.log.lines;
    const { serverId } = heartbeatOf("s1");
    const chunkIds = names.slice(0, 10).map((name) => chunkId(name));
    const fields = { serverId, lostCount: 1_000, chunkIds, reasons: ["planted"] };
    assert.deepEqual(line?.fields, fields);
    assert.deepEqual(others, []);
  });
});

describe("the answer to the report of a lost copy", () => {
  it("states the floor from before the report: a commit may follow the report until then", async () => {
    const { machine, report } = await makeLeader();
    const intentIndex = machine.index;
    const floor = machine.namespace.intentFloor();
    // Other entries are applied while the report is recorded.
    const apply = machine.apply.bind(machine);
    machine.apply = (command) => {
      const outcome = apply(command);
      if (command.kind === "drop-replicas")
        apply({ kind: "raise-intent-floor", floor: machine.index });
      return outcome;
    };
    assert.equal((await report(intentIndex)).intentFloor, floor);
    assert.ok(machine.namespace.intentFloor() > intentIndex);
  });

  it("lets the server report it again until a commit cannot record the copy any longer", async () => {
    const { machine, report } = await makeLeader();
    const intentIndex = machine.index;
    const holders = (): number | undefined =>
      machine.namespace.chunk(chunkId("a"))?.replicas.length;
    const early = await report(intentIndex);
    assert.ok(early.intentFloor !== undefined && intentIndex >= early.intentFloor);
    // The client commits with the receipt from before the loss.
    const content = chunksContent(sealed("a", { servers: SERVERS, intentIndex }));
    machine.run({ kind: "put", target: at("/f"), content, replace: false, ...OWNER });
    assert.equal(holders(), 3);
    await report(intentIndex);
    assert.equal(holders(), 2);
    machine.apply({ kind: "raise-intent-floor", floor: machine.index });
    const last = await report(intentIndex);
    assert.ok(last.intentFloor !== undefined && intentIndex < last.intentFloor);
  });

  it("states no floor while the masters do not compare the intents of losses", async () => {
    for (const level of [1, FEATURE_LEVEL_LOST_INTENT - 1]) {
      const { machine, report } = await makeLeader(level);
      assert.equal((await report(machine.index)).intentFloor, undefined);
    }
  });
});
