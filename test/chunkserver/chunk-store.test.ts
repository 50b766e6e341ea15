import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { hasCode, MemoryLog } from "../support/wire-fixture.ts";
import { framesOf, logIndex, makeChunk, writeIdFor } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk, readAll } from "./support/store-fixture.ts";

const MIB = 1024 * 1024;

function extentNames(disk: MemoryDisk): Promise<readonly string[]> {
  return disk
    .mount()
    .list("extents")
    .then((entries) => entries.map((entry) => entry.name));
}

function beginOptions(number: number, overrides: object = {}) {
  return {
    writeId: writeIdFor(number),
    intentIndex: logIndex(1),
    lifetimeMs: 60_000,
    sizeHintBytes: null,
    purpose: "write" as const,
    resumeAtBytes: 0,
    ...overrides,
  };
}

describe("the chunk store", () => {
  it("keeps small and large chunks across a restart", async () => {
    const disk = new MemoryDisk();
    const stores = new MemoryStores();
    const chunks = [1, 1000, 65_536, 65_537, MIB, MIB + 1, 3 * MIB + 5].map(makeChunk);
    const store = await openTestStore({ disk: disk.mount(), stores });
    await Promise.all(chunks.map((chunk) => putChunk(store, chunk)));
    for (const chunk of chunks) await assertHolds(store, chunk);
    await store[Symbol.asyncDispose]();
    const again = await openTestStore({ disk: disk.mount(), stores });
    for (const chunk of chunks) await assertHolds(again, chunk);
    assert.equal(again.totals.chunkCount, chunks.length);
    assert.equal(again.serverId, store.serverId);
  });

  it("packs chunks of up to 1 MiB into one file, and gives each larger chunk its own file", async () => {
    const disk = new MemoryDisk();
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    for (const seed of [1, 2, 3, 4]) await putChunk(store, makeChunk(10_000, seed));
    await putChunk(store, makeChunk(MIB + 1, 5));
    await putChunk(store, makeChunk(10_000, 6), { sizeHintBytes: null });
    const names = await extentNames(disk);
    assert.equal(names.filter((name) => name.startsWith("packed-")).length, 1);
    assert.equal(names.filter((name) => name.startsWith("large-")).length, 2);
  });

  it("shares one sync of a packed file and one commit among concurrent seals", async () => {
    let syncs = 0;
    let commits = 0;
    const clock = new SystemClock();
    const disk = new MemoryDisk({
      delay: async ({ kind, path }) => {
        if (kind !== "sync" || !path.startsWith("extents/packed-")) return;
        syncs += 1;
        await clock.sleep(5);
      },
    });
    const stores = new MemoryStores({
      beforeCommit: async () => {
        commits += 1;
        await clock.sleep(5);
      },
    });
    const store = await openTestStore({ disk: disk.mount(), stores });
    commits = 0;
    const chunks = Array.from({ length: 100 }, (_, seed) => makeChunk(2000, seed));
    await Promise.all(chunks.map((chunk) => putChunk(store, chunk)));
    assert.ok(syncs <= 10, `${syncs} syncs for 100 seals`);
    assert.ok(commits <= 10, `${commits} commits for 100 seals`);
    for (const chunk of chunks) await assertHolds(store, chunk);
  });

  it("drops the bytes of a chunk that already exists, and raises its intent", async () => {
    const disk = new MemoryDisk();
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const chunk = makeChunk(2 * MIB, 1);
    await putChunk(store, chunk, { intentIndex: 5 });
    await putChunk(store, chunk, { intentIndex: 9 });
    await putChunk(store, chunk, { intentIndex: 7 });
    assert.equal((await extentNames(disk)).length, 1);
    assert.equal(store.totals.chunkCount, 1);
    assert.equal(await store.purge(chunk.chunkId, logIndex(9)), "kept", "9 is not lower than 9");
    await assertHolds(store, chunk);
    assert.equal(await store.purge(chunk.chunkId, logIndex(10)), "deleted");
    assert.equal(await store.purge(chunk.chunkId, logIndex(10)), "absent");
    assert.deepEqual(await extentNames(disk), []);
  });

  it("keeps one copy of a chunk that several writers seal at the same time", async () => {
    const disk = new MemoryDisk();
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const chunk = makeChunk(2 * MIB, 1);
    await Promise.all([1, 2, 3].map((intentIndex) => putChunk(store, chunk, { intentIndex })));
    assert.equal((await extentNames(disk)).length, 1);
    await assertHolds(store, chunk);
  });

  it("refuses a seal with a wrong id or length, and stores nothing", async () => {
    const store = await openTestStore({
      disk: new MemoryDisk().mount(),
      stores: new MemoryStores(),
    });
    const [chunk, other] = [makeChunk(100_000, 1), makeChunk(100_000, 2)];
    const lease = await store.begin(beginOptions(900));
    for (const { offsetBytes, hashes, bytes } of framesOf(chunk)) {
      await lease.write(offsetBytes, hashes, bytes);
    }
    await assert.rejects(lease.seal(other.chunkId, 100_000), hasCode("CHUNK_CORRUPT"));
    await assert.rejects(lease.seal(chunk.chunkId, 99_999), hasCode("INVALID_ARGUMENT"));
    assert.equal(store.totals.chunkCount, 0);
    await lease.seal(chunk.chunkId, 100_000);
    await assertHolds(store, chunk);
  });

  it("allows a writer to resume its partial chunk, and cancels the previous lease", async () => {
    const store = await openTestStore({
      disk: new MemoryDisk().mount(),
      stores: new MemoryStores(),
    });
    const chunk = makeChunk(3 * MIB, 1);
    const frames = framesOf(chunk);
    const first = await store.begin(beginOptions(901));
    for (const { offsetBytes, hashes, bytes } of frames.slice(0, 2)) {
      await first.write(offsetBytes, hashes, bytes);
    }
    assert.equal(store.receivedBytes(writeIdFor(901)), 2 * MIB);
    const second = await store.begin(beginOptions(901, { resumeAtBytes: MIB }));
    assert.equal(second.receivedBytes, MIB);
    const [, , last] = frames;
    assert.ok(last !== undefined);
    await assert.rejects(
      first.write(last.offsetBytes, last.hashes, last.bytes),
      hasCode("CANCELLED"),
    );
    await assert.rejects(first.seal(chunk.chunkId, 3 * MIB), hasCode("CANCELLED"));
    first.release();
    for (const { offsetBytes, hashes, bytes } of frames.slice(1)) {
      await second.write(offsetBytes, hashes, bytes);
    }
    await second.seal(chunk.chunkId, 3 * MIB);
    second.release();
    await assertHolds(store, chunk);
  });

  it("remembers a sealed write, so that a chain that broke during the seal can be resumed", async () => {
    const store = await openTestStore({
      disk: new MemoryDisk().mount(),
      stores: new MemoryStores(),
    });
    const chunk = makeChunk(2 * MIB, 1);
    const first = await store.begin(beginOptions(902));
    for (const { offsetBytes, hashes, bytes } of framesOf(chunk)) {
      await first.write(offsetBytes, hashes, bytes);
    }
    await first.seal(chunk.chunkId, 2 * MIB);
    first.release();
    const again = await store.begin(
      beginOptions(902, { resumeAtBytes: MIB, intentIndex: logIndex(4) }),
    );
    assert.equal(again.receivedBytes, 2 * MIB);
    for (const { offsetBytes, hashes, bytes } of framesOf(chunk, MIB)) {
      await again.write(offsetBytes, hashes, bytes);
    }
    const other = makeChunk(2 * MIB, 2);
    const [frame] = framesOf(other);
    assert.ok(frame !== undefined);
    await assert.rejects(again.write(0, frame.hashes, frame.bytes), hasCode("INVALID_ARGUMENT"));
    await again.seal(chunk.chunkId, 2 * MIB);
    again.release();
    assert.equal(
      await store.purge(chunk.chunkId, logIndex(4)),
      "kept",
      "the seal raised the intent",
    );
    const partial = await store.openPartial(writeIdFor(902), MIB);
    const bytes = new Uint8Array(MIB);
    await partial.read(bytes, 0);
    partial.release();
    assert.ok(Buffer.from(bytes).equals(chunk.bytes.subarray(0, MIB)));
  });

  it("deletes an unsealed write after the lifetime of its intent", async () => {
    const disk = new MemoryDisk();
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const lease = await store.begin(beginOptions(903, { lifetimeMs: 0 }));
    const [frame] = framesOf(makeChunk(2 * MIB, 1));
    assert.ok(frame !== undefined);
    await lease.write(0, frame.hashes, frame.bytes);
    await store.sweep();
    assert.equal((await extentNames(disk)).length, 1, "a held write is kept");
    lease.release();
    await store.sweep();
    assert.deepEqual(await extentNames(disk), []);
    assert.equal(store.receivedBytes(writeIdFor(903)), null);
  });

  it("refuses a new chunk that does not fit above the reserve, with server and reserve", async () => {
    const disk = new MemoryDisk({ capacityBytes: 20 * MIB });
    const options = { reserveBytesFor: () => 8 * MIB };
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() }, options);
    await putChunk(store, makeChunk(10 * MIB, 1));
    await assert.rejects(store.begin(beginOptions(904, { sizeHintBytes: 3 * MIB })), (error) => {
      assert.ok(hasCode("NO_SPACE")(error));
      const { message } = error as Error;
      assert.match(message, new RegExp(store.serverId));
      assert.match(message, new RegExp(String(8 * MIB)));
      return true;
    });
    const copy = { sizeHintBytes: 3 * MIB, purpose: "copy" as const };
    const lease = await store.begin(beginOptions(905, copy));
    lease.abandon();
    await store.sweep();
    const { availableBytes } = await store.space();
    assert.ok(availableBytes <= 2 * MIB, `${availableBytes} bytes available for new chunks`);
  });
});

