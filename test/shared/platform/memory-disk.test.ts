import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { testDisk } from "./disk-contract.ts";

const seeds = fc.integer({ min: 0, max: 2 ** 31 });

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

/** Returns which part of a write of 2048 bytes a crash kept. */
function shareOf(keptBytes: number): "all" | "torn" | "none" {
  if (keptBytes === 2048) return "all";
  return keptBytes > 0 ? "torn" : "none";
}

describe("memory disk (Disk contract)", () => {
  testDisk(async () => ({
    disk: new MemoryDisk().mount(),
    [Symbol.asyncDispose]: async () => {},
  }));
});

describe("memory disk after a power failure", () => {
  it("keeps synced names and bytes for every seed", async () => {
    const property = fc.asyncProperty(seeds, async (seed) => {
      const medium = new MemoryDisk();
      const disk = medium.mount();
      await disk.makeDirectory("d");
      const file = await disk.open("d/f", "create");
      await file.write([filled(3000, 1)], 0);
      await file.sync();
      await disk.syncDirectory("d");
      await disk.writeFileDurably("id", filled(5, 2));
      medium.crash(new SeededRandom(seed));
      const again = medium.mount();
      assert.deepEqual(await again.readFile("d/f"), filled(3000, 1));
      assert.deepEqual(await again.readFile("id"), filled(5, 2));
    });
    await fc.assert(property, { numRuns: 50 });
  });

  it("keeps either the old or the new content of a durable small file", async () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 100; seed += 1) {
      let stopAt = seed % 8;
      const medium = new MemoryDisk({
        fault: () => {
          stopAt -= 1;
          return stopAt === -1 ? "EIO" : null;
        },
      });
      stopAt = 100;
      const disk = medium.mount();
      await disk.writeFileDurably("id", filled(4, 1));
      stopAt = seed % 8;
      await disk.writeFileDurably("id", filled(4, 2)).catch(() => {});
      medium.crash(new SeededRandom(seed));
      stopAt = 100;
      const content = await medium.mount().readFile("id");
      assert.equal(content.length, 4);
      assert.ok(content.every((byte) => byte === content[0]));
      seen.add(content[0] as number);
    }
    assert.deepEqual([...seen].sort(), [1, 2]);
  });

  it("loses, keeps or tears bytes that were not synced, each for some seed", async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 200; seed += 1) {
      const medium = new MemoryDisk();
      const disk = medium.mount();
      const file = await disk.open("f", "create");
      await disk.syncDirectory(".");
      await file.write([filled(2048, 1)], 0);
      await file.write([filled(2048, 2)], 2048);
      medium.crash(new SeededRandom(seed));
      const content = await medium.mount().readFile("f");
      const kept = [1, 2].map((value) => content.filter((byte) => byte === value).length);
      outcomes.add(kept.map(shareOf).join());
    }
    for (const outcome of ["none,none", "all,all", "none,all", "torn,none", "all,torn"]) {
      assert.ok(outcomes.has(outcome), `${outcome} among ${[...outcomes].join(" ")}`);
    }
  });

  it("keeps any subset of the sectors of a write", async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 200; seed += 1) {
      const medium = new MemoryDisk();
      const file = await medium.mount().open("f", "create");
      await file.write([filled(1536, 1)], 0);
      await file.sync();
      await medium.mount().syncDirectory(".");
      await file.write([filled(1536, 2)], 0);
      medium.crash(new SeededRandom(seed));
      const bytes = await medium.mount().readFile("f");
      found.add([0, 512, 1024].map((offset) => bytes[offset]).join(""));
    }
    assert.deepEqual([...found].sort(), "111 112 121 122 211 212 221 222".split(" "));
  });

  it("keeps all bytes if only the process ends, and fails later calls of the process", async () => {
    const medium = new MemoryDisk();
    const disk = medium.mount();
    const file = await disk.open("f", "create");
    await file.write([filled(10, 1)], 0);
    medium.unmount();
    assert.deepEqual(await medium.mount().readFile("f"), filled(10, 1));
    await assert.rejects(file.write([filled(10, 2)], 0), { code: "DISK_FAILED" });
  });

  it("may lose the name of a synced file if its directory was not synced", async () => {
    const found = new Set<number>();
    for (let seed = 0; seed < 50; seed += 1) {
      const medium = new MemoryDisk();
      const disk = medium.mount();
      const file = await disk.open("f", "create");
      await file.write([filled(1, 1)], 0);
      await file.sync();
      medium.crash(new SeededRandom(seed));
      found.add((await medium.mount().list(".")).length);
    }
    assert.deepEqual([...found].sort(), [0, 1]);
  });

  it("keeps a prefix of a directory's changes, and a rename in both places or in neither", async () => {
    const property = fc.asyncProperty(seeds, async (seed) => {
      const medium = new MemoryDisk();
      const disk = medium.mount();
      await disk.makeDirectory("from");
      await disk.makeDirectory("to");
      for (const name of ["a", "b", "c"]) await disk.writeFileDurably(`from/${name}`, filled(1, 1));
      for (const name of ["a", "b", "c"]) await disk.rename(`from/${name}`, `to/${name}`);
      medium.crash(new SeededRandom(seed));
      const again = medium.mount();
      const left = (await again.list("from")).map(({ name }) => name);
      const moved = (await again.list("to")).map(({ name }) => name);
      assert.deepEqual([...moved, ...left], ["a", "b", "c"]);
    });
    await fc.assert(property, { numRuns: 50 });
  });

  it("does not make bytes durable by a sync after a failed sync (fsyncgate)", async () => {
    const sizes = new Set<number>();
    for (let seed = 0; seed < 50; seed += 1) {
      let broken = false;
      const fault = ({ kind }: DiskOperation) => (broken && kind === "sync" ? "EIO" : null);
      const medium = new MemoryDisk({ fault });
      const disk = medium.mount();
      const file = await disk.open("f", "create");
      await disk.syncDirectory(".");
      await file.write([filled(10, 1)], 0);
      broken = true;
      await assert.rejects(file.sync(), (error) => isAshlarError(error, "DISK_FAILED"));
      broken = false;
      await file.sync();
      medium.crash(new SeededRandom(seed));
      sizes.add((await medium.mount().readFile("f")).length);
    }
    assert.ok(sizes.has(0), "the bytes of the failed sync are lost for some seed");
  });

  it("behaves the same for the same seed", async () => {
    const crash = async (): Promise<string> => {
      const medium = new MemoryDisk();
      const disk = medium.mount();
      const file = await disk.open("f", "create");
      await disk.syncDirectory(".");
      for (let i = 0; i < 20; i += 1) await file.write([filled(1000, i)], i * 700);
      medium.crash(new SeededRandom(7));
      return Buffer.from(await medium.mount().readFile("f")).toString("hex");
    };
    assert.equal(await crash(), await crash());
  });

  it("fails every call of the crashed process, including pending calls", async () => {
    let proceed = (): void => {};
    let slow = false;
    const medium = new MemoryDisk({
      delay: () => (slow ? new Promise((resolve) => (proceed = resolve)) : Promise.resolve()),
    });
    const disk = medium.mount();
    const file = await disk.open("f", "create");
    await disk.syncDirectory(".");
    slow = true;
    const pending = file.write([filled(1, 1)], 0);
    medium.crash(new SeededRandom(1));
    proceed();
    slow = false;
    const failed = (error: unknown): boolean => isAshlarError(error, "DISK_FAILED");
    await assert.rejects(pending, failed);
    await assert.rejects(disk.list("."), failed);
    await assert.rejects(file.sync(), failed);
    assert.equal((await medium.mount().readFile("f")).length, 0);
  });
});

