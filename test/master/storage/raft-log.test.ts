import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { entrySizeBytes } from "../../../master/raft/entries.ts";
import type { Entry } from "../../../master/raft/messages.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  at,
  contentOf,
  entries,
  entry,
  hardState,
  makeFixture,
  openLog,
  segmentPaths,
} from "./log-fixture.ts";

describe("the Raft log", () => {
  it("contains all appended entries after a restart", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 2, 0), entries: entries(1, 3, 1) });
    const change = { ...entry(4, 1, 0), kind: "conf-change-v2" } as const;
    await log.append({ hardState: hardState(2, 0, 3), entries: [change, entry(5, 2, 100_000)] });
    const before = contentOf(log);
    await log.close();

    const reopened = await openLog(fixture);
    assert.deepEqual(contentOf(reopened), before);
    assert.deepEqual(reopened.entries.slice(4 as LogIndex, 6 as LogIndex, 1e9), [
      change,
      entry(5, 2, 100_000),
    ]);
    await reopened.close();
  });

  it("is durable without being closed", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 3, 1) });
    fixture.medium.crash(new SeededRandom(1));
    assert.deepEqual(contentOf(await openLog(fixture)), contentOf(log));
  });

  it("keeps a vote without an entry after a power failure (Raft, Figure 2)", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 3, 1) });
    await log.append({ hardState: hardState(7, 2, 0), entries: [] });
    fixture.medium.crash(new SeededRandom(1));
    assert.deepEqual((await openLog(fixture)).hardState, hardState(7, 2, 0));
  });

  it("makes all batches that were queued during a sync durable with the next sync", async () => {
    let isHeld = true;
    const held: Array<() => void> = [];
    const medium = new MemoryDisk({
      delay: (operation) =>
        operation.kind === "sync" && isHeld
          ? new Promise((resolve) => held.push(resolve))
          : Promise.resolve(),
    });
    isHeld = false;
    const log = await openLog(makeFixture(medium));
    isHeld = true;
    const syncsBefore = log.syncCount;
    const order: number[] = [];
    const append = (index: number) =>
      log.append({ entries: [entry(index, 1)] }).then(() => order.push(index));
    const first = append(1);
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    assert.equal(held.length, 1);
    const rest = Array.from({ length: 99 }, (_, offset) => append(offset + 2));
    isHeld = false;
    for (const release of held) release();
    await Promise.all([first, ...rest]);
    assert.equal(log.syncCount - syncsBefore, 2);
    assert.deepEqual(
      order,
      Array.from({ length: 100 }, (_, offset) => offset + 1),
    );
    await log.close();
  });

  it("writes a commit index with the next record, never alone", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 5, 1) });
    const syncsBefore = log.syncCount;
    for (const commit of [2, 3, 4]) {
      await log.append({ hardState: hardState(1, 1, commit), entries: [] });
    }
    assert.equal(log.syncCount, syncsBefore);
    await log.append({ entries: [entry(6, 1)] });
    assert.equal(log.syncCount, syncsBefore + 1);
    fixture.medium.crash(new SeededRandom(1));
    assert.equal((await openLog(fixture)).hardState.commitIndex, 4);
  });

  it("replaces conflicting entries before and after a restart", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 0, 2), entries: entries(1, 9, 1) });
    await log.append({ hardState: hardState(3, 0, 2), entries: entries(4, 6, 3) });
    const before = contentOf(log);
    assert.deepEqual(
      before.entries.map((text) => text.slice(0, 3)),
      ["1:1", "2:1", "3:1", "4:3", "5:3", "6:3"],
    );
    await log.close();
    assert.deepEqual(contentOf(await openLog(fixture)), before);
  });

  it("limits the size of the returned entries, but returns at least one", async () => {
    const log = await openLog(makeFixture());
    await log.append({ entries: entries(1, 9, 1, 100) });
    const read = (bytesMax: number) =>
      log.entries.slice(2 as LogIndex, 8 as LogIndex, bytesMax)?.map((each) => Number(each.index));
    assert.deepEqual(read(10), [2]);
    const oneBytes = entrySizeBytes(entries(2, 2, 1, 100)[0] as Entry);
    assert.deepEqual(read(3 * oneBytes), [2, 3, 4]);
    assert.deepEqual(read(4 * oneBytes - 1), [2, 3, 4]);
    assert.deepEqual(read(1e9), [2, 3, 4, 5, 6, 7]);
    await log.close();
  });

  it("belongs to one member of one cluster", async () => {
    const fixture = makeFixture();
    await (await openLog(fixture)).close();
    const { RaftLog } = await import("../../../master/storage/raft-log.ts");
    const { hasher, CLUSTER } = await import("./log-fixture.ts");
    const options = {
      ...fixture,
      disk: fixture.medium.mount(),
      hasher,
      wasSegmentDurable: true,
      clusterId: CLUSTER,
    };
    await assert.rejects(
      RaftLog.open({ ...options, memberId: 2 as never }),
      hasCode("WRONG_IDENTITY"),
    );
  });
});

