import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { Disk } from "../../../shared/ports/disk.ts";
import { runCli } from "../../support/memory-cli-env.ts";
import { LoopbackCluster } from "../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
const CHUNK_BYTES = 64 * MIB;

/** Returns a disk of which a test sets the free bytes. */
function sizedDisk(disk: Disk, free: { bytes: number }): Disk {
  return new Proxy(disk, {
    get(target, name) {
      if (name === "space") {
        return async () => ({ ...(await target.space()), availableBytes: free.bytes });
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const clock = new SystemClock();
  const endMs = clock.monotonicMs() + 20_000;
  while (!(await condition())) {
    assert.ok(clock.monotonicMs() < endMs, `within 20 s: ${what}`);
    await clock.sleep(50);
  }
}

describe("a full cluster", () => {
  it("is critical, refuses writes with NO_SPACE at once, and is freed by `history trim`", async () => {
    const free = { bytes: 4 * CHUNK_BYTES };
    await using cluster = await LoopbackCluster.start(1, {
      defaultCopies: 1,
      defaultCopiesMin: 1,
      checkpointIntervalMs: 100, // The feature level rises at the first checkpoint.
      server: { wrapDisk: (disk) => sizedDisk(disk, free) },
    });
    const fs = await cluster.connect();
    const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
    const cli = (...words: string[]) => runCli(words, { variables, input: Buffer.alloc(MIB, 7) });
    assert.equal((await cli("put", "-", "/kept")).status, 0);

    free.bytes = CHUNK_BYTES - 1;
    await until("the master knows that it is full", async () => (await fs.status()).health.isFull);
    const status = await cli("status");
    assert.equal(status.status, 1);
    assert.match(
      status.stdout,
      /critical\n {2}the cluster is full: 0 of 1 chunkservers have space/,
    );
    assert.match(status.stdout, /ashlar history trim/);

    const startMs = performance.now();
    const put = await cli("put", "-", "/more");
    assert.equal(put.status, 6, put.stderr);
    assert.match(put.stderr, /expected space on at least 1 chunkserver:/);
    assert.match(put.stderr, /hint: .*ashlar history trim/);
    assert.ok(performance.now() - startMs < 5_000, "without retries");

    // The history keeps the chunk of a removed file, until it is trimmed.
    const removed = await runCli(["rm", "/kept"], { variables, columns: 100 });
    assert.match(
      removed.stderr,
      /the cluster is full: about 1 MiB of the used space belong to removed .*: ashlar history trim/,
    );
    assert.match((await cli("df")).stdout, /about 1 MiB of the used space .* keeps for 1d/);
    const chunksOf = async (): Promise<number> => (await fs.status()).namespace.chunkCount;
    assert.equal(await chunksOf(), 1);
    const hour = ["history", "trim", "--retention", "1h"];
    const shorter = await cli(...hour);
    assert.match(shorter.stderr, /Keep old versions for 1h and not for 1d\? .*not a terminal/s);
    await until(
      "the feature level allows it",
      async () => (await cli(...hour, "--yes")).status === 0,
    );
    const longer = await cli("history", "trim", "--retention", "7d", "--json");
    assert.deepEqual(JSON.parse(longer.stdout), {
      schema: "ashlar.history-retention/1",
      retention_ms: 7 * 24 * 3_600_000,
      previous_retention_ms: 3_600_000,
    });
    assert.equal((await fs.status()).history.retentionMs, 7 * 24 * 3_600_000);
    assert.equal((await cli("history", "trim", "--retention", "367d")).status, 2);
    const asked = await cli("history", "trim");
    assert.equal(asked.status, 2);
    assert.match(asked.stderr, /--yes/);
    assert.equal((await cli("history", "trim", "--yes")).status, 0);
    assert.equal(await chunksOf(), 0);
    await until("the chunkserver has deleted the chunk", async () => {
      const { namespace, chunkservers } = await fs.status();
      return namespace.purgesPending === 0 && chunkservers[0]?.chunkCount === 0;
    });
    assert.equal((await fs.status()).history.versions, 0);
    assert.equal((await cli("ls", "--at", "1", "/")).status, 6);
  });
});
