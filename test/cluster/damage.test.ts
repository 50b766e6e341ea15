import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { randomBytes } from "../../scripts/sample-tree.ts";
import { present } from "../../shared/base/assert.ts";
import { appendBytes, filesBelow, flipBytes, truncateFile } from "../support/damage.ts";
import { HEAL_TIMEOUT_MS, StartedCluster } from "../support/started-cluster.ts";

const MIB = 1024 * 1024;
const POLL_MS = 50;
const EXTENTS = /\/extents\//;
const LOG_SEGMENTS = /\/log\//;

describe("a cluster whose disks are damaged", () => {
  let started: StartedCluster;
  before(async () => {
    started = await StartedCluster.start({
      chunkservers: 3,
      // One chunkserver has no replica of a chunk and can receive a new one.
      masterSettings: { defaultCopies: 2 },
    });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  /** Returns an extent file of a chunkserver, and the node. */
  async function someExtent(): Promise<{ path: string; node: string }> {
    for (const node of ["c1", "c2", "c3"]) {
      const [path] = await filesBelow(started.dataDirectoryOf(node), EXTENTS);
      if (path !== undefined) return { path, node };
    }
    throw new Error("No chunkserver has an extent");
  }

  /** Verifies every replica until all wanted ones are good: bad replicas are quarantined and repaired. */
  async function verifyUntilGood(path: string): Promise<void> {
    const deadlineMs = performance.now() + HEAL_TIMEOUT_MS;
    for (;;) {
      let lackingNow = 0;
      for await (const result of started.fileSystem.verify(path, { allReplicas: true })) {
        assert.ok(result.isReadable, "every chunk keeps a good replica");
        // A bad replica is not listed from its report on, before the status counts the chunk.
        if (result.kind === "file") continue;
        lackingNow += result.copiesWanted - result.replicas.filter(({ isGood }) => isGood).length;
      }
      const { namespace } = await started.fileSystem.status();
      if (lackingNow === 0 && namespace.chunksUnderReplicated === 0) return;
      assert.ok(performance.now() < deadlineMs, "every bad replica is repaired in time");
      await sleep(POLL_MS);
    }
  }

  /** Resolves when the process of a node has exited without a signal. */
  async function waitForExit(name: string): Promise<void> {
    const deadlineMs = performance.now() + HEAL_TIMEOUT_MS;
    for (;;) {
      const states = await started.cluster.states();
      if (states.some((state) => state.name === name && state.pid === null)) return;
      assert.ok(performance.now() < deadlineMs, `${name} exits`);
      await sleep(POLL_MS);
    }
  }

  it("reads past a corrupt block, detects it and repairs the replica (G5)", async () => {
    const { fileSystem } = started;
    const content = randomBytes(8 * MIB, 11);
    await fileSystem.writeFile("/corrupt", content);
    const { path, node } = await someExtent();
    await flipBytes(path, 4 * MIB, 100);
    assert.ok(content.equals(await fileSystem.readFile("/corrupt")));
    await verifyUntilGood("/corrupt");
    const quarantined = await filesBelow(join(started.dataDirectoryOf(node), "quarantine"), /./);
    assert.equal(
      quarantined.length,
      1,
      "the corrupt replica is kept in quarantine for the operator",
    );
    assert.ok(content.equals(await fileSystem.readFile("/corrupt")));
    await fileSystem.unlink("/corrupt");
  });

  it("repairs replicas in an extent that was truncated while its server was down", async () => {
    const { cluster, fileSystem } = started;
    const content = randomBytes(8 * MIB, 12);
    await fileSystem.writeFile("/cut", content);
    const { path, node } = await someExtent();
    await cluster.kill(node, "SIGKILL");
    await truncateFile(path, 1 * MIB);
    await cluster.start(node);
    await cluster.waitUntilServing({ timeoutMs: HEAL_TIMEOUT_MS });
    assert.ok(content.equals(await fileSystem.readFile("/cut")));
    await verifyUntilGood("/cut");
  });

  it("removes a torn tail of the log and keeps all acknowledged changes", async () => {
    const { cluster, fileSystem } = started;
    await fileSystem.writeFile("/before-the-tear", "acknowledged");
    await cluster.kill("m1", "SIGKILL");
    const segments = (await filesBelow(started.dataDirectoryOf("m1"), LOG_SEGMENTS)).sort();
    await appendBytes(present(segments.at(-1), "a member has a log"), randomBytes(37, 13));
    await cluster.start("m1");
    await started.waitUntilHealthy();
    const bytes = await fileSystem.readFile("/before-the-tear");
    assert.equal(Buffer.from(bytes).toString(), "acknowledged");
  });

  it("refuses to start on a log that is corrupt in the middle, and names the segment", async () => {
    const { cluster, fileSystem } = started;
    for (let number = 0; number < 20; number += 1) {
      await fileSystem.writeFile(`/entry-${number}`, randomBytes(2_000, number));
    }
    await cluster.kill("m2", "SIGKILL");
    const segments = (await filesBelow(started.dataDirectoryOf("m2"), LOG_SEGMENTS)).sort();
    const segment = present(segments.at(-1), "a member has a log");
    // The entries above take 40 KB; after the last one there are zeros.
    await flipBytes(segment, 20_000, 20);
    await cluster.start("m2");
    await waitForExit("m2");
    const { stdout } = await started.run("cluster", "logs", "m2", "-n", "5");
    assert.match(stdout, /LOG_CORRUPT|does not match|damaged/);
    assert.match(stdout, new RegExp(present(segment.split("/").at(-1), "a path has a name")));
    // The other masters continue, and the corrupt segment is not changed.
    const before = await readFile(segment);
    await fileSystem.writeFile("/without-the-corrupt-one", "two of three");
    assert.deepEqual(await readFile(segment), before);
  });
});
