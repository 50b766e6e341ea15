import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Entry } from "../../../master/raft/messages.ts";
import type { RaftLog } from "../../../master/storage/raft-log.ts";
import type { LogIndex, Term } from "../../../shared/base/ids.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  bytesOf,
  entries,
  entry,
  fixtureOf,
  hardState,
  type LogFixture,
  makeFixture,
  openLog,
  segmentPaths,
} from "./log-fixture.ts";

const CACHE_BYTES = 2_000;

/** A fixture whose log soon has more on disk than in memory, in many segments. */
function smallFixture(medium?: MemoryDisk): LogFixture {
  const fixture = makeFixture(medium);
  return Object.assign(fixture, { segmentBytes: 1_500, cacheBytes: CACHE_BYTES });
}

/** Reads all entries of the log through `load`, from each index on, and compares them. */
async function assertLoads(log: RaftLog, expected: readonly Entry[]): Promise<void> {
  assert.deepEqual(
    expected.map(({ index }) => Number(index)),
    Array.from(expected, (_, offset) => Number(log.entries.firstIndex) + offset),
  );
  assert.equal(log.entries.lastIndex, expected.at(-1)?.index ?? log.entries.base.index);
  for (const [offset, { index }] of expected.entries()) {
    const found = await log.load(index, 250);
    assert.ok(found.length > 0, `entry ${index}`);
    assert.deepEqual(found, expected.slice(offset, offset + found.length));
  }
}

/** Appends `count` entries of one term, each in a record of its own, all but the last committed. */
async function appendMany(log: RaftLog, count: number, term = 1): Promise<void> {
  const first = log.entries.lastIndex + 1;
  for (let index = first; index < first + count; index += 1) {
    await log.append({
      hardState: hardState(term, 1, index - 1),
      entries: [entry(index, term, 100)],
    });
  }
}

type Step =
  | { readonly kind: "append"; readonly count: number; readonly bytes: number }
  | { readonly kind: "replace"; readonly count: number }
  | { readonly kind: "commit" | "compact" | "reopen" };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      count: fc.integer({ min: 1, max: 6 }),
      bytes: fc.constantFrom(20, 100, 700),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("replace" as const),
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom("commit", "commit", "compact", "reopen") }),
  },
);

/** A log and the entries that it must have. */
class ModelledLog {
  log: RaftLog;
  entries: Entry[] = [];
  readonly #fixture: LogFixture;
  #term = 1;

  private constructor(fixture: LogFixture, log: RaftLog) {
    this.#fixture = fixture;
    this.log = log;
  }

  static async open(): Promise<ModelledLog> {
    const fixture = smallFixture();
    return new ModelledLog(fixture, await openLog(fixture));
  }

