import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DiskLanes, type DiskWork } from "../../chunkserver/store/disk-lanes.ts";
import type { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { Deferred } from "../../shared/flow/deferred.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import type { DiskOperation } from "../support/mounted-file.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { hasCode } from "../support/wire-fixture.ts";
import { logIndex, makeChunk } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk, readAll } from "./support/store-fixture.ts";

const TIMEOUT_MS = 60_000;

function makeLanes() {
  const clock = new VirtualClock();
  const hung: AshlarError[] = [];
  const lanes = new DiskLanes({
    clock,
    timeoutMs: TIMEOUT_MS,
    onHung: (error) => hung.push(error),
  });
  /** Starts operations that end with `gate`. Returns their promises, and how many have started. */
  const start = (work: DiskWork, count: number, gate: Deferred<void>) => {
    const counts = { started: 0 };
    const running = Array.from({ length: count }, () =>
      lanes.run(work, `test ${work}`, () => {
        counts.started += 1;
        return gate.promise;
      }),
    );
    for (const promise of running) promise.catch(() => {});
    return { counts, running };
  };
  return { clock, hung, lanes, start };
}

/** Lets promises settle. */
const settle = (clock: VirtualClock): Promise<void> => clock.advance(0);

describe("the lanes of a disk", () => {
  it("run a limited number of operations of each kind, and each kind independently", async () => {
    const { clock, start } = makeLanes();
    const gate = new Deferred<void>();
    const started = new Map<DiskWork, number>();
    const all: Promise<void>[] = [];
    for (const work of ["write", "read", "upkeep", "commit"] as const) {
      const { counts, running } = start(work, 20, gate);
      await settle(clock);
      started.set(work, counts.started);
      all.push(...running);
    }
    const sum = [...started.values()].reduce((total, count) => total + count, 0);
    assert.ok(sum < 16, `${sum} operations of a pool with 16 threads`);
    assert.ok([...started.values()].every((count) => count > 0));
    gate.resolve();
    await Promise.all(all);
  });

  it("start waiting operations in order, and never more than the limit", async () => {
    const { clock, lanes } = makeLanes();
    let [running, runningMax] = [0, 0];
    const order: number[] = [];
    const run = (number: number): Promise<void> =>
      lanes.run("upkeep", "test", async () => {
        order.push(number);
        running += 1;
        runningMax = Math.max(runningMax, running);
        await Promise.resolve();
        running -= 1;
        if (number < 20) later.push(run(number + 100)); // Competes with those that wait.
      });
    const later: Promise<void>[] = [];
    await Promise.all(Array.from({ length: 40 }, (_, number) => run(number)));
    await settle(clock);
    await Promise.all(later);
    assert.equal(runningMax, 2);
    assert.deepEqual(
      order.slice(0, 40),
      Array.from({ length: 40 }, (_, number) => number),
    );
  });

  it("report an operation that hangs once, and leave it pending until it ends", async () => {
    const { clock, hung, start } = makeLanes();
    const gate = new Deferred<void>();
    const { running } = start("write", 1, gate);
    await clock.advance(TIMEOUT_MS / 2);
    assert.equal(hung.length, 0);
    for (let minute = 0; minute < 3; minute += 1) await clock.advance(TIMEOUT_MS);
    assert.deepEqual(
      hung.map(({ code, message }) => [code, message]),
      [["DISK_FAILED", "Cannot test write: the disk has not answered for 60000 ms"]],
    );
    const state = await Promise.race([running[0], Promise.resolve("pending")]);
    assert.equal(state, "pending");
    gate.resolve();
    await running[0];
  });

  it("refuse an operation at once while hung ones hold all places, and work again afterwards", async () => {
    const { clock, hung, lanes, start } = makeLanes();
    const gate = new Deferred<void>();
    const { counts, running } = start("write", 10, gate);
    await clock.advance(2 * TIMEOUT_MS);
    const outcomes = await Promise.all(
      running.slice(counts.started).map((waiting) => waiting.catch((error) => error.code)),
    );
    assert.ok(counts.started < 10 && outcomes.every((code) => code === "DISK_FAILED"));
    assert.equal(hung.length, counts.started);
    const run = (): Promise<string> => lanes.run("write", "test", async () => "done");
    await assert.rejects(run(), hasCode("DISK_FAILED"));
    assert.equal(await lanes.run("read", "test", async () => "done"), "done");
    gate.resolve();
    await Promise.all(running.slice(0, counts.started));
    assert.equal(await run(), "done");
  });
});

