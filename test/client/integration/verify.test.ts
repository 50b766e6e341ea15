import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import type { VerifyResult } from "../../../client/results.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { SkippingClock } from "../../support/skipping-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { LoopbackCluster, makeEnv } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;
const random = new SeededRandom(11);

/** Returns bytes of which no two chunks are equal. */
function someBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let offset = 0; offset < count; offset += MIB / 4) {
    bytes.set(random.bytes(Math.min(64, count - offset)), offset);
  }
  return bytes;
}

/** Takes all results from `results`. Runs `action` after the first. */
async function resultsOf(
  results: AsyncIterable<VerifyResult>,
  action: () => Promise<unknown> | undefined,
): Promise<readonly VerifyResult[]> {
  const found: VerifyResult[] = [];
  for await (const result of results) {
    found.push(result);
    if (found.length === 1) await action();
  }
  return found;
}

const damaged = (results: readonly VerifyResult[]): readonly VerifyResult[] =>
  results.filter(
    (result) =>
      !result.isReadable || (result.kind === "chunk" && result.replicas.some((it) => !it.isGood)),
  );

const filesOf = (results: readonly VerifyResult[]): number =>
  results.filter(({ kind }) => kind === "file").length;

describe("a verification", { timeout: 60_000 }, () => {
  const clock = new SkippingClock();
  let cluster: LoopbackCluster;
  let fs: FileSystem;
  /** The tree of the test. */
  let root: string;

  before(async () => {
    cluster = await LoopbackCluster.start(2);
    fs = await cluster.connect({ env: { ...makeEnv(new MemoryLog()), clock } });
    await fs.defineStorageClass({ name: "two", copies: 2, copiesMin: 2, racksMin: 1 });
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    root = `/${random.fraction()}`;
    await fs.mkdir(root);
    await fs.setStorageClass(root, "two");
    for (const name of ["a", "b", "c"]) await fs.writeFile(`${root}/${name}`, someBytes(100_000));
    await fs.writeFile(`${root}/large`, someBytes(6 * MIB), { chunkSizeBytes: MIB });
  });

  for (const allReplicas of [false, true]) {
    const of = allReplicas ? "of every replica" : "of any replica";

    it(`${of} finds no damage after a day without a timeout`, async () => {
      const results = await resultsOf(fs.verify(root, { allReplicas }), async () => {
        clock.skip(2 * DAY_MS);
      });
      assert.deepEqual(damaged(results), []);
      assert.equal(filesOf(results), 4);
    });

    it(`${of} fails at its deadline and blames no replica`, async () => {
      const results: VerifyResult[] = [];
      const verifying = async (): Promise<void> => {
        for await (const result of fs.verify(root, { allReplicas, timeoutMs: 60_000 })) {
          if (results.length === 0) clock.skip(60_001);
          results.push(result);
        }
      };
      await assert.rejects(verifying(), { code: "DEADLINE_EXCEEDED" });
      assert.deepEqual(damaged(results), []);
    });

    it(`${of} counts the files of a tree that is removed meanwhile as removed`, async () => {
      const results = await resultsOf(fs.verify(root, { allReplicas }), () => fs.removeTree(root));
      assert.deepEqual(damaged(results), []);
      assert.ok(results.some((result) => result.kind === "file" && result.wasRemoved));
    });

    it(`${of} verifies the new version of a file that is replaced meanwhile`, async () => {
      const results = await resultsOf(fs.verify(root, { allReplicas }), () =>
        fs.writeFile(`${root}/large`, someBytes(3 * MIB), { chunkSizeBytes: MIB, replace: true }),
      );
      assert.deepEqual(damaged(results), []);
      const large = results.find((it) => it.kind === "file" && it.chunkCount > 1);
      assert.equal(large?.kind === "file" && large.sizeBytes, 3 * MIB);
    });
  }

  it("calls a file removed whose chunks are gone after its removal", async () => {
    const results = await resultsOf(fs.verify(`${root}/large`, { allReplicas: true }), async () => {
      await fs.removeTree(root);
      for (const server of cluster.servers) await server.stop();
    });
    assert.deepEqual(damaged(results), []);
    const last = results.at(-1);
    assert.ok(last?.kind === "file" && last.wasRemoved && last.error === null);
    assert.ok(filesOf(results) === 1 && results.length < 6);
  });
});
