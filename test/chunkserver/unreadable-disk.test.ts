import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ChunkStore } from "../../chunkserver/store/chunk-store.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { type DiskOperation, diskFailure } from "../support/mounted-file.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../support/wire-fixture.ts";
import { readRange, writeWhole } from "./support/chunk-client.ts";
import { logIndex, makeChunk, type TestChunk, writeIdFor } from "./support/chunks.ts";
import { eventually, TestCluster } from "./support/real-cluster.ts";
import { assertHolds, openTestStore, putChunk, readAll } from "./support/store-fixture.ts";

const MIB = 1024 * 1024;
const buffer = new Uint8Array(FRAME_BYTES_MAX);

/** A store whose disk fails with EIO as long as `fails` says so. */
async function makeStore() {
  const state = { fails: (_: DiskOperation): boolean => false };
  const disk = new MemoryDisk({ fault: (operation) => (state.fails(operation) ? "EIO" : null) });
  const stores = new MemoryStores();
  const clock = new VirtualClock();
  const log = new MemoryLog();
  const store = await openTestStore({ disk: disk.mount(), stores }, { clock, log });
  const reopen = (): Promise<ChunkStore> => openTestStore({ disk: disk.mount(), stores });
  return { state, disk, clock, log, store, reopen };
}

/** Puts chunks of 2 MiB, each in a file of its own. */
async function putLarge(store: ChunkStore, count: number): Promise<TestChunk[]> {
  const chunks = Array.from({ length: count }, (_, seed) => makeChunk(2 * MIB, seed));
  for (const chunk of chunks) await putChunk(store, chunk);
  return chunks;
}

const isExtentRead = ({ kind, path }: DiskOperation): boolean =>
  kind === "read" && path.startsWith("extents/");