describe("a store whose disk hangs", () => {
  for (const what of ["sync of bytes", "commit of the index"]) {
    it(`in a ${what} fails the disk, refuses writes and serves reads`, async () => {
      const gate = new Deferred<void>();
      let isHung = false;
      const hang = (): Promise<void> => (isHung ? gate.promise : Promise.resolve());
      const isSync = ({ kind }: DiskOperation): boolean => kind === "sync";
      const isCommit = what.startsWith("commit");
      const disk = new MemoryDisk({
        delay: (operation) => (!isCommit && isSync(operation) ? hang() : Promise.resolve()),
      });
      const stores = new MemoryStores({
        beforeCommit: () => (isCommit ? hang() : Promise.resolve()),
      });
      const clock = new VirtualClock();
      const store = await openTestStore({ disk: disk.mount(), stores }, { clock });
      const kept = makeChunk(60_000, 1);
      await putChunk(store, kept);
      isHung = true;
      const puts = Array.from({ length: 10 }, (_, seed) =>
        putChunk(store, makeChunk(2_000_000, 10 + seed)).catch((error) => error.code),
      );
      await clock.advance(30_000);
      assert.equal(store.failure, null);
      await clock.advance(60_000);
      assert.match(String(store.failure), /has not answered for 60000 ms/);
      await assert.rejects(putChunk(store, makeChunk(100, 2)), hasCode("DISK_FAILED"));
      await assertHolds(store, kept);
      assert.equal((await store.space()).availableBytes, 0);
      await store.answerLosses(store.lossReport(10), { intentFloor: logIndex(0) });
      isHung = false;
      gate.resolve();
      const outcomes = await Promise.all(puts);
      // A sync that ends late has succeeded, but nothing is promised on a failed disk.
      assert.ok(outcomes.every((code) => isCommit || code === "DISK_FAILED"));
    });
  }

  it("in reads condemns no copy, and refuses reads until it answers", async () => {
    const gate = new Deferred<void>();
    let isHung = false;
    const disk = new MemoryDisk({
      delay: ({ kind, path }) =>
        isHung && kind === "read" && path.startsWith("extents/") ? gate.promise : Promise.resolve(),
    });
    const clock = new VirtualClock();
    const storage = { disk: disk.mount(), stores: new MemoryStores() };
    const store = await openTestStore(storage, { clock });
    const chunks = Array.from({ length: 12 }, (_, seed) => makeChunk(2_000_000, seed));
    for (const chunk of chunks) await putChunk(store, chunk);
    isHung = true;
    const reads = chunks.map((chunk) =>
      readAll(store, chunk.chunkId).then(
        () => "read",
        (error) => error.code,
      ),
    );
    await clock.advance(2 * TIMEOUT_MS);
    assert.match(String(store.failure), /has not answered/);
    await assert.rejects(readAll(store, chunks[0]?.chunkId as ChunkId), hasCode("DISK_FAILED"));
    isHung = false;
    gate.resolve();
    assert.deepEqual(new Set(await Promise.all(reads)), new Set(["read", "DISK_FAILED"]));
    assert.equal(store.unreadableCount, 0);
    assert.deepEqual(store.lossReport(10).lost, []);
    for (const chunk of chunks) await assertHolds(store, chunk);
  });

  it("when it measures its free space reports the last known one", async () => {
    const disk = new MemoryDisk({ capacityBytes: 1e9 });
    const mounted = disk.mount();
    let isHung = false;
    const space = mounted.space.bind(mounted);
    mounted.space = () => (isHung ? new Promise(() => {}) : space());
    const clock = new VirtualClock();
    const store = await openTestStore({ disk: mounted, stores: new MemoryStores() }, { clock });
    const before = await store.space();
    isHung = true;
    await clock.advance(5_000);
    const after = store.space();
    await clock.advance(1_000);
    assert.deepEqual(await after, before);
  });
});
