import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FileSystem } from "../../../client/file-system.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { CutNetwork } from "../support/cut-network.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const clock = new SystemClock();

/** Yields `bytes` in two halves, the second after `pause`. */
async function* halves(bytes: Uint8Array, pause: Promise<unknown>): AsyncGenerator<Uint8Array> {
  yield bytes.subarray(0, bytes.length / 2);
  await pause;
  yield bytes.subarray(bytes.length / 2);
}

async function until(what: string, isReached: () => Promise<boolean>): Promise<void> {
  const endMs = clock.monotonicMs() + 20_000;
  while (!(await isReached())) {
    assert.ok(clock.monotonicMs() < endMs, what);
    await clock.sleep(50);
  }
}

/** Writes a file of which half is on the chunkservers, rotates the chunk key, and writes the rest. */
async function writeAcrossRotation(fs: FileSystem): Promise<void> {
  const bytes = new SeededRandom(3).bytes(8 * MIB);
  const rotated = (async () => {
    await until("chunks are on the disks", async () => {
      const { chunkservers } = await fs.status();
      return chunkservers.every(({ chunkCount }) => chunkCount > 0);
    });
    assert.equal((await fs.enrolment.close()).keyVersion, 2);
  })();
  await fs.writeFile("/f", halves(bytes, rotated), { chunkSizeBytes: MIB });
  assert.equal(Buffer.compare(await fs.readFile("/f"), bytes), 0);
}

describe("a cluster of an older feature level", () => {
  it("enrols its running servers after the upgrade, and rotates the key under a write", async () => {
    const masterNetwork = new CutNetwork();
    // No master answers at the founding, so the level stays 1.
    masterNetwork.cut(() => true);
    await using cluster = await LoopbackCluster.start(3, { masterNetwork });
    const fs = await cluster.connect();
    await assert.rejects(fs.enrolment.status(), hasCode("VERSION_MISMATCH"));
    assert.equal((await fs.status()).enrolment, undefined);
    masterNetwork.cut(() => false);
    await fs.masters.finalizeUpgrade();
    assert.equal((await fs.status()).enrolment?.isOpen, true);
    await until("the running servers enrol", async () => {
      return (await fs.enrolment.status()).notEnrolled.length === 0;
    });
    await writeAcrossRotation(fs);
    assert.deepEqual((await fs.status()).enrolment, {
      ...{ isOpen: false, keyVersion: 2, notEnrolledCount: 0 },
    });
  });
});

describe("a new cluster", () => {
  it("refuses a server without a token, and a restarted server needs none", async () => {
    await using cluster = await LoopbackCluster.start(1, {
      ...{ defaultCopies: 1, defaultCopiesMin: 1 },
    });
    const fs = await cluster.connect();
    const [first] = cluster.servers;
    assert.ok(first !== undefined);
    await first.stop();
    const { directory } = first;
    const noToken = { joinToken: undefined };
    const again = await cluster.addServer({ directory, config: noToken });
    await fs.writeFile("/f", new SeededRandom(5).bytes(MIB));
    await again.stop();

    const refused = cluster.addServer({ config: noToken });
    await assert.rejects(refused, /the server is registered/);
    const { chunkservers } = await fs.status();
    assert.equal(chunkservers.length, 1);
  });
});
