import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { ReplicaChanges } from "../../../master/namespace/replica-changes.ts";
import type { ChunkId, LogIndex } from "../../../shared/base/ids.ts";
import {
  at,
  chunkId,
  chunksContent,
  OWNER,
  sealed,
  serverId,
  TestStateMachine,
} from "./harness.ts";

function put(path: string, ...names: string[]): NamespaceOperation {
  const chunks = names.map((name) => sealed(name));
  return {
    kind: "put",
    target: at(path),
    content: chunksContent(...chunks),
    replace: false,
    ...OWNER,
  };
}

/** Returns the noted chunks with the number of their replicas. */
function taken(machine: TestStateMachine): [string, number][] | null {
  const changes = machine.namespace.takeReplicaChanges(100);
  if (changes === null) return null;
  return [...changes].map(([id, { replicas }]) => [id, replicas.length]);
}

describe("the chunks whose replicas have changed", () => {
  it("are noted by commits, added replicas and dropped replicas, until they are taken", async () => {
    const machine = await TestStateMachine.make();
    machine.run(put("/a", "a", "b"));
    assert.deepEqual(taken(machine), [
      [chunkId("a"), 3],
      [chunkId("b"), 3],
    ]);
    assert.deepEqual(taken(machine), []);
    const [chunk, server] = [chunkId("a"), serverId("s4")];
    const item = { chunkId: chunk, serverId: server };
    machine.apply({ kind: "add-replicas", items: [{ ...item, intentIndex: 9 as LogIndex }] });
    assert.deepEqual(taken(machine), [[chunk, 4]]);
    machine.apply({ kind: "drop-replicas", items: [{ ...item, reason: "corrupt" }] });
    assert.deepEqual(taken(machine), [[chunk, 3]]);
  });

  it("are not noted by a second reference, a removal or a refused transaction", async () => {
    const machine = await TestStateMachine.make();
    machine.run(put("/a", "a"));
    taken(machine);
    const reference = chunksContent(sealed("a", { servers: [] }));
    const target = at("/b");
    machine.run({ kind: "put", target, content: reference, replace: false, ...OWNER });
    machine.run({ kind: "unlink", target: at("/a") });
    assert.equal(machine.transact([put("/c", "c"), put("/b", "d")]).ok, false);
    assert.deepEqual(taken(machine), []);
  });

  it("are dropped if they are too many, and the next ones are noted again", () => {
    const changes = new ReplicaChanges();
    const chunk = { lengthBytes: 1, referenceCount: 1, copiesWanted: 3, replicas: [] };
    for (let number = 0; number < 30_000; number += 1) {
      changes.add(number.toString(16).padStart(64, "0") as ChunkId, chunk);
    }
    assert.equal(changes.take(10), null);
    changes.add(chunkId("a"), chunk);
    assert.deepEqual([...(changes.take(10) ?? [])], [[chunkId("a"), chunk]]);
  });
});
