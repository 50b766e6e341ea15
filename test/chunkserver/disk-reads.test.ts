import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import type { CacheUse, Disk } from "../../shared/ports/disk.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { logIndex, makeChunk } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

/** Forwards all calls to `disk` and notes how the files are read. */
function notingDisk(disk: Disk, uses: (CacheUse | undefined)[]): Disk {
  return new Proxy(disk, {
    get: (target, name) => {
      if (name !== "open") return Reflect.get(target, name).bind(target);
      return async (...args: Parameters<Disk["open"]>) => {
        const file = await target.open(...args);
        const read = file.read.bind(file);
        file.read = (bytes, offset, use) => {
          uses.push(use);
          return read(bytes, offset, use);
        };
        return file;
      };
    },
  });
}

describe("upkeep", () => {
  it("verifies and moves what the disk has, and not what the page cache has", async () => {
    const uses: (CacheUse | undefined)[] = [];
    const disk = notingDisk(new MemoryDisk().mount(), uses);
    const store = await openTestStore({ disk, stores: new MemoryStores() });
    const kept = makeChunk(50_000, 1);
    await putChunk(store, kept);
    assert.equal(await store.verify(kept.chunkId, new Uint8Array(1024 * 1024)), "intact");
    assert.deepEqual(uses.splice(0), ["disk"]);
    for (let seed = 0; seed < 256; seed += 1) {
      const dead = makeChunk(1024, 1000 + seed);
      await putChunk(store, dead, { sizeHintBytes: 1024 * 1024 });
      await store.purge(dead.chunkId, logIndex(5));
    }
    await putChunk(store, makeChunk(70_000, 2));
    assert.equal(await store.sweep(), "more");
    assert.deepEqual(uses.splice(0), ["disk"]);
    await assertHolds(store, kept);
  });
});
