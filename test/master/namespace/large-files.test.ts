import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CHUNKS_PER_CALL_MAX } from "../../../client/write/staging.ts";
import type {
  NamespaceOperation,
  StageOperation,
  VerifiedChunk,
} from "../../../master/namespace/command.ts";
import { ENTRY_UNITS_MAX } from "../../../master/namespace/cost.ts";
import { FEATURE_LEVEL_MAX } from "../../../master/namespace/feature-levels.ts";
import type { FileAttributes } from "../../../shared/protocol/attributes.ts";
import { CONTENT_CHUNKS_MAX } from "../../../shared/protocol/namespace-api.ts";
import {
  assertOk,
  at,
  chunkId,
  chunksContent,
  DAY_MS,
  MIB,
  OWNER,
  raiseTo,
  sealed,
  stagingId,
  TestStateMachine,
} from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

/** Chunks of one `stage`, as the client stages them. */
const STEP = CHUNKS_PER_CALL_MAX;

/** Applies entries of the highest feature level and keeps the cost of the most expensive one. */
class LargeFiles {
  readonly machine: TestStateMachine;
  unitsMax = 0;

  private constructor(machine: TestStateMachine) {
    this.machine = machine;
  }

  static async make(): Promise<LargeFiles> {
    const machine = await TestStateMachine.make();
    assertOk(machine.apply(raiseTo(FEATURE_LEVEL_MAX)));
    return new LargeFiles(machine);
  }

  run(...operations: readonly NamespaceOperation[]): void {
    this.machine.run(...operations);
    this.unitsMax = Math.max(this.unitsMax, this.machine.namespace.entryUnits);
  }

  defineClass(name: string, copies: number): void {
    const storageClass = { name, copies, copiesMin: 1, racksMin: 1 };
    const { nowMs } = this.machine;
    const attempt = this.machine.nextAttempt();
    assertOk(this.machine.apply({ kind: "define-storage-class", nowMs, attempt, storageClass }));
  }

  /** Reclaims in few steps, of rows that are in the store. */
  async reclaim(): Promise<void> {
    await this.machine.namespace.flush();
    this.machine.reclaimAll(30_000);
  }

  /** Reclaims what only the history has. */
  async expire(): Promise<void> {
    for (let round = 0; round < 3; round += 1) {
      this.machine.nowMs += 2 * DAY_MS;
      await this.reclaim();
    }
  }

  /** The wanted copies of the chunks that `stage` uses. */
  copiesWanted(): (number | undefined)[] {
    const { namespace } = this.machine;
    return Array.from(
      { length: STEP },
      (_, number) => namespace.chunk(chunkId(`c${number}`))?.copiesWanted,
    );
  }

  file(path: string): FileAttributes {
    const attributes = this.machine.namespace.stat(at(path));
    assert.ok(attributes.kind === "file");
    return attributes;
  }

  /** Stages `count` chunks: a few different ones, again and again. */
  stage(id: string, count: number): void {
    const chunks = Array.from({ length: STEP }, (_, number) => sealed(`c${number}`));
    for (let position = 0; position < count; position += STEP) {
      this.run(stageAt(id, position, chunks.slice(0, count - position)));
    }
  }
}

const stageAt = (
  id: string,
  position: number,
  chunks: readonly VerifiedChunk[],
): StageOperation => ({ kind: "stage", id: stagingId(id), target: at("/f"), position, chunks });

const publish = (path: string, id: string, chunkCount: number): NamespaceOperation => ({
  kind: "publish",
  id: stagingId(id),
  target: at(path),
  sizeBytes: chunkCount * MIB,
  chunkSizeBytes: MIB,
  replace: true,
  ...OWNER,
});

const copy = (from: string, to: string): NamespaceOperation => ({
  kind: "copy",
  from: at(from),
  to: at(to),
  replace: true,
  preserve: false,
  uid: 0,
  gid: 0,
});