describe("a read that fails", () => {
  it("once is repeated with another descriptor, and the caller gets the bytes", async () => {
    const { state, store } = await makeStore();
    const [chunk] = await putLarge(store, 1);
    assert.ok(chunk !== undefined);
    for (const failureCount of [1, 2]) {
      let failures = 0;
      const opened: string[] = [];
      state.fails = (operation) => {
        if (operation.kind === "open") opened.push(operation.path);
        if (!isExtentRead(operation)) return false;
        failures += 1;
        return failures <= failureCount;
      };
      await assertHolds(store, chunk);
      assert.equal(opened.length, failureCount, "each repetition has a descriptor of its own");
    }
    assert.equal(store.unreadableCount, 0);
  });

  for (const lengthBytes of [50_000, 2 * MIB]) {
    it(`with every descriptor keeps the copy of ${lengthBytes} bytes, and reports it`, async () => {
      const { state, disk, store } = await makeStore();
      const chunk = makeChunk(lengthBytes, 1);
      await putChunk(store, chunk, { intentIndex: 7 });
      const files = disk.filesBelow("extents");
      state.fails = isExtentRead;
      await assert.rejects(readAll(store, chunk.chunkId), hasCode("CHUNK_NOT_FOUND"));
      assert.equal(await store.verify(chunk.chunkId, buffer), "unreadable");
      assert.ok(store.has(chunk.chunkId));
      assert.deepEqual(disk.filesBelow("extents"), files);
      assert.deepEqual([disk.filesBelow("quarantine"), store.lossReport(10).lost], [[], []]);
      const [report] = store.unreadableReport(10);
      assert.deepEqual([report?.chunkId, report?.intentIndex], [chunk.chunkId, 7]);
      assert.match(report?.reason ?? "", /extents\/.*EIO/);
      assert.equal(store.failure, null, "one place is a damaged block");
      state.fails = () => false;
      assert.equal(await store.verify(chunk.chunkId, buffer), "intact");
      assert.equal(store.unreadableCount, 0);
    });
  }

  it("is reported once a minute, and each report asks the masters about the chunk", async () => {
    const { state, clock, store } = await makeStore();
    const chunk = makeChunk(50_000, 1);
    await putChunk(store, chunk);
    const confirm = (verdict: "known" | "unknown") =>
      store.applyConfirmations(
        [{ chunkId: chunk.chunkId, intentIndex: logIndex(1), verdict }],
        60_000,
      );
    await confirm("known");
    state.fails = isExtentRead;
    assert.equal(await store.verify(chunk.chunkId, buffer), "unreadable");
    for (let minute = 0; minute < 2; minute += 1) {
      const report = store.unreadableReport(10);
      assert.equal(report.length, 1);
      await store.answerUnreadable(report);
      assert.deepEqual(store.unreadableReport(10), []);
      assert.equal(store.unconfirmed(10).length, 1);
      await confirm("known");
      await clock.advance(60_000);
    }
    await confirm("unknown"); // Enough other copies exist.
    assert.equal(store.has(chunk.chunkId), false);
    assert.deepEqual([store.unreadableCount, store.unreadableReport(10).length], [0, 0]);
  });

  it("at several places within a minute is a failing disk, and no copy is reported", async () => {
    const { state, clock, log, store } = await makeStore();
    const chunks = await putLarge(store, 5);
    state.fails = isExtentRead;
    for (const [position, { chunkId }] of chunks.entries()) {
      assert.equal(store.failure !== null, position === 5);
      for (let again = 0; again < 3; again += 1) {
        assert.equal(await store.verify(chunkId, buffer), "unreadable");
      }
      await clock.advance(1_000);
    }
    assert.notEqual(store.failure, null);
    assert.equal(log.lines.filter(({ level }) => level === "error").length, 1);
    assert.deepEqual([store.unreadableReport(10), store.lossReport(10).lost], [[], []]);
    await assert.rejects(putChunk(store, makeChunk(100, 99)), hasCode("DISK_FAILED"));
    state.fails = () => false;
    for (const chunk of chunks) await assertHolds(store, chunk);
  });

  it("at several places over hours is not a failing disk", async () => {
    const { state, clock, store } = await makeStore();
    const chunks = await putLarge(store, 8);
    state.fails = isExtentRead;
    for (const { chunkId } of chunks) {
      assert.equal(await store.verify(chunkId, buffer), "unreadable");
      await clock.advance(30_000);
    }
    assert.equal(store.failure, null);
  });

  it("of a copy that is put again heals it", async () => {
    const { state, disk, store } = await makeStore();
    const [chunk] = await putLarge(store, 1);
    assert.ok(chunk !== undefined);
    const [bad = ""] = disk.filesBelow("extents");
    state.fails = ({ kind, path }) => kind === "read" && path === bad;
    assert.equal(await store.verify(chunk.chunkId, buffer), "unreadable");
    await putChunk(store, chunk, { intentIndex: 9 });
    assert.equal(store.unreadableCount, 0);
    assert.equal(await store.verify(chunk.chunkId, buffer), "intact");
  });
});

describe("a block that does not match its hash", () => {
  it("is read again before its copy is condemned", async () => {
    const { state, disk, store } = await makeStore();
    const [chunk] = await putLarge(store, 1);
    assert.ok(chunk !== undefined);
    const [path = ""] = disk.filesBelow("extents");
    const flip = (): void => disk.corrupt(path, (bytes) => bytes.fill((bytes[0] ?? 0) ^ 1, 0, 1));
    flip();
    let reads = 0;
    state.fails = (operation) => {
      if (isExtentRead(operation)) reads += 1;
      if (isExtentRead(operation) && reads === 2) flip(); // The transfer of the first read failed.
      return false;
    };
    assert.equal(await store.verify(chunk.chunkId, buffer), "intact");
    flip();
    assert.equal(await store.verify(chunk.chunkId, buffer), "corrupt");
  });
});

