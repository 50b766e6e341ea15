import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ClusterId } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { makeChunk, serverIdFor } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

const CLUSTER_A = "a".repeat(32) as ClusterId;
const CLUSTER_B = "b".repeat(32) as ClusterId;
const ANY_IDENTITY = { serverId: null, clusterId: null };

/** Returns a closed data directory with one chunk. */
async function usedDirectory(seed = 7): Promise<{ disk: MemoryDisk; stores: MemoryStores }> {
  const disk = new MemoryDisk();
  const stores = new MemoryStores();
  const random = new SeededRandom(seed);
  const store = await openTestStore({ disk: disk.mount(), stores }, { random });
  await store.joinCluster(CLUSTER_A);
  await putChunk(store, makeChunk(5000, 1));
  await store[Symbol.asyncDispose]();
  return { disk, stores };
}

function open(disk: MemoryDisk, stores: MemoryStores, expected = {}) {
  const identity = { ...ANY_IDENTITY, ...expected };
  return openTestStore({ disk: disk.mount(), stores }, { expected: identity });
}

describe("the identity of a data directory", () => {
  it("refuses a directory with chunks and without an identity", async () => {
    const { disk, stores } = await usedDirectory();
    await disk.mount().remove("chunkserver.json");
    await assert.rejects(open(disk, stores), hasCode("WRONG_IDENTITY"));
    assert.equal((await disk.mount().list("extents")).length, 1, "the directory is unchanged");
  });

  it("refuses an emptied index and an index of another server", async () => {
    const { disk, stores } = await usedDirectory();
    await assert.rejects(open(disk, new MemoryStores()), hasCode("STORE_CORRUPT"));
    const other = await usedDirectory(8);
    await assert.rejects(open(disk, other.stores), hasCode("WRONG_IDENTITY"));
    const store = await open(disk, stores);
    await assertHolds(store, makeChunk(5000, 1));
  });

  it("refuses a directory without extent files if the index has chunks", async () => {
    const { disk, stores } = await usedDirectory();
    await disk.mount().removeTree("extents");
    await assert.rejects(open(disk, stores), hasCode("STORE_CORRUPT"));
    await disk.mount().makeDirectory("extents");
    await assert.rejects(open(disk, stores), hasCode("STORE_CORRUPT"));
  });

  it("refuses the disk of another cluster or server, and an empty disk if a server id is expected", async () => {
    const { disk, stores } = await usedDirectory();
    await assert.rejects(open(disk, stores, { clusterId: CLUSTER_B }), hasCode("WRONG_IDENTITY"));
    const serverId = serverIdFor(1);
    await assert.rejects(open(disk, stores, { serverId }), hasCode("WRONG_IDENTITY"));
    const empty = new MemoryDisk();
    await assert.rejects(open(empty, new MemoryStores(), { serverId }), hasCode("WRONG_IDENTITY"));
  });

  it("refuses a corrupt identity and an identity of another version", async () => {
    const { disk, stores } = await usedDirectory();
    const text = new TextDecoder().decode(await disk.mount().readFile("chunkserver.json"));
    const write = (changed: string): Promise<void> =>
      disk.mount().writeFileDurably("chunkserver.json", new TextEncoder().encode(changed));
    await write(text.slice(0, 20));
    await assert.rejects(open(disk, stores), hasCode("STORE_CORRUPT"));
    await write(text.replace('"version": 1', '"version": 2'));
    await assert.rejects(open(disk, stores), hasCode("VERSION_MISMATCH"));
  });

  it("is created again after a crash at any step of the first start", async () => {
    for (let seed = 0; seed < 200; seed += 1) {
      let stepsLeft = seed % 25;
      const random = new SeededRandom(seed);
      const disk = new MemoryDisk({
        delay: async () => {
          stepsLeft -= 1;
          if (stepsLeft === 0) disk.crash(random);
        },
      });
      const stores = new MemoryStores();
      await open(disk, stores).catch(() => null);
      stepsLeft = -1;
      disk.crash(random);
      stores.crash();
      const store = await open(disk, stores);
      await putChunk(store, makeChunk(5000, 1));
      await store[Symbol.asyncDispose]();
    }
  });
});
