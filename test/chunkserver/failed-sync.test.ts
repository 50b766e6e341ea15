import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ChunkStore } from "../../chunkserver/store/chunk-store.ts";
import { CoalescedSync } from "../../chunkserver/store/coalesced-sync.ts";
import type { ClusterId } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { logIndex, makeChunk } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

const MIB = 1024 * 1024;

/** A disk whose syncs of some paths wait, and the first of which fails. */
class FailingSyncs {
  readonly disk: MemoryDisk;
  readonly #clock = new SystemClock();
  /** The next sync of a path that begins so fails after a while. Null: all succeed. */
  failing: string | null = null;
  syncCount = 0;

  constructor() {
    this.disk = new MemoryDisk({
      delay: async ({ kind, path }) => {
        if (kind !== "sync" || this.failing === null || !path.startsWith(this.failing)) return;
        await this.#clock.sleep(10); // Others call in the meantime, and wait for the next sync.
      },
      fault: ({ kind, path }) => {
        if (kind !== "sync" || this.failing === null || !path.startsWith(this.failing)) return null;
        this.syncCount += 1;
        return this.syncCount === 1 ? "EIO" : null; // fsyncgate: a repeated sync succeeds.
      },
    });
  }
}

/** Fills the current packed file with dead bytes: a sweep then moves its live chunks. */
async function makeSparse(store: ChunkStore): Promise<void> {
  for (let seed = 0; seed < 256; seed += 1) {
    const dead = makeChunk(1024, 1000 + seed);
    await putChunk(store, dead, { sizeHintBytes: MIB });
    await store.purge(dead.chunkId, logIndex(5));
  }
}

describe("a sync that failed", () => {
  it("fails every caller that waits for the next one, and is never repeated", async () => {
    const gate = new Deferred<void>();
    let runs = 0;
    const sync = new CoalescedSync(async () => {
      runs += 1;
      await gate.promise;
      throw new Error("EIO");
    });
    const first = sync.run();
    const second = sync.run();
    gate.resolve();
    await assert.rejects(first, /EIO/);
    await assert.rejects(second, /EIO/);
    await assert.rejects(sync.run(), /EIO/);
    assert.equal(runs, 1);
  });

  it("lets a compaction that waited for the same file delete nothing", async () => {
    const syncs = new FailingSyncs();
    const stores = new MemoryStores();
    const store = await openTestStore({ disk: syncs.disk.mount(), stores });
    const kept = makeChunk(60_000, 1);
    await putChunk(store, kept);
    await makeSparse(store);
    await putChunk(store, makeChunk(70_000, 2)); // The current packed file is the second one.
    syncs.failing = "extents/packed-";
    const seal = putChunk(store, makeChunk(80_000, 3));
    const swept = store.sweep();
    await assert.rejects(seal, hasCode("DISK_FAILED"));
    await assert.rejects(swept, hasCode("DISK_FAILED"));
    assert.notEqual(store.failure, null);
    syncs.failing = null;
    syncs.disk.crash(new SeededRandom(3));
    stores.crash();
    const restarted = await openTestStore({ disk: syncs.disk.mount(), stores });
    await assertHolds(restarted, kept);
  });

  it("refuses every later promise about bytes: seal, raised intent, copy and compaction", async () => {
    const syncs = new FailingSyncs();
    const store = await openTestStore({ disk: syncs.disk.mount(), stores: new MemoryStores() });
    const kept = makeChunk(60_000, 1);
    await putChunk(store, kept);
    await makeSparse(store);
    await putChunk(store, makeChunk(70_000, 2));
    // The write begins before the failure, and its own file can be synced.
    const chunk = makeChunk(2 * MIB, 4);
    const lease = await store.begin({
      writeId: "a".repeat(32),
      intentIndex: logIndex(3),
      lifetimeMs: 60_000,
      sizeHintBytes: chunk.bytes.length,
      purpose: "copy",
      resumeAtBytes: 0,
    });
    await lease.write(0, chunk.hashes, chunk.bytes);
    syncs.failing = "extents/packed-";
    await assert.rejects(putChunk(store, makeChunk(80_000, 3)), hasCode("DISK_FAILED"));
    await assert.rejects(lease.seal(chunk.chunkId, chunk.bytes.length), hasCode("DISK_FAILED"));
    lease.release();
    assert.equal(store.has(chunk.chunkId), false);
    const raised = { lengthBytes: 60_000, intentIndex: logIndex(9), lifetimeMs: 60_000 };
    await assert.rejects(
      store.raiseIntent({ ...raised, chunkId: kept.chunkId }),
      hasCode("DISK_FAILED"),
    );
    assert.equal(await store.sweep(), "done");
    await assertHolds(store, kept);
  });

  it("leaves removals and confirmations possible", async () => {
    const syncs = new FailingSyncs();
    const store = await openTestStore({ disk: syncs.disk.mount(), stores: new MemoryStores() });
    const [purged, confirmed] = [makeChunk(60_000, 1), makeChunk(60_000, 2)];
    for (const chunk of [purged, confirmed]) await putChunk(store, chunk, { lifetimeMs: 0 });
    syncs.failing = "extents/packed-";
    await assert.rejects(putChunk(store, makeChunk(80_000, 3)), hasCode("DISK_FAILED"));
    assert.equal(await store.purge(purged.chunkId, logIndex(5)), "deleted");
    const verdict = { intentIndex: logIndex(1), verdict: "known" } as const;
    await store.applyConfirmations([{ chunkId: confirmed.chunkId, ...verdict }], 60_000);
    assert.equal(store.totals.unconfirmedCount, 0);
    await assertHolds(store, confirmed);
  });

  it("of the extents directory fails the disk, also while damaged bytes are moved away", async () => {
    const syncs = new FailingSyncs();
    const store = await openTestStore({ disk: syncs.disk.mount(), stores: new MemoryStores() });
    const chunk = makeChunk(2 * MIB, 1);
    await putChunk(store, chunk);
    const [path = ""] = syncs.disk.filesBelow("extents");
    syncs.disk.corrupt(path, (bytes) => bytes.fill(0, 0, 10));
    syncs.failing = "extents";
    assert.equal(await store.verify(chunk.chunkId, new Uint8Array(MIB)), "corrupt");
    assert.notEqual(store.failure, null);
  });

  it("of the identity leaves the server without a cluster, and fails the disk", async () => {
    const syncs = new FailingSyncs();
    const store = await openTestStore({ disk: syncs.disk.mount(), stores: new MemoryStores() });
    const clusterId = "c".repeat(32) as ClusterId;
    syncs.failing = "chunkserver.json";
    await assert.rejects(store.joinCluster(clusterId), hasCode("DISK_FAILED"));
    assert.equal(store.clusterId, null);
    assert.notEqual(store.failure, null);
    await store.joinCluster(clusterId); // A new temporary file is written.
    assert.equal(store.clusterId, clusterId);
  });
});
