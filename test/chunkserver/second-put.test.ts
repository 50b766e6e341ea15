import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ChunkStore } from "../../chunkserver/store/chunk-store.ts";
import { hashesKey } from "../../chunkserver/store/index-keys.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { logIndex, makeChunk, type TestChunk } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

/** Opens a store over a new disk. */
async function makeStore() {
  const disk = new MemoryDisk();
  const stores = new MemoryStores();
  const reopen = (): Promise<ChunkStore> => openTestStore({ disk: disk.mount(), stores });
  return { disk, stores, store: await reopen(), reopen };
}

async function assertIntact(store: ChunkStore, chunk: TestChunk): Promise<void> {
  await assertHolds(store, chunk);
  assert.equal(await store.verify(chunk.chunkId, new Uint8Array(FRAME_BYTES_MAX)), "intact");
}

describe("a chunk that is put again", () => {
  for (const lengthBytes of [50_000, 2_000_000]) {
    it(`is healed if its stored bytes are corrupt: ${lengthBytes} bytes`, async () => {
      const { disk, store, reopen } = await makeStore();
      const chunk = makeChunk(lengthBytes, 1);
      await putChunk(store, chunk);
      const [path = ""] = disk.filesBelow("extents");
      disk.corrupt(path, (bytes) => bytes.fill(7, 1000, 1010));
      await putChunk(store, chunk, { intentIndex: 9 });
      await assertIntact(store, chunk);
      await store[Symbol.asyncDispose]();
      const again = await reopen();
      await assertIntact(again, chunk);
      assert.equal(disk.filesBelow("extents").length, 1);
      assert.deepEqual(disk.filesBelow("garbage"), []);
    });
  }

  it("is healed if its block hashes in the index are corrupt", async () => {
    const { stores, store, reopen } = await makeStore();
    const chunk = makeChunk(50_000, 1);
    await putChunk(store, chunk);
    await store[Symbol.asyncDispose]();
    const index = await stores.open("index");
    await index.commit([{ key: hashesKey(chunk.chunkId), value: new Uint8Array(32) }]);
    await index.close();
    const again = await reopen();
    await putChunk(again, chunk, { intentIndex: 9 });
    await assertIntact(again, chunk);
  });

  it("is served to a reader that opened it before", async () => {
    const { store } = await makeStore();
    const chunk = makeChunk(2_000_000, 1);
    await putChunk(store, chunk);
    const reader = await store.openChunk(chunk.chunkId);
    await putChunk(store, chunk, { intentIndex: 9 });
    const bytes = new Uint8Array(reader.lengthBytes);
    await reader.read(bytes, 0);
    reader.release();
    assert.ok(Buffer.from(bytes).equals(chunk.bytes));
  });

  it("has one copy on the disk after puts at the same time, under the newest intent", async () => {
    const { disk, store } = await makeStore();
    const chunk = makeChunk(2_000_000, 1);
    await Promise.all([9, 3, 5].map((intentIndex) => putChunk(store, chunk, { intentIndex })));
    await assertIntact(store, chunk);
    assert.equal(disk.filesBelow("extents").length, 1);
    assert.equal(await store.purge(chunk.chunkId, logIndex(9)), "kept");
    assert.equal(await store.purge(chunk.chunkId, logIndex(10)), "deleted");
    assert.deepEqual(disk.filesBelow("extents"), []);
  });

  it("keeps a newer intent, and is not asked about again, if the put has an older one", async () => {
    const { store } = await makeStore();
    const chunk = makeChunk(50_000, 1);
    await putChunk(store, chunk, { intentIndex: 9, lifetimeMs: 0 });
    const confirmed = {
      chunkId: chunk.chunkId,
      intentIndex: logIndex(9),
      verdict: "known",
    } as const;
    await store.applyConfirmations([confirmed], 0);
    await putChunk(store, chunk, { intentIndex: 4, lifetimeMs: 0 });
    assert.equal(store.totals.unconfirmedCount, 0);
    assert.equal(await store.purge(chunk.chunkId, logIndex(5)), "kept");
  });

  it("replaces bytes in a packed file that a later sweep deletes", async () => {
    const { store } = await makeStore();
    const chunk = makeChunk(50_000, 1);
    await putChunk(store, chunk);
    const { packedDeadBytes } = store;
    await putChunk(store, chunk, { intentIndex: 9 });
    assert.equal(store.packedDeadBytes, packedDeadBytes + 50_000);
    assert.deepEqual([store.totals.chunkCount, store.totals.chunkBytes], [1, 50_000]);
  });
});
