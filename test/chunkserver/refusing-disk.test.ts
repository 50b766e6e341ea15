import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Digest } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import type { Disk, DiskFile } from "../../shared/ports/disk.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { type DiskOperation, diskFailure } from "../support/mounted-file.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../support/wire-fixture.ts";
import { readRange, TestWrite, writeWhole } from "./support/chunk-client.ts";
import { framesOf, logIndex, makeChunk, writeIdFor } from "./support/chunks.ts";
import { eventually, TestCluster } from "./support/real-cluster.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

const MIB = 1024 * 1024;

describe("a disk that refuses writes", () => {
  it("is marked failed after a failed sync, and accepts no writes (fsyncgate)", async () => {
    let isFailing = false;
    const disk = new MemoryDisk({
      fault: ({ kind, path }) =>
        isFailing && kind === "sync" && path.startsWith("extents/") ? "EIO" : null,
    });
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const kept = makeChunk(2 * MIB, 1);
    await putChunk(store, kept);
    isFailing = true;
    await assert.rejects(putChunk(store, makeChunk(2 * MIB, 2)), hasCode("DISK_FAILED"));
    isFailing = false;
    assert.notEqual(store.failure, null);
    await assert.rejects(putChunk(store, makeChunk(2 * MIB, 3)), hasCode("DISK_FAILED"));
    assert.equal((await store.space()).availableBytes, 0);
    await assertHolds(store, kept);
  });

  it("is marked failed after EIO, logs the path once, and serves its chunks", async () => {
    const refused: DiskOperation[] = [];
    let isFailing = false;
    const disk = new MemoryDisk({
      fault: (operation) => {
        if (!isFailing || operation.kind !== "write") return null;
        refused.push(operation);
        return "EIO";
      },
    });
    const log = new MemoryLog();
    const storage = { disk: disk.mount(), stores: new MemoryStores() };
    const store = await openTestStore(storage, { log });
    const kept = makeChunk(20_000, 1);
    await putChunk(store, kept);
    isFailing = true;
    await assert.rejects(putChunk(store, makeChunk(20_000, 2)), hasCode("DISK_FAILED"));
    isFailing = false;
    const [logged, ...more] = log.lines.filter((line) => line.level === "error");
    assert.ok(logged !== undefined && more.length === 0, "the failure is logged once");
    const path = refused[0]?.path ?? "";
    assert.ok(path.startsWith("extents/packed-"), path);
    assert.ok(String(logged.fields["error"]).includes(path), String(logged.fields["error"]));
    assert.notEqual(store.failure, null);
    assert.equal((await store.space()).availableBytes, 0);
    await assert.rejects(putChunk(store, makeChunk(20_000, 3)), hasCode("DISK_FAILED"));
    assert.equal(refused.length, 1, "nothing more is written");
    await assertHolds(store, kept);
    assert.equal(store.has(makeChunk(20_000, 2).chunkId), false);
  });

  it("is marked failed if no extent file can be created", async () => {
    let isFailing = false;
    const disk = new MemoryDisk({
      fault: ({ kind, path }) =>
        isFailing && kind === "open" && path.startsWith("extents/") ? "EIO" : null,
    });
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    isFailing = true;
    await assert.rejects(putChunk(store, makeChunk(2 * MIB, 1)), hasCode("DISK_FAILED"));
    assert.notEqual(store.failure, null);
  });

  it("is not marked failed if the process has no file descriptor left", async () => {
    let isOut = false;
    const disk = new MemoryDisk({
      fault: ({ kind, path }) =>
        isOut && kind === "open" && path.startsWith("extents/") ? "EMFILE" : null,
    });
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    isOut = true;
    await assert.rejects(putChunk(store, makeChunk(2 * MIB, 1)), hasCode("DISK_FAILED"));
    isOut = false;
    assert.equal(store.failure, null);
    await putChunk(store, makeChunk(2 * MIB, 1));
  });

  it("is reported full after ENOSPC, refuses chunks for 5 s, and then accepts one again", async () => {
    let isFull = false;
    const clock = new VirtualClock();
    const disk = new MemoryDisk({
      fault: ({ kind, path }) =>
        isFull && kind === "write" && path.startsWith("extents/") ? "ENOSPC" : null,
    });
    const log = new MemoryLog();
    const storage = { disk: disk.mount(), stores: new MemoryStores() };
    const store = await openTestStore(storage, { log, clock });
    const kept = makeChunk(20_000, 1);
    await putChunk(store, kept);
    isFull = true;
    await assert.rejects(putChunk(store, makeChunk(20_000, 2)), hasCode("NO_SPACE"));
    isFull = false;
    assert.equal(store.failure, null);
    assert.deepEqual([(await store.space()).availableBytes, store.isFull], [0, true]);
    await assert.rejects(putChunk(store, makeChunk(20_000, 3)), hasCode("NO_SPACE"));
    await clock.advance(4_900);
    await assert.rejects(putChunk(store, makeChunk(20_000, 3)), hasCode("NO_SPACE"));
    await clock.advance(200);
    const space = await store.space();
    assert.ok(space.availableBytes > 0 && store.isFull, "space is offered but not proven");
    await putChunk(store, makeChunk(20_000, 3));
    await store.space();
    assert.equal(store.isFull, false);
    await assertHolds(store, kept);
    await assertHolds(store, makeChunk(20_000, 3));
    const logged = log.lines.filter((line) => ["info", "warn"].includes(line.level));
    assert.deepEqual(
      logged.map((line) => line.message),
      [
        "The disk is full: this server accepts no new chunks until there is room",
        "The disk has room again",
      ],
    );
    assert.match(String(logged[0]?.fields["error"]), /extents\/packed-/);
  });

  it("is reported full when only the reserve is left", async () => {
    const log = new MemoryLog();
    const clock = new VirtualClock();
    let capacityBytes = 64 * MIB;
    const disk = new MemoryDisk({
      get capacityBytes() {
        return capacityBytes;
      },
    });
    const storage = { disk: disk.mount(), stores: new MemoryStores() };
    const store = await openTestStore(storage, { log, clock, reserveBytesFor: () => 4 * MIB });
    await store.space();
    assert.equal(store.isFull, false);
    capacityBytes = disk.usedBytes + 3 * MIB;
    await clock.advance(1_000);
    assert.deepEqual([(await store.space()).availableBytes, store.isFull], [0, true]);
    assert.ok(log.lines.some((line) => line.message.startsWith("The disk is full")));
    capacityBytes = 64 * MIB;
    await clock.advance(6_000);
    assert.ok((await store.space()).availableBytes > 0 && !store.isFull);
    await putChunk(store, makeChunk(MIB, 1));
  });

  it("fails the writes in progress after the refused one", async () => {
    let writes = 0;
    const clock = new SystemClock();
    const disk = new MemoryDisk({
      // The first write waits until the second one is in progress too.
      delay: ({ kind }) => (kind === "write" ? clock.sleep(5) : Promise.resolve()),
      fault: ({ kind, path }) => {
        if (kind !== "write" || !path.startsWith("extents/")) return null;
        writes += 1;
        return writes === 1 ? "ENOSPC" : null;
      },
    });
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const chunk = makeChunk(3 * MIB, 1);
    const lease = await store.begin({
      writeId: writeIdFor(1),
      intentIndex: logIndex(1),
      lifetimeMs: 60_000,
      sizeHintBytes: null,
      purpose: "write",
      resumeAtBytes: 0,
    });
    const frames = framesOf(chunk);
    const written = await Promise.allSettled(
      frames.map((frame) => lease.write(frame.offsetBytes, frame.hashes, frame.bytes)),
    );
    assert.ok(frames.length > 1 && writes > 1, `${writes} writes of ${frames.length} frames`);
    for (const outcome of written) {
      assert.ok(outcome.status === "rejected" && hasCode("NO_SPACE")(outcome.reason));
    }
    assert.equal(lease.receivedBytes, 0);
    await assert.rejects(lease.seal(chunk.chunkId, 3 * MIB), hasCode("INVALID_ARGUMENT"));
    lease.release();
    assert.equal(store.has(chunk.chunkId), false);
  });
});

