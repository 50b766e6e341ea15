import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ChunkStore } from "../../chunkserver/store/chunk-store.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { logIndex, makeChunk } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

/** A disk whose next open of a packed file waits for `gate`, and fails if `isFailing`. */
class SlowOpens {
  readonly disk: MemoryDisk;
  gate: Deferred<void> | null = null;
  isFailing = false;
  waitingCount = 0;

  constructor() {
    this.disk = new MemoryDisk({
      delay: async ({ kind, path }) => {
        await Promise.resolve();
        if (kind !== "open" || this.gate === null || !path.startsWith("extents/packed-")) return;
        this.waitingCount += 1;
        await this.gate.promise;
      },
      fault: ({ kind, path }) =>
        this.isFailing && kind === "open" && path.startsWith("extents/packed-") ? "EIO" : null,
    });
  }
}

/** Leaves the current packed file without chunks and without an open descriptor. */
async function emptyCurrentFile(store: ChunkStore): Promise<void> {
  const first = makeChunk(50_000, 1);
  await putChunk(store, first);
  await store.purge(first.chunkId, logIndex(5));
  // 256 unused files are kept open.
  for (let seed = 0; seed < 257; seed += 1) {
    await putChunk(store, makeChunk(100, 100 + seed), { sizeHintBytes: null });
  }
}

describe("a packed file without chunks", () => {
  it("is not deleted while a write waits for its open", async () => {
    const clock = new SystemClock();
    const opens = new SlowOpens();
    const stores = new MemoryStores();
    const store = await openTestStore({ disk: opens.disk.mount(), stores });
    await emptyCurrentFile(store);
    opens.gate = new Deferred();
    const chunk = makeChunk(50_000, 2);
    const put = putChunk(store, chunk, { intentIndex: 9 });
    while (opens.waitingCount === 0) await clock.yieldTurn();
    await store.sweep();
    opens.gate.resolve();
    await put;
    opens.gate = null;
    await store[Symbol.asyncDispose]();
    await assertHolds(await openTestStore({ disk: opens.disk.mount(), stores }), chunk);
  });

  it("is deleted after its open has failed, and the next chunk is in a new file", async () => {
    const opens = new SlowOpens();
    const store = await openTestStore({ disk: opens.disk.mount(), stores: new MemoryStores() });
    await emptyCurrentFile(store);
    opens.isFailing = true;
    await assert.rejects(putChunk(store, makeChunk(50_000, 2)), hasCode("DISK_FAILED"));
    opens.isFailing = false;
    await store.sweep();
    assert.equal(store.packedFileCount, 0);
    await putChunk(store, makeChunk(50_000, 3));
    await assertHolds(store, makeChunk(50_000, 3));
  });
});
