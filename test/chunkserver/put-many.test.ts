import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ChunkStore } from "../../chunkserver/store/chunk-store.ts";
import { VerifiedGroup } from "../../chunkserver/store/put-many.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { hasher, logIndex, makeChunk, type TestChunk } from "./support/chunks.ts";
import { bodyOf, groupOf, smallChunks } from "./support/groups.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

const INTENT = { intentIndex: logIndex(5), lifetimeMs: 60_000 };

/** Opens a store over a new disk. */
async function makeStore() {
  const disk = new MemoryDisk();
  const stores = new MemoryStores();
  const reopen = (): Promise<ChunkStore> => openTestStore({ disk: disk.mount(), stores });
  return { disk, stores, store: await reopen(), reopen };
}

async function assertIntact(store: ChunkStore, chunks: readonly TestChunk[]): Promise<void> {
  for (const chunk of chunks) {
    await assertHolds(store, chunk);
    assert.equal(await store.verify(chunk.chunkId, new Uint8Array(FRAME_BYTES_MAX)), "intact");
  }
}

const CHUNKS = [5_000, 1, 65_536, 200_001].map((lengthBytes, seed) => makeChunk(lengthBytes, seed));

describe("a group of small chunks", () => {
  it("is one range of a packed file, and is there after a restart", async () => {
    const { disk, store, reopen } = await makeStore();
    await store.putMany(groupOf(CHUNKS), INTENT);
    await assertIntact(store, CHUNKS);
    const [path = "", ...others] = disk.filesBelow("extents");
    assert.deepEqual(others, []);
    const file = await disk.mount().open(path, "read");
    const bytes = new Uint8Array(bodyOf(CHUNKS).length);
    await file.read(bytes, 0);
    await file.close();
    assert.ok(Buffer.from(bytes).equals(bodyOf(CHUNKS)));
    assert.deepEqual([store.totals.chunkCount, store.packedDeadBytes], [CHUNKS.length, 0]);
    await store[Symbol.asyncDispose]();
    await assertIntact(await reopen(), CHUNKS);
  });

  it("may name a chunk twice: it has one record", async () => {
    const { store, reopen } = await makeStore();
    const [first, second] = CHUNKS as [TestChunk, TestChunk];
    await store.putMany(groupOf([first, second, first]), INTENT);
    await assertIntact(store, [first, second]);
    const { chunkCount, chunkBytes, unconfirmedCount } = store.totals;
    assert.deepEqual([chunkCount, chunkBytes, unconfirmedCount], [2, 5_001, 2]);
    assert.equal(store.packedDeadBytes, 5_000);
    assert.equal(await store.purge(first.chunkId, logIndex(6)), "deleted");
    await store[Symbol.asyncDispose]();
    const again = await reopen();
    assert.equal(again.totals.chunkCount, 1);
    await assertIntact(again, [second]);
  });

  it("heals a known chunk whose bytes are corrupt, and keeps its newer intent", async () => {
    const { disk, store } = await makeStore();
    const [known, other] = CHUNKS as [TestChunk, TestChunk];
    await putChunk(store, known, { intentIndex: 9 });
    const [path = ""] = disk.filesBelow("extents");
    disk.corrupt(path, (bytes) => bytes.fill(7, 1000, 1010));
    await store.putMany(groupOf([other, known]), INTENT);
    await assertIntact(store, [known, other]);
    assert.equal(await store.purge(known.chunkId, logIndex(9)), "kept");
    assert.equal(await store.purge(other.chunkId, logIndex(6)), "deleted");
  });

  it("replaces the file of a large chunk with the same content", async () => {
    const { disk, store } = await makeStore();
    const chunk = makeChunk(70_000, 3);
    await putChunk(store, chunk, { sizeHintBytes: null });
    const before = disk.filesBelow("extents");
    await store.putMany(groupOf([chunk]), INTENT);
    await assertIntact(store, [chunk]);
    assert.equal(disk.filesBelow("extents").length, 1);
    assert.notDeepEqual(disk.filesBelow("extents"), before);
  });

  it("is stored by many calls at the same time", async () => {
    const { store } = await makeStore();
    const groups = Array.from({ length: 20 }, (_, group) =>
      [3_000, 70_000].map((lengthBytes, seed) => makeChunk(lengthBytes, group * 10 + seed)),
    );
    await Promise.all(groups.map((group) => store.putMany(groupOf(group), INTENT)));
    await assertIntact(store, groups.flat());
    assert.equal(store.packedDeadBytes, 0);
  });

  it("is refused if a block or an id does not match", () => {
    const heads = smallChunks(CHUNKS);
    const bytes = bodyOf(CHUNKS);
    const corrupt = bytes.slice();
    corrupt[5_000] = (corrupt[5_000] ?? 0) ^ 1;
    const verify = (chunks: typeof heads, body: Uint8Array) => () =>
      VerifiedGroup.verify(hasher, chunks, body);
    assert.throws(verify(heads, corrupt), hasCode("CHUNK_CORRUPT"));
    const { chunkId } = makeChunk(5_000, 99);
    const renamed = heads.map((head, position) => (position === 0 ? { ...head, chunkId } : head));
    assert.throws(verify(renamed, bytes), hasCode("CHUNK_CORRUPT"));
    assert.throws(verify(heads, bytes.subarray(1)), hasCode("INVALID_ARGUMENT"));
    const shortened = heads.map((head) => ({ ...head, hashes: head.hashes.subarray(1) }));
    assert.throws(verify(shortened, bytes), hasCode("INVALID_ARGUMENT"));
    const long = Array.from({ length: 3 }, (_, seed) => makeChunk(1024 * 1024, seed));
    assert.throws(verify(smallChunks(long), bodyOf(long)), hasCode("INVALID_ARGUMENT"));
  });

  it("leaves no record if the disk refuses the write or the sync", async () => {
    for (const [refused, code] of [
      ["write", "ENOSPC"],
      ["sync", "EIO"],
    ] as const) {
      let isRefusing = false;
      const fault = ({ kind, path }: { readonly kind: string; readonly path: string }) =>
        isRefusing && kind === refused && path.startsWith("extents") ? code : null;
      const disk = new MemoryDisk({ fault });
      const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
      await store.putMany(groupOf(CHUNKS.slice(0, 1)), INTENT);
      isRefusing = true;
      const expected = refused === "write" ? "NO_SPACE" : "DISK_FAILED";
      await assert.rejects(store.putMany(groupOf(CHUNKS.slice(1)), INTENT), hasCode(expected));
      isRefusing = false;
      assert.equal(store.chunkIdsAfter(null, 10).length, 1);
      await assertIntact(store, CHUNKS.slice(0, 1));
      if (refused === "write") continue;
      // Group commit: no later call may succeed in the place of the failed sync.
      await assert.rejects(store.putMany(groupOf(CHUNKS), INTENT), hasCode("DISK_FAILED"));
    }
  });
});