describe("memory disk with injected faults", () => {
  it("fails with NO_SPACE at its capacity, and has space again after a removal", async () => {
    const disk = new MemoryDisk({ capacityBytes: 1000 }).mount();
    const file = await disk.open("f", "create");
    await file.write([filled(900, 1)], 0);
    const full = (error: unknown): boolean => isAshlarError(error, "NO_SPACE");
    await assert.rejects(file.write([filled(101, 1)], 900), full);
    await assert.rejects(disk.writeFileDurably("id", filled(101, 1)), full);
    await file.write([filled(900, 2)], 0);
    assert.equal((await disk.space()).availableBytes, 100);
    await disk.remove("f");
    assert.equal((await disk.space()).availableBytes, 1000);
  });

  it("fails only the operation that the fault names", async () => {
    const fault = ({ kind, path }: DiskOperation) =>
      kind === "read" && path === "bad" ? "EIO" : null;
    const disk = new MemoryDisk({ fault }).mount();
    await disk.writeFileDurably("bad", filled(1, 1));
    await disk.writeFileDurably("good", filled(1, 1));
    await disk.readFile("good");
    await assert.rejects(
      disk.readFile("bad"),
      (error) => isAshlarError(error, "DISK_FAILED") && error.details["errno"] === "EIO",
    );
  });

  it("damages a file for readers now and after a crash", async () => {
    const medium = new MemoryDisk();
    await medium.mount().writeFileDurably("f", filled(3, 1));
    medium.corrupt("f", (bytes) => {
      bytes[1] = 9;
    });
    assert.deepEqual(await medium.mount().readFile("f"), Uint8Array.of(1, 9, 1));
    medium.crash(new SeededRandom(1));
    assert.deepEqual(await medium.mount().readFile("f"), Uint8Array.of(1, 9, 1));
  });
});