describe("a file of the largest number of chunks", () => {
  it("is published, copied, restored and given more copies in entries within the bound", async () => {
    const files = await LargeFiles.make();
    const { machine } = files;
    const { namespace } = machine;
    files.defineClass("four", 4);
    files.defineClass("five", 5);
    files.stage("u", CONTENT_CHUNKS_MAX);
    files.run(publish("/f", "u", CONTENT_CHUNKS_MAX));
    const published = machine.index;
    assert.equal(files.file("/f").sizeBytes, CONTENT_CHUNKS_MAX * MIB);
    const root = files.file("/f").contentRoot;
    assert.equal(namespace.counters().stagedBytes, 0);
    files.run({ kind: "set-storage-class", target: at("/f"), storageClass: "four" });
    await files.reclaim();
    assert.ok(files.copiesWanted().every((copies) => copies === 4));
    files.run({ kind: "make-directory", target: at("/d"), parents: false, ...OWNER });
    files.run({ kind: "set-storage-class", target: at("/d"), storageClass: "five" });
    files.run(copy("/f", "/d/f"));
    await files.reclaim();
    assert.ok(files.copiesWanted().every((copies) => copies === 5));
    files.run({ kind: "unlink", target: at("/f") });
    files.run({ kind: "restore", from: at("/f"), index: published, to: at("/r"), replace: false });
    assert.deepEqual(files.file("/r").contentRoot, root);
    assert.ok(files.unitsMax <= ENTRY_UNITS_MAX, `${files.unitsMax} units`);
    await files.expire();
    await namespace.flush();
    checkInvariants(machine.store);
    assert.equal(namespace.chunk(chunkId("c0"))?.referenceCount, CONTENT_CHUNKS_MAX / STEP);
    machine.run({ kind: "remove-tree", target: at("/d") }, { kind: "unlink", target: at("/r") });
    await files.expire();
    assert.equal(namespace.counters().chunkCount, 0);
  });
});

describe("a file in a storage class of the most copies", () => {
  const servers = Array.from({ length: 9 }, (_, number) => `s${number}`);
  const newChunks = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, number) => sealed(`${prefix}${number}`, { servers }));

  it("is staged, and committed with a list, in entries within the bound", async () => {
    const files = await LargeFiles.make();
    files.defineClass("nine", servers.length);
    const storageClass = "nine";
    files.run({ ...stageAt("u", 0, newChunks("n", CHUNKS_PER_CALL_MAX)), storageClass });
    const content = chunksContent(...newChunks("m", CHUNKS_PER_CALL_MAX));
    files.run({ kind: "put", content, target: at("/f"), replace: true, storageClass, ...OWNER });
    const { unitsMax } = files;
    assert.ok(unitsMax > ENTRY_UNITS_MAX / 2 && unitsMax <= ENTRY_UNITS_MAX, `${unitsMax} units`);
  });
});

describe("a restore of a file", () => {
  it("looks at no more than the file has chunks, however often they were changed in place", async () => {
    const files = await LargeFiles.make();
    const { machine } = files;
    files.stage("u", 2);
    files.run(publish("/f", "u", 2));
    const changesMax = 2_600;
    const change = (number: number): NamespaceOperation => ({
      kind: "commit-chunks",
      target: at("/f"),
      sizeBytesExpected: 2 * MIB,
      sizeBytes: 2 * MIB,
      changes: [
        {
          position: 0,
          expected: chunkId(number === 0 ? "c0" : `x${number - 1}`),
          chunk: sealed(`x${number}`),
        },
      ],
    });
    for (let number = 0; number < changesMax; number += 1) files.run(change(number));
    const index = machine.index;
    const { contentRoot } = files.file("/f");
    const restoreTo = (path: string): void => {
      files.run({ kind: "restore", from: at("/f"), index, to: at(path), replace: false });
      assert.deepEqual(files.file(path).contentRoot, contentRoot);
    };
    restoreTo("/shared");
    assert.equal(machine.namespace.chunk(chunkId("c1"))?.referenceCount, 1);
    // The file gets a content of its own, which the restored files do not have.
    files.run(change(changesMax));
    restoreTo("/shared-too");
    assert.ok(files.unitsMax < 200, `${files.unitsMax} units`);
  });

  it("shares the content only if it has not changed since then", async () => {
    const files = await LargeFiles.make();
    const { machine } = files;
    files.stage("u", 3);
    files.run(publish("/f", "u", 3));
    const first = machine.index;
    const root = files.file("/f").contentRoot;
    const commit = (sizeMib: number, names: readonly (string | null)[]): NamespaceOperation => ({
      kind: "commit-chunks",
      target: at("/f"),
      sizeBytesExpected: files.file("/f").sizeBytes,
      sizeBytes: sizeMib * MIB,
      changes: names.flatMap((name, position) => {
        if (name === null) return [];
        const isNew = position * MIB >= files.file("/f").sizeBytes;
        const expected = isNew ? null : chunkId(`c${position}`);
        return [{ position, expected, chunk: sealed(name) }];
      }),
    });
    const changes = [() => commit(4, [null, null, null, "x"]), () => commit(2, [])];
    for (const [number, change] of [...changes, () => commit(3, [null, null, "y"])].entries()) {
      files.run(change());
      const to = at(`/r${number}`);
      files.run({ kind: "restore", from: at("/f"), index: first, to, replace: false });
      assert.deepEqual(files.file(`/r${number}`).contentRoot, root);
      await machine.namespace.flush();
      checkInvariants(machine.store);
    }
  });
});