/** Forwards all calls to `disk`. Extent files opened while `isBroken` refuse writes. */
function refusingDisk(disk: Disk, isBroken: () => boolean): Disk {
  return new Proxy(disk, {
    get: (target, name) => {
      if (name !== "open") return Reflect.get(target, name).bind(target);
      return async (path: string, mode: Parameters<Disk["open"]>[1]): Promise<DiskFile> => {
        const file = await target.open(path, mode);
        if (!isBroken() || !path.startsWith("extents/")) return file;
        file.write = () => Promise.reject(diskFailure("EIO", path));
        return file;
      };
    },
  });
}

/** Forwards all calls to `disk`. It refuses the file of the credential. */
function diskWithoutCredential(disk: Disk): Disk {
  return new Proxy(disk, {
    get: (target, name) => {
      if (name !== "writeFileDurably") return Reflect.get(target, name).bind(target);
      return (path: string, bytes: Uint8Array): Promise<void> => {
        if (path === "credential.json") return Promise.reject(diskFailure("EIO", path));
        return target.writeFileDurably(path, bytes);
      };
    },
  });
}

describe("a chunkserver whose disk refuses writes", () => {
  it("reports it to the writer and the leader, is not ready, and serves its chunks", async () => {
    let isBroken = false;
    await using cluster = await TestCluster.start();
    const failing = await cluster.startServer({
      wrapDisk: (disk) => refusingDisk(disk, () => isBroken),
    });
    const connection = await cluster.connect(failing.location.address);
    const { serverId } = failing.server;
    const kept = makeChunk(2 * MIB, 1);
    const intent = cluster.master.intent([failing.location], 10);
    await writeWhole(connection, kept, { writeId: writeIdFor(1), intent });
    const heartbeats = () =>
      cluster.master.heartbeats.filter((heartbeat) => heartbeat.serverId === serverId);
    assert.ok(heartbeats().every((heartbeat) => !heartbeat.isDiskFailed));
    isBroken = true;
    const chunk = makeChunk(2 * MIB, 2);
    const write = new TestWrite(connection, { writeId: writeIdFor(2), intent });
    await write.opened();
    await write.send(chunk);
    const failed = await write.failed();
    assert.deepEqual([failed.serverId, failed.error.code], [serverId, "DISK_FAILED"]);
    await eventually("the leader is notified", () => heartbeats().at(-1)?.isDiskFailed === true);
    assert.equal(heartbeats().at(-1)?.space.availableBytes, 0);
    assert.deepEqual(failing.server.ready(), { ready: false, reason: "The disk has failed" });
    const range = { chunkId: kept.chunkId, offsetBytes: 0, lengthBytes: kept.bytes.length };
    assert.ok(Buffer.from((await readRange(connection, range)).bytes).equals(kept.bytes));
  });

  it("is not ready if it cannot store its credential, and asks for no writes", async () => {
    await using cluster = await TestCluster.start();
    const { master } = cluster;
    const { server, log } = await cluster.startServer({
      wrapDisk: (disk) => diskWithoutCredential(disk),
    });
    master.credential = new Uint8Array(32) as Digest;
    master.mustEnrol = true; // The leader asks a running server to enrol: its storing fails.
    const failed = { ready: false, reason: "The disk has failed" };
    await eventually("the failure is noticed", () => !server.ready().ready);
    assert.deepEqual(server.ready(), failed);
    const reports = log.lines.filter(({ level }) => level === "error");
    assert.match(String(reports[0]?.fields["error"]), /credential\.json/);
    await eventually("the leader knows that it takes no writes", () => {
      return master.heartbeats.at(-1)?.space.availableBytes === 0;
    });
  });
});