describe("upkeep on a disk with an unreadable place", () => {
  /** Two chunks that remain in an otherwise dead packed file. */
  async function makeSparse(store: ChunkStore): Promise<readonly [TestChunk, TestChunk]> {
    const kept = [makeChunk(50_000, 1), makeChunk(60_000, 2)] as const;
    for (const chunk of kept) await putChunk(store, chunk);
    for (let seed = 0; seed < 256; seed += 1) {
      const dead = makeChunk(1024, 1000 + seed);
      await putChunk(store, dead, { sizeHintBytes: MIB });
      await store.purge(dead.chunkId, logIndex(5));
    }
    await putChunk(store, makeChunk(70_000, 3));
    return kept;
  }

  it("moves no chunk that it cannot read, and neither repeats that nor deletes the file", async () => {
    const { state, disk, store } = await makeStore();
    const kept = await makeSparse(store);
    const [path = ""] = disk.filesBelow("extents");
    state.fails = (operation) => isExtentRead(operation) && operation.path === path;
    for (let again = 0; again < 3; again += 1) assert.equal(await store.sweep(), "done");
    assert.ok(disk.filesBelow("extents").includes(path));
    state.fails = () => false;
    for (const chunk of kept) await assertHolds(store, chunk);
    assert.equal(store.lossReport(10).lost.length, 0);
  });

  it("checks the other files if the disk cannot open one", async () => {
    const { state, disk, store, reopen } = await makeStore();
    const chunks = await putLarge(store, 3);
    const [first = "", , last = ""] = disk.filesBelow("extents");
    await store[Symbol.asyncDispose]();
    const again = await reopen();
    state.fails = ({ path }) => path === first;
    disk.lose(last);
    assert.equal(
      await again.checkExtentFiles(null, 1),
      [...chunks].map((c) => c.chunkId).sort()[0],
    );
    await again.checkExtentFiles(null, 10);
    assert.deepEqual([again.unreadableCount, again.lossReport(10).lost.length], [1, 1]);
  });

  it("starts if the disk cannot open a packed file, and serves the other chunks", async () => {
    const { state, disk, store, reopen } = await makeStore();
    const small = makeChunk(50_000, 10);
    await putChunk(store, small);
    const [large] = await putLarge(store, 1);
    await store[Symbol.asyncDispose]();
    const packed = disk.filesBelow("extents").find((path) => path.includes("packed")) ?? "";
    state.fails = ({ path }) => path === packed;
    const again = await reopen();
    await assertHolds(again, large as TestChunk);
    await assert.rejects(readAll(again, small.chunkId), hasCode("CHUNK_NOT_FOUND"));
    state.fails = () => false;
    await assertHolds(again, small);
  });

  it("loses no copy if the directory of all extents is gone", async () => {
    const { disk, store, reopen } = await makeStore();
    const chunks = await putLarge(store, 3);
    await store[Symbol.asyncDispose]();
    const again = await reopen();
    disk.lose("extents");
    for (const { chunkId } of chunks) {
      await assert.rejects(again.openChunk(chunkId), hasCode("DISK_FAILED"));
      assert.ok(again.has(chunkId));
    }
    await assert.rejects(again.checkExtentFiles(null, 10), hasCode("DISK_FAILED"));
    assert.notEqual(again.failure, null);
    assert.deepEqual(again.lossReport(10).lost, []);
  });
});

describe("a chunkserver that cannot read a chunk", () => {
  it("reports it to the leader as unreadable and not as lost", async () => {
    let isFailing = false;
    await using cluster = await TestCluster.start();
    const { server, location } = await cluster.startServer({
      wrapDisk: (disk) =>
        new Proxy(disk, {
          get: (target, name) => {
            if (name !== "open") return Reflect.get(target, name).bind(target);
            return async (...args: Parameters<typeof disk.open>) => {
              const file = await target.open(...args);
              const read = file.read.bind(file);
              file.read = (...range) =>
                isFailing && args[0].startsWith("extents/")
                  ? Promise.reject(diskFailure("EIO", args[0]))
                  : read(...range);
              return file;
            };
          },
        }),
    });
    const connection = await cluster.connect(location.address);
    const chunk = makeChunk(2 * MIB, 1);
    const intent = cluster.master.intent([location], 10);
    await writeWhole(connection, chunk, { writeId: writeIdFor(1), intent });
    isFailing = true;
    const range = { chunkId: chunk.chunkId, offsetBytes: 0, lengthBytes: chunk.bytes.length };
    await assert.rejects(readRange(connection, range), hasCode("CHUNK_NOT_FOUND"));
    const { heartbeats } = cluster.master;
    await eventually("the heartbeat has the number", () =>
      heartbeats.some(({ unreadableCount }) => unreadableCount === 1),
    );
    await eventually("the leader is notified", () =>
      heartbeats.some(({ unreadable = [] }) => unreadable.some((copy) => copy.intentIndex === 10)),
    );
    assert.deepEqual(cluster.master.reported("lost", server.serverId), []);
    isFailing = false;
    assert.ok(Buffer.from((await readRange(connection, range)).bytes).equals(chunk.bytes));
  });
});