describe("damage found by the chunk store", () => {
  it("removes a corrupt replica, quarantines its bytes and records the loss", async () => {
    const disk = new MemoryDisk();
    const stores = new MemoryStores();
    const store = await openTestStore({ disk: disk.mount(), stores });
    const [large, small, intact] = [makeChunk(2 * MIB, 1), makeChunk(5000, 2), makeChunk(5000, 3)];
    for (const chunk of [large, small, intact]) await putChunk(store, chunk);
    for (const name of await extentNames(disk)) {
      disk.corrupt(`extents/${name}`, (bytes) => {
        bytes[4000] = (bytes[4000] ?? 0) ^ 1;
      });
    }
    const buffer = new Uint8Array(MIB);
    assert.equal(await store.verify(large.chunkId, buffer), "corrupt");
    assert.equal(await store.verify(small.chunkId, buffer), "corrupt");
    assert.equal(await store.verify(intact.chunkId, buffer), "intact");
    await assert.rejects(readAll(store, large.chunkId), hasCode("CHUNK_NOT_FOUND"));
    assert.equal(await store.verify(large.chunkId, buffer), "absent");
    const quarantined = await disk.mount().list("quarantine");
    assert.equal(quarantined.length, 2);
    const lost = store.lossReport(10).lost.map(({ chunkId }) => chunkId);
    assert.deepEqual(lost.sort(), [large.chunkId, small.chunkId].sort());
    await store[Symbol.asyncDispose]();
    const again = await openTestStore({ disk: disk.mount(), stores });
    const report = again.lossReport(10);
    assert.equal(report.lost.length, 2, "the loss is reported after a restart too");
    await again.answerLosses(report, { intentFloor: logIndex(2) });
    assert.deepEqual(again.lossReport(10).lost, []);
    await assertHolds(again, intact);
    await putChunk(again, large);
    await assertHolds(again, large);
  });

  it("keeps the newest intent of a lost replica when the chunk is sealed under an older one", async () => {
    const disk = new MemoryDisk();
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const chunk = makeChunk(2 * MIB, 1);
    const lose = async (): Promise<void> => {
      for (const name of await extentNames(disk)) {
        disk.corrupt(`extents/${name}`, (bytes) => bytes.fill(0, 0, 100));
      }
      assert.equal(await store.verify(chunk.chunkId, new Uint8Array(MIB)), "corrupt");
    };
    // A client has the receipt of intent 20, and commits with it later.
    await putChunk(store, chunk, { intentIndex: 20 });
    await lose();
    await putChunk(store, chunk, { intentIndex: 10, lifetimeMs: 0 });
    assert.deepEqual(store.unconfirmed(1), [{ chunkId: chunk.chunkId, intentIndex: 20 }]);
    assert.equal(await store.purge(chunk.chunkId, logIndex(20)), "kept");
    await lose();
    const [lost] = store.lossReport(1).lost;
    assert.equal(lost?.intentIndex, 20);
  });

  it("reports a replica whose file is missing or short, and serves the others", async () => {
    const disk = new MemoryDisk();
    const stores = new MemoryStores();
    const store = await openTestStore({ disk: disk.mount(), stores });
    const chunks = [1, 2, 3, 4].map((seed) => makeChunk(2 * MIB, seed));
    for (const chunk of chunks) await putChunk(store, chunk);
    const [missing, short, shortLater, intact] = chunks;
    assert.ok(missing && short && shortLater && intact);
    await store[Symbol.asyncDispose]();
    const mounted = disk.mount();
    const names = await extentNames(disk);
    await mounted.remove(`extents/${names[0]}`);
    await cut(mounted, `extents/${names[1]}`, MIB);
    const log = new MemoryLog();
    const again = await openTestStore({ disk: disk.mount(), stores }, { log });
    assert.deepEqual(log.lines.at(0)?.fields, { lostCount: 1, chunkIds: [missing.chunkId] });
    assert.deepEqual(again.lossReport(10).lost, [
      { chunkId: missing.chunkId, reason: "its extent file is missing", intentIndex: logIndex(1) },
    ]);
    await again.checkExtentFiles(null, 100);
    assert.equal(again.lossReport(10).lost.length, 2);
    await cut(mounted, `extents/${names[2]}`, MIB);
    await assert.rejects(readAll(again, shortLater.chunkId), hasCode("CHUNK_NOT_FOUND"));
    assert.equal(again.lossReport(10).lost.length, 3);
    await assertHolds(again, intact);
    assert.equal(again.totals.chunkCount, 1);
  });

  it("rewrites a packed file with few live bytes, and finds the corrupt chunk in it", async () => {
    const disk = new MemoryDisk();
    const stores = new MemoryStores();
    const first = await openTestStore({ disk: disk.mount(), stores });
    const old = Array.from({ length: 135 }, (_, seed) => makeChunk(MIB - seed, seed));
    for (const chunk of old) await putChunk(first, chunk);
    const [before] = await extentNames(disk);
    await first[Symbol.asyncDispose]();
    // 135 MiB is more than half of a packed file, so the store appends to another file.
    const store = await openTestStore({ disk: disk.mount(), stores });
    const kept = old.filter((_, position) => position % 5 === 0);
    const dead = old.filter((_, position) => position % 5 !== 0);
    await Promise.all(dead.map(({ chunkId }) => store.purge(chunkId, logIndex(2))));
    const corrupt = kept[3];
    assert.ok(corrupt !== undefined && before !== undefined);
    disk.corrupt(`extents/${before}`, (bytes) => {
      const { buffer, byteOffset, length } = bytes;
      const offset = Buffer.from(buffer, byteOffset, length).indexOf(corrupt.bytes.subarray(0, 64));
      assert.ok(offset >= 0);
      bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    });
    while ((await store.sweep()) === "more");
    assert.ok(!(await extentNames(disk)).includes(before), "the sparse file is deleted");
    const intact = kept.filter((chunk) => chunk !== corrupt);
    for (const chunk of intact) await assertHolds(store, chunk);
    assert.deepEqual(
      store.lossReport(10).lost.map(({ chunkId }) => chunkId),
      [corrupt.chunkId],
    );
    await store[Symbol.asyncDispose]();
    const again = await openTestStore({ disk: disk.mount(), stores });
    for (const chunk of intact) await assertHolds(again, chunk);
    assert.equal(again.totals.chunkCount, kept.length - 1);
  });
});