describe("segments of the Raft log", () => {
  it("are created when the current one is full, and are read as one log", async () => {
    const fixture = makeFixture();
    fixture.segmentBytes = 2_000;
    const log = await openLog(fixture);
    for (let index = 1; index <= 60; index += 1) {
      const state = hardState(1 + (index >> 4), 1, index - 1);
      await log.append({ hardState: state, entries: [entry(index, 1 + (index >> 4), 100)] });
    }
    assert.ok(log.segmentCount > 3);
    const before = contentOf(log);
    await log.close();
    const reopened = await openLog(fixture);
    assert.deepEqual(contentOf(reopened), before);
    await reopened.append({ entries: [entry(61, 9)] });
    await reopened.close();
    assert.equal((await openLog(fixture)).entries.lastIndex, 61);
  });

  it("are removed once the state contains all their entries", async () => {
    const fixture = makeFixture();
    fixture.segmentBytes = 2_000;
    const log = await openLog(fixture);
    for (let index = 1; index <= 60; index += 1) {
      await log.append({ hardState: hardState(1, 1, index - 1), entries: [entry(index, 1, 100)] });
    }
    const countBefore = log.segmentCount;
    await log.compactTo(40 as LogIndex);
    assert.ok(log.segmentCount < countBefore);
    assert.equal((await segmentPaths(fixture)).length, log.segmentCount);
    assert.deepEqual(log.entries.base, at(40, 1));
    assert.equal(log.entries.termAt(40 as LogIndex), 1);
    await log.close();
    const reopened = await openLog(fixture);
    // Only whole segments are removed, so some entries before the tail remain.
    assert.ok(reopened.entries.base.index <= 40 && reopened.entries.base.index > 20);
    assert.equal(reopened.entries.lastIndex, 60);
    assert.deepEqual(reopened.hardState, hardState(1, 1, 59));
    await reopened.close();
  });

  it("can be removed although a later segment overwrites their entries", async () => {
    const fixture = makeFixture();
    fixture.segmentBytes = 1_200;
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 0, 5), entries: entries(1, 9, 1, 100) });
    // Is written to a new segment with base 9, and replaces the entries from 7 on.
    await log.append({ hardState: hardState(2, 0, 6), entries: entries(7, 15, 2, 100) });
    await log.append({ hardState: hardState(2, 0, 12), entries: [entry(16, 2, 100)] });
    await log.compactTo(12 as LogIndex);
    const paths = await segmentPaths(fixture);
    assert.ok(!paths.some((path) => path.startsWith("log/0000000000000001-")), paths.join());
    await log.close();
    const reopened = await openLog(fixture);
    assert.equal(reopened.entries.lastIndex, 16);
    assert.equal(reopened.entries.termAt(12 as LogIndex), 2);
    await reopened.close();
  });

  it("are all replaced by one segment after a snapshot", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 3), entries: entries(1, 9, 1) });
    const resetting = log.reset(at(50, 4), hardState(4, 0, 50));
    const appending = log.append({ entries: entries(51, 52, 4) });
    assert.equal(log.entries.lastIndex, 52);
    await Promise.all([resetting, appending]);
    assert.equal(log.segmentCount, 1);
    fixture.medium.crash(new SeededRandom(3));
    const reopened = await openLog(fixture);
    assert.deepEqual(reopened.entries.base, at(50, 4));
    assert.equal(reopened.entries.lastIndex, 52);
    assert.deepEqual(reopened.hardState, hardState(4, 0, 50));
    await reopened.close();
  });
});

describe("a disk failure of the Raft log", () => {
  function failingFixture(errno: "EIO" | "ENOSPC", kind: DiskOperation["kind"]) {
    const state = { isFailing: false };
    const medium = new MemoryDisk({
      fault: (operation) => (state.isFailing && operation.kind === kind ? errno : null),
    });
    return { fixture: makeFixture(medium), state };
  }

  for (const [errno, kind, code] of [
    ["EIO", "write", "DISK_FAILED"],
    ["EIO", "sync", "DISK_FAILED"],
    ["ENOSPC", "sync", "DISK_FAILED"],
    ["ENOSPC", "write", "NO_SPACE"],
  ] as const) {
    it(`stops the log until a restart: ${errno} at a ${kind} is ${code}`, async () => {
      const { fixture, state } = failingFixture(errno, kind);
      const log = await openLog(fixture);
      await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 3, 1) });
      state.isFailing = true;
      // Larger than the preallocated space: a full disk is detected when the file grows.
      const failed = log.append({ entries: [entry(4, 1, 600_000)] });
      const behind = log.append({ entries: [entry(5, 1)] });
      await assert.rejects(failed, hasCode(code));
      await assert.rejects(behind, hasCode(code));
      state.isFailing = false;
      await assert.rejects(log.append({ entries: [entry(6, 1)] }), hasCode(code));
      assert.equal(log.failure?.code, code);
      assert.equal(log.entries.slice(1 as LogIndex, 3 as LogIndex, 1e9)?.length, 2);
      await log.close();
      const reopened = await openLog(fixture);
      assert.deepEqual(reopened.entries.slice(1 as LogIndex, 4 as LogIndex, 1e9), entries(1, 3, 1));
      await reopened.close();
    });
  }

  it("stops the log if a new segment cannot be created", async () => {
    const { fixture, state } = failingFixture("ENOSPC", "write");
    fixture.segmentBytes = 500;
    const log = await openLog(fixture);
    await log.append({ entries: entries(1, 3, 1, 100) });
    state.isFailing = true;
    await assert.rejects(log.append({ entries: [entry(4, 1, 100)] }), hasCode("NO_SPACE"));
    state.isFailing = false;
    await log.close();
    const reopened = await openLog(fixture);
    assert.equal(reopened.entries.lastIndex, 3);
    await reopened.append({ entries: [entry(4, 1, 100)] });
    await reopened.close();
    assert.equal((await openLog(fixture)).entries.lastIndex, 4);
  });
});
