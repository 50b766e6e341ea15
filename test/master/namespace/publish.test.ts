import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NamespaceOperation, VerifiedChunk } from "../../../master/namespace/command.ts";
import { checkLevel, FEATURE_LEVEL_PUBLISH } from "../../../master/namespace/feature-levels.ts";
import {
  contentRootOf,
  LIST_ROOT_CHUNKS_MAX,
  publishedRootOf,
  SEGMENT_CHUNKS,
} from "../../../shared/protocol/chunk-id.ts";
import { chunkIdBytes } from "../../../shared/protocol/intent.ts";
import {
  assertOk,
  at,
  chunkId,
  chunksContent,
  codeOf,
  hasher,
  MIB,
  OWNER,
  raiseTo,
  sealed,
  stagingId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

async function makeMachine(level = FEATURE_LEVEL_PUBLISH): Promise<TestStateMachine> {
  const machine = await TestStateMachine.make();
  assertOk(machine.apply(raiseTo(level)));
  return machine;
}

const stage = (position: number, chunks: readonly VerifiedChunk[]): NamespaceOperation => {
  return { kind: "stage", id: stagingId("u"), target: at("/f"), position, chunks };
};

function publish(sizeBytes: number, replace = false): NamespaceOperation {
  const id = stagingId("u");
  const chunkSizeBytes = MIB;
  return { kind: "publish", id, target: at("/f"), sizeBytes, chunkSizeBytes, replace, ...OWNER };
}

/** Stages chunks in steps of `step`. The later ones are references to the first 50. */
function stageMany(machine: TestStateMachine, count: number, step: number): VerifiedChunk[] {
  const chunks = Array.from({ length: count }, (_, position) => {
    const chunk = sealed(`c${position % 50}`);
    return position < 50 ? chunk : { ...chunk, replicas: [] };
  });
  for (let position = 0; position < count; position += step) {
    machine.run(stage(position, chunks.slice(position, position + step)));
  }
  return chunks;
}

const idsOf = (chunks: readonly VerifiedChunk[]) => chunks.map(({ id }) => chunkIdBytes(id));

describe("a published upload", () => {
  it("is the same file as one that is committed with a list of its chunks", async () => {
    const machine = await makeMachine();
    const chunks = [sealed("a"), sealed("b"), sealed("c", { lengthBytes: 5 })];
    machine.run(stage(0, chunks.slice(0, 2)));
    machine.run(stage(2, chunks.slice(2)));
    const before = machine.index;
    machine.run(publish(2 * MIB + 5));
    const listed = { kind: "put", content: chunksContent(...chunks), target: at("/g") } as const;
    machine.run({ ...listed, replace: false, ...OWNER });
    const { contentRoot, sizeBytes, chunkCount } = machine.namespace.stat(at("/g")) as never;
    const found = machine.namespace.stat(at("/f"));
    assert.ok(found.kind === "file");
    assert.deepEqual(
      [found.contentRoot, found.sizeBytes, found.chunkCount],
      [contentRoot, sizeBytes, chunkCount],
    );
    const part = { firstPosition: 0, count: 10 };
    assert.deepEqual(
      machine.namespace.locate(at("/f"), part).chunks,
      machine.namespace.locate(at("/g"), part).chunks,
    );
    assert.throws(() => machine.namespace.stat(at("/f"), before), { code: "NOT_FOUND" });
    assert.equal(machine.namespace.counters().stagedBytes, 0);
    await machine.namespace.flush();
    checkInvariants(machine.store);
  });

  for (const step of [250, SEGMENT_CHUNKS, 300]) {
    it(`has the root of its segments if it is large, staged ${step} chunks at a time`, async () => {
      const machine = await makeMachine();
      const count = LIST_ROOT_CHUNKS_MAX + 300;
      const chunks = stageMany(machine, count, step);
      machine.run(publish(count * MIB));
      assert.ok(machine.namespace.entryUnits < 200, `${machine.namespace.entryUnits} units`);
      const found = machine.namespace.stat(at("/f"));
      assert.ok(found.kind === "file");
      const file = { sizeBytes: count * MIB, chunkSizeBytes: MIB };
      assert.deepEqual(found.contentRoot, publishedRootOf(hasher, file, idsOf(chunks)));
      assert.notDeepEqual(found.contentRoot, contentRootOf(hasher, file, idsOf(chunks)));
    });
  }

  it("replaces a file, and is reclaimed as any other", async () => {
    const machine = await makeMachine();
    machine.run({ kind: "create", target: at("/f"), ...OWNER });
    const { inode } = machine.namespace.stat(at("/f"));
    stageMany(machine, 60, 30);
    assert.equal(codeOf(machine.transact([publish(60 * MIB)])), "ALREADY_EXISTS");
    machine.run(publish(60 * MIB, true));
    assert.equal(machine.namespace.stat(at("/f")).inode, inode);
    assert.equal(machine.namespace.counters().logicalBytes, 60 * MIB);
    machine.closeSession();
    machine.openSession();
    machine.reclaimAll();
    assert.equal(machine.namespace.counters().chunkCount, 50, "it does not end with the session");
    machine.run({ kind: "unlink", target: at("/f") });
    machine.expireAndReclaim();
    assert.equal(machine.namespace.counters().chunkCount, 0);
    await machine.namespace.flush();
    checkInvariants(machine.store);
  });

  for (const [name, chunks] of [
    ["the first", ["a", "n1", "n2"]],
    ["a later", ["n1", "n2", "a"]],
  ] as const) {
    it(`raises the copies of all its chunks, also if ${name} one has enough already`, async () => {
      const machine = await makeMachine();
      for (const [className, copies] of [["two", 2] as const, ["five", 5] as const]) {
        const storageClass = { name: className, copies, copiesMin: 1, racksMin: 1 };
        const { nowMs } = machine;
        const attempt = machine.nextAttempt();
        assertOk(machine.apply({ kind: "define-storage-class", nowMs, attempt, storageClass }));
      }
      const fields = { replace: false, storageClass: "five", ...OWNER } as const;
      const old = { kind: "put", target: at("/f"), content: chunksContent(sealed("a")) } as const;
      machine.run({ ...old, ...fields });
      for (const [position, chunk] of chunks.entries()) {
        // The last chunks are staged with more copies than the first.
        const storageClass = position === 2 ? "standard" : "two";
        machine.run({ ...stage(position, [sealed(chunk)]), storageClass } as NamespaceOperation);
      }
      machine.run(publish(3 * MIB, true));
      const copies = chunks.map((chunk) => machine.namespace.chunk(chunkId(chunk))?.copiesWanted);
      assert.deepEqual(copies, [5, 5, 5]);
    });
  }

  it("is refused if its sizes do not match, without a change", async () => {
    const machine = await makeMachine();
    machine.run(stage(0, [sealed("a", { lengthBytes: 5 }), sealed("b")]));
    machine.run(stage(2, [sealed("c", { lengthBytes: 7 })]));
    for (const sizeBytes of [MIB + 12, 2 * MIB + 12, 3 * MIB, MIB]) {
      assert.equal(codeOf(machine.transact([publish(sizeBytes)])), "INVALID_ARGUMENT");
    }
    machine.run({ kind: "unstage", id: stagingId("u") });
    machine.run(stage(0, [sealed("d"), sealed("e")]), stage(2, [sealed("f", { lengthBytes: 1 })]));
    machine.run(publish(2 * MIB + 1));
  });

  it("exists once, and for its session only", async () => {
    const machine = await makeMachine();
    machine.run(stage(0, [sealed("a")]));
    const first = machine.sessionId;
    machine.openSession();
    assert.equal(codeOf(machine.transact([publish(MIB)])), "PRECONDITION_FAILED");
    machine.sessionId = first;
    const attempt = { sessionId: first, sequence: 100, firstUnacknowledged: 100 };
    const command = { kind: "transact", nowMs: machine.nowMs, attempt, preconditions: [] } as const;
    assertOk(machine.apply({ ...command, operations: [publish(MIB)] }));
    const again = { ...command, attempt: { ...attempt, sequence: 101 } };
    const outcome = machine.apply({ ...again, operations: [publish(MIB, true)] });
    assert.equal(codeOf(outcome), "PRECONDITION_FAILED");
  });

  it("needs feature level 11, and an upload that began there", async () => {
    const machine = await makeMachine(FEATURE_LEVEL_PUBLISH - 1);
    machine.run(stage(0, [sealed("a")]));
    const attempt = { sessionId: machine.sessionId, sequence: 9, firstUnacknowledged: 9 };
    const operations = [publish(MIB)];
    const command = { kind: "transact", nowMs: 1, attempt, preconditions: [], operations } as const;
    assert.throws(() => checkLevel(command, FEATURE_LEVEL_PUBLISH - 1), {
      code: "VERSION_MISMATCH",
    });
    assertOk(machine.apply(raiseTo(FEATURE_LEVEL_PUBLISH)));
    machine.run(stage(1, [sealed("b")]));
    assert.equal(codeOf(machine.transact([publish(2 * MIB)])), "PRECONDITION_FAILED");
    await machine.namespace.flush();
    checkInvariants(machine.store);
  });
});