describe("unconfirmed chunks", () => {
  it("are due after their intent; known ones are kept, unknown ones deleted", async () => {
    const disk = new MemoryDisk();
    const store = await openTestStore({ disk: disk.mount(), stores: new MemoryStores() });
    const [known, unknown, undecided, fresh] = [1, 2, 3, 4].map((seed) => makeChunk(5000, seed));
    assert.ok(known && unknown && undecided && fresh);
    for (const chunk of [known, unknown, undecided])
      await putChunk(store, chunk, { lifetimeMs: 0 });
    await putChunk(store, fresh);
    const due = store.unconfirmed(10);
    assert.deepEqual(
      due.map(({ chunkId }) => chunkId).sort(),
      [known, unknown, undecided].map(({ chunkId }) => chunkId).sort(),
    );
    // A writer stores the chunk again before the answer arrives: the answer is ignored.
    await putChunk(store, undecided, { intentIndex: 8, lifetimeMs: 60_000 });
    const confirmations = due.map((chunk) => ({
      ...chunk,
      verdict: chunk.chunkId === known.chunkId ? ("known" as const) : ("unknown" as const),
    }));
    await store.applyConfirmations(confirmations, 1000);
    await assertHolds(store, known);
    await assertHolds(store, undecided);
    await assertHolds(store, fresh);
    await assert.rejects(readAll(store, unknown.chunkId), hasCode("CHUNK_NOT_FOUND"));
    assert.deepEqual(store.unconfirmed(10), []);
    assert.equal(store.totals.unconfirmedCount, 2);
    // A newer intent makes a confirmed chunk unconfirmed again.
    await putChunk(store, known, { intentIndex: 9, lifetimeMs: 0 });
    assert.deepEqual(store.unconfirmed(10), [{ chunkId: known.chunkId, intentIndex: 9 }]);
  });
});

async function cut(
  disk: ReturnType<MemoryDisk["mount"]>,
  path: string,
  lengthBytes: number,
): Promise<void> {
  const file = await disk.open(path, "read-write");
  await file.truncate(lengthBytes);
  await file.sync();
  await file.close();
}