  async perform(step: Step): Promise<void> {
    const { lastIndex, base } = this.log.entries;
    const { commitIndex } = this.log.hardState;
    if (step.kind === "append") {
      await this.#append(entries(lastIndex + 1, lastIndex + step.count, this.#term, step.bytes));
    } else if (step.kind === "replace") {
      // A new leader replaces entries that are not committed.
      this.#term += 1;
      const from = Math.max(commitIndex, lastIndex - step.count) + 1;
      await this.#append(entries(from, from + 2, this.#term, 80));
    } else if (step.kind === "commit") {
      await this.log.append({ hardState: hardState(this.#term, 0, lastIndex), entries: [] });
    } else if (step.kind === "compact") {
      await this.#compact(Math.floor((base.index + commitIndex) / 2));
    } else {
      await this.log.close();
      this.log = await openLog(this.#fixture);
      // Only whole segments are removed: an opened log may begin before the last compaction.
      await this.#compact((this.entries[0]?.index ?? lastIndex + 1) - 1);
    }
  }

  async #append(added: Entry[]): Promise<void> {
    const { commitIndex } = this.log.hardState;
    await this.log.append({ hardState: hardState(this.#term, 0, commitIndex), entries: added });
    const from = added[0]?.index ?? 0;
    this.entries = [...this.entries.filter(({ index }) => index < from), ...added];
  }

  async #compact(to: number): Promise<void> {
    if (to > this.log.entries.base.index) await this.log.compactTo(to as LogIndex);
    this.entries = this.entries.filter(({ index }) => index > this.log.entries.base.index);
  }
}

describe("log entries that are on disk only", () => {
  it("are read back after any appends, replacements, compactions and restarts", async () => {
    let evictedCount = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 10, maxLength: 60 }), async (steps) => {
        const modelled = await ModelledLog.open();
        for (const step of steps) {
          await modelled.perform(step);
          await assertLoads(modelled.log, modelled.entries);
          const { firstCachedIndex, firstIndex } = modelled.log.entries;
          if (firstCachedIndex > firstIndex) evictedCount += 1;
        }
        await modelled.log.close();
      }),
      { numRuns: 25 },
    );
    assert.ok(evictedCount > 100, `entries were evicted after ${evictedCount} steps`);
  });

  it("are not in memory: it does not grow with the log", async () => {
    const log = await openLog(smallFixture());
    for (let round = 0; round < 20; round += 1) {
      await appendMany(log, 20);
      assert.ok(log.entries.cachedBytes <= 1.5 * CACHE_BYTES, `${log.entries.cachedBytes} bytes`);
    }
    assert.ok(log.diskBytes > 20 * CACHE_BYTES);
    await log.close();
  });

  it("stay in memory until they are committed and on disk", async () => {
    const fixture = smallFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 40, 1, 100) });
    assert.equal(log.entries.firstCachedIndex, 1);
    // The second append replaces entries that are on disk: the disk is right only after its write.
    const replacing = log.append({
      hardState: hardState(2, 1, 30),
      entries: entries(21, 60, 2, 100),
    });
    assert.ok(log.entries.firstCachedIndex <= 21);
    await replacing;
    await log.append({ hardState: hardState(2, 1, 60), entries: entries(61, 62, 2, 100) });
    assert.ok(log.entries.firstCachedIndex > 21);
    await assertLoads(log, [...entries(1, 20, 1, 100), ...entries(21, 62, 2, 100)]);
    await log.close();
  });

  it("are not read when the log is opened", async () => {
    /** Returns the number of segments that are read as a whole, and not only their header. */
    const wholeReads = async (count: number): Promise<number> => {
      let readCount = 0;
      const medium = new MemoryDisk({
        fault: ({ kind }) => {
          if (kind === "read") readCount += 1;
          return null;
        },
      });
      const fixture = smallFixture(medium);
      const log = await openLog(fixture);
      await appendMany(log, count);
      const { segmentCount } = log;
      await log.close();
      readCount = 0;
      await (await openLog(fixture)).close();
      // The header and the length of each segment are read.
      return readCount - 2 * segmentCount;
    };
    assert.ok((await wholeReads(100)) >= 2);
    assert.equal(await wholeReads(800), await wholeReads(100));
  });

  it("are refused when they are damaged, and the log still opens", async () => {
    const fixture = smallFixture();
    const log = await openLog(fixture);
    await appendMany(log, 100);
    await log.close();
    const [, second] = await segmentPaths(fixture);
    assert.ok(second !== undefined);
    fixture.medium.corrupt(second, (bytes) => {
      bytes[600] = (bytes[600] as number) ^ 1;
    });
    const reopened = await openLog(fixture);
    assert.equal(reopened.entries.lastIndex, 100);
    assert.equal((await reopened.load(1 as LogIndex, 1)).length, 1);
    await assert.rejects(reopened.load(12 as LogIndex, 1_000), hasCode("LOG_CORRUPT"));
    await reopened.close();
  });

  it("are empty if the log was compacted while they were read", async () => {
    const fixture = smallFixture();
    const log = await openLog(fixture);
    await appendMany(log, 100);
    const loading = log.load(5 as LogIndex, 1_000);
    await log.compactTo(90 as LogIndex);
    assert.deepEqual(await loading, []);
    await log.close();
  });
});

describe("the part of the log that compaction keeps", () => {
  it("is about as large as wanted, and ends at the durable state", async () => {
    const fixture = smallFixture();
    fixture.keptBytes = 6_000;
    const log = await openLog(fixture);
    await appendMany(log, 200);
    await log.compactTo(log.compactionPoint(180 as LogIndex));
    assert.ok(log.diskBytes >= 6_000 && log.diskBytes < 6_000 + 2 * fixture.segmentBytes);
    fixture.keptBytes = 0;
    const before = log.entries.base.index;
    assert.ok(log.compactionPoint(before) <= before);
    await log.close();
    const reopened = await openLog(fixture);
    const point = reopened.compactionPoint(180 as LogIndex);
    assert.ok(point > 160 && point <= 180, `${point}`);
    await reopened.close();
  });

  it("takes at most a quarter of the space on a small disk", async () => {
    const medium = new MemoryDisk({ capacityBytes: 40_000 });
    const fixture = smallFixture(medium);
    fixture.keptBytes = 1_000_000;
    const log = await openLog(fixture);
    for (let round = 0; round < 20; round += 1) {
      await appendMany(log, 20);
      await log.compactTo(log.compactionPoint(log.hardState.commitIndex));
      assert.ok(log.diskBytes < 10_000 + 5 * fixture.segmentBytes, `${log.diskBytes} bytes`);
    }
    await log.close();
  });
});

describe("the only segment of a log", () => {
  it("is refused if its header is damaged, although it has no record", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 3), entries: entries(1, 3, 1) });
    await log.reset({ index: 50 as LogIndex, term: 4 as Term }, hardState(4, 2, 50));
    const [path, ...others] = await segmentPaths(fixture);
    assert.ok(path !== undefined && others.length === 0);
    const bytes = (await bytesOf(fixture, path)).subarray(0, 128);
    bytes[100] = (bytes[100] as number) ^ 1;
    // Opened as new, the log would forget the vote of term 4.
    const damaged = await fixtureOf(new Map([[path, bytes]]));
    await assert.rejects(openLog(damaged), hasCode("LOG_CORRUPT"));
    await log.close();
  });
});
