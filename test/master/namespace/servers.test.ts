import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Outcome, RemoveServer } from "../../../master/namespace/command.ts";
import type { ServerId } from "../../../shared/base/ids.ts";
import {
  at,
  chunkId,
  chunksContent,
  DAY_MS,
  OWNER,
  START_MS,
  sealed,
  serverId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

const NOW = { nowMs: START_MS };

function register(machine: TestStateMachine, name: string): Outcome {
  const location = { serverId: serverId(name), address: `${name}:1`, host: name, rack: "r" };
  return machine.apply({ kind: "register-server", ...NOW, server: location });
}

/** Writes a file with one chunk for each name, on servers s1, s2 and s3. */
function put(machine: TestStateMachine, path: string, ...names: string[]): void {
  const { index: intentIndex } = machine;
  const content = chunksContent(...names.map((name) => sealed(name, { intentIndex })));
  machine.run({ kind: "put", target: at(path), content, replace: false, ...OWNER });
}

const removal = (name: string): RemoveServer => ({
  ...{ kind: "remove-server", ...NOW },
  ...{ serverId: serverId(name), recordsMax: 4 },
});

describe("the removal of a chunkserver", () => {
  it("takes bounded steps, leaves no replica and no purge, and does not touch others", async () => {
    const machine = await TestStateMachine.make();
    const { namespace } = machine;
    for (const name of ["s1", "s2", "s3"]) register(machine, name);
    put(machine, "/gone", "x", "y");
    machine.run({ kind: "unlink", target: at("/gone") });
    for (let day = 1; day <= 3; day += 1) {
      machine.nowMs += DAY_MS;
      machine.reclaimAll();
    }
    assert.equal(namespace.counters().purgesPending, 6);
    put(machine, "/kept", "a", "b", "c", "d", "e");

    const replicas = (): number => namespace.chunksOfServer(serverId("s1"), null, 100).length;
    machine.apply(removal("s1"));
    assert.deepEqual([replicas(), namespace.purgesOf(serverId("s1"), 9).length], [1, 2]);
    assert.deepEqual(namespace.removedServers(), [serverId("s1")]);
    machine.apply(removal("s1"));
    assert.deepEqual([replicas(), namespace.purgesOf(serverId("s1"), 9).length], [0, 0]);
    assert.equal(namespace.counters().purgesPending, 4);
    assert.equal(namespace.chunk(chunkId("a"))?.replicas.length, 2);
    assert.equal(namespace.underReplicated(null, 100).length, 5);
    assert.deepEqual(
      namespace.servers().map((server) => server.serverId),
      [serverId("s2"), serverId("s3")],
    );
    await namespace.flush();
    checkInvariants(machine.store);
  });

  it("is final: the id cannot register again, and other ids can", async () => {
    const machine = await TestStateMachine.make();
    register(machine, "s1");
    machine.apply(removal("s1"));
    const outcome = register(machine, "s1");
    assert.equal(outcome.ok === false && outcome.code, "WRONG_IDENTITY");
    assert.ok(register(machine, "s2").ok);
    assert.equal(machine.namespace.isServerRemoved(serverId("s1")), true);
    assert.equal(machine.namespace.isServerRemoved(serverId("s2")), false);
  });

  it("removes a replica that a later commit records, when it is repeated", async () => {
    const machine = await TestStateMachine.make();
    register(machine, "s1");
    machine.apply(removal("s1"));
    put(machine, "/late", "a");
    const replicas = () => machine.namespace.chunksOfServer(serverId("s1"), null, 9).length;
    assert.equal(replicas(), 1);
    machine.apply(removal("s1"));
    assert.equal(replicas(), 0);
  });

  it("of an unknown server changes nothing", async () => {
    const machine = await TestStateMachine.make();
    put(machine, "/f", "a");
    machine.apply(removal("s1"));
    assert.deepEqual(machine.namespace.removedServers(), [] as ServerId[]);
    assert.equal(machine.namespace.chunk(chunkId("a"))?.replicas.length, 3);
  });
});
