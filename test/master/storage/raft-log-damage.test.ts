import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { RaftLog } from "../../../master/storage/raft-log.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { MemoryDisk } from "../../support/memory-disk.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import {
  at,
  bytesOf,
  contentOf,
  entries,
  entry,
  fixtureOf,
  hardState,
  makeFixture,
  openLog,
  segmentPaths,
} from "./log-fixture.ts";

/** Creates a log of one segment with two records, without closing it. */
async function twoRecords(seed = 1) {
  const fixture = makeFixture(new MemoryDisk(), seed);
  const log = await openLog(fixture);
  await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 3, 1, 30) });
  const [path] = await segmentPaths(fixture);
  assert.ok(path !== undefined);
  const lastOffset = log.endOffset;
  const before = contentOf(log);
  await log.append({ hardState: hardState(2, 2, 3), entries: entries(4, 6, 2, 30) });
  // Without the preallocated zeros, which are tested below.
  const bytes = (await bytesOf(fixture, path)).slice(0, log.endOffset);
  return { path, bytes, lastOffset, before, after: contentOf(log) };
}

describe("a torn tail of the Raft log", () => {
  it("is truncated, at every length of the last record", async () => {
    const { path, bytes, lastOffset, before, after } = await twoRecords();
    for (let length = lastOffset; length < bytes.length; length += 1) {
      const fixture = await fixtureOf(new Map([[path, bytes.slice(0, length)]]));
      const log = await openLog(fixture);
      assert.deepEqual(contentOf(log), before, `cut at ${length}`);
      const warnings = fixture.log.lines.filter((line) => line.level === "warn");
      assert.equal(warnings.length, length === lastOffset ? 0 : 1);
      await log.append({ hardState: hardState(2, 2, 3), entries: entries(4, 6, 2, 30) });
      await log.close();
      assert.deepEqual(contentOf(await openLog(fixture)), after);
    }
  });

  it("can consist of sectors that were never written", async () => {
    const { path, bytes, lastOffset, before } = await twoRecords();
    for (let offset = lastOffset; offset < bytes.length; offset += 7) {
      const torn = bytes.slice().fill(0, offset, offset + 50);
      if (torn.every((byte, position) => byte === bytes[position])) continue;
      const fixture = await fixtureOf(new Map([[path, torn]]));
      assert.deepEqual(contentOf(await openLog(fixture)), before);
    }
  });

  it("is not reported if it consists of preallocated zeros only", async () => {
    const { path, bytes, after } = await twoRecords();
    for (const zerosBytes of [1, 47, 48, 600_000]) {
      const ahead = new Uint8Array(bytes.length + zerosBytes);
      ahead.set(bytes);
      const fixture = await fixtureOf(new Map([[path, ahead]]));
      const log = await openLog(fixture);
      assert.deepEqual(contentOf(log), after);
      assert.deepEqual(
        fixture.log.lines.filter((line) => line.level === "warn"),
        [],
      );
      await log.append({ entries: [entry(7, 2)] });
      await log.close();
      assert.equal((await openLog(fixture)).entries.lastIndex, 7);
    }
  });

  it("can be followed by preallocated zeros", async () => {
    const { path, bytes, lastOffset, before } = await twoRecords();
    // Not the last bytes, because they may be zeros in a complete record.
    for (let length = lastOffset + 1; length < bytes.length - 30; length += 5) {
      const torn = new Uint8Array(bytes.length + 4096);
      torn.set(bytes.subarray(0, length));
      const fixture = await fixtureOf(new Map([[path, torn]]));
      assert.deepEqual(contentOf(await openLog(fixture)), before, `cut at ${length}`);
    }
  });

  it("can be a segment without a complete header", async () => {
    const { path, bytes, after } = await twoRecords();
    const next = "log/0000000000000002-0000000000000007.log";
    for (const length of [0, 1, 64, 127, 128]) {
      const fixture = await fixtureOf(
        new Map([
          [path, bytes],
          [next, new Uint8Array(length)],
        ]),
      );
      assert.deepEqual(contentOf(await openLog(fixture)), after);
      assert.deepEqual(await segmentPaths(fixture), [path]);
    }
  });
});

describe("corruption in the middle of the Raft log", () => {
  function assertCorrupt(error: unknown, path: string): boolean {
    assert.ok(isAshlarError(error, "LOG_CORRUPT"), String(error));
    assert.equal(error.details["path"], path);
    assert.ok((error.details["offsetBytes"] as number) >= 0);
    assert.match(error.hint ?? "", /Keep this directory/);
    return true;
  }

  it("is never mistaken for a torn tail: any flipped bit before the last record", async () => {
    const { path, bytes, lastOffset } = await twoRecords();
    for (let offset = 0; offset < lastOffset; offset += 1) {
      const corrupt = bytes.slice();
      corrupt[offset] = (corrupt[offset] as number) ^ (1 << (offset % 8));
      const fixture = await fixtureOf(new Map([[path, corrupt]]));
      await assert.rejects(openLog(fixture), (error) => assertCorrupt(error, path));
      assert.deepEqual(await bytesOf(fixture, path), corrupt, "nothing was changed");
    }
  });

  it("is detected in the last record too after the log was closed", async () => {
    const fixture = makeFixture();
    const log = await openLog(fixture);
    await log.append({ hardState: hardState(1, 1, 0), entries: entries(1, 3, 1, 30) });
    const [path] = await segmentPaths(fixture);
    assert.ok(path !== undefined);
    const end = log.endOffset;
    await log.close();
    fixture.medium.corrupt(path, (bytes) => {
      bytes[end - 1] = (bytes[end - 1] as number) ^ 1;
    });
    await assert.rejects(openLog(fixture), (error) => assertCorrupt(error, path));
  });

  async function threeSegments() {
    const fixture = makeFixture();
    fixture.segmentBytes = 500;
    const log = await openLog(fixture);
    for (let index = 1; index <= 6; index += 1) {
      await log.append({ hardState: hardState(1, 1, 0), entries: [entry(index, 1, 200)] });
    }
    await log.close();
    const paths = await segmentPaths(fixture);
    assert.ok(paths.length >= 3);
    const files = new Map<string, Uint8Array>();
    for (const path of paths) files.set(path, await bytesOf(fixture, path));
    return { paths, files };
  }

  it("is detected in every byte of an earlier segment, including its end", async () => {
    const { paths, files } = await threeSegments();
    const path = paths[1] as string;
    const bytes = files.get(path) as Uint8Array;
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const corrupt = bytes.slice();
      corrupt[offset] = (corrupt[offset] as number) ^ 0x10;
      const fixture = await fixtureOf(new Map([...files, [path, corrupt]]));
      await assert.rejects(openLog(fixture), (error) => assertCorrupt(error, path));
    }
  });

  it("includes an earlier segment that was truncated at any length", async () => {
    const { paths, files } = await threeSegments();
    const path = paths[0] as string;
    const bytes = files.get(path) as Uint8Array;
    for (let length = 128; length < bytes.length; length += 1) {
      const fixture = await fixtureOf(new Map([...files, [path, bytes.slice(0, length)]]));
      await assert.rejects(openLog(fixture), (error) => assertCorrupt(error, path));
    }
  });

  it("includes a missing segment, and a segment of another log", async () => {
    const { paths, files } = await threeSegments();
    const [first, second, third] = paths as [string, string, string];
    const without = new Map(files);
    without.delete(second);
    await assert.rejects(openLog(await fixtureOf(without)), (error: unknown) =>
      isAshlarError(error, "LOG_CORRUPT"),
    );
    const swapped = new Map(files);
    swapped.set(second, files.get(third) as Uint8Array);
    await assert.rejects(openLog(await fixtureOf(swapped)), (error: unknown) =>
      isAshlarError(error, "LOG_CORRUPT"),
    );
    const other = await threeSegmentsOfAnotherSeed();
    const mixed = new Map(files);
    mixed.set(first, other.get(first) as Uint8Array);
    await assert.rejects(openLog(await fixtureOf(mixed)), (error: unknown) =>
      isAshlarError(error, "LOG_CORRUPT"),
    );
  });

  async function threeSegmentsOfAnotherSeed(): Promise<ReadonlyMap<string, Uint8Array>> {
    const fixture = makeFixture(new MemoryDisk(), 99);
    fixture.segmentBytes = 500;
    const log = await openLog(fixture);
    for (let index = 1; index <= 6; index += 1) {
      await log.append({ hardState: hardState(1, 1, 0), entries: [entry(index, 1, 200)] });
    }
    await log.close();
    const files = new Map<string, Uint8Array>();
    for (const path of await segmentPaths(fixture)) files.set(path, await bytesOf(fixture, path));
    return files;
  }

  it("cannot be imitated by a command that contains a copy of a record", async () => {
    const { path, bytes, lastOffset, before } = await twoRecords();
    // A client puts a complete record, valid in its own segment, into a command.
    const other = await twoRecords(2);
    const record = other.bytes.slice(other.lastOffset);
    const fixture = await fixtureOf(new Map([[path, bytes.slice(0, lastOffset)]]));
    const log = await openLog(fixture);
    const data = new Uint8Array(4_000);
    data.set(record, 3_000);
    await log.append({ entries: [{ kind: "normal", ...at(4, 1), data }] });
    // A power failure tears the record that contains the command.
    const torn = await bytesOf(fixture, path);
    torn.fill(0, lastOffset + 100, lastOffset + 600).fill(1, lastOffset + 200, lastOffset + 300);
    assert.deepEqual(contentOf(await openLog(await fixtureOf(new Map([[path, torn]])))), before);
  });
});

/** One random operation on the log. */
type Step =
  | { readonly kind: "append"; readonly count: number; readonly dataBytes: number }
  | { readonly kind: "overwrite"; readonly back: number; readonly count: number }
  | { readonly kind: "vote" }
  | { readonly kind: "commit" }
  | { readonly kind: "compact" }
  | { readonly kind: "reset" };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      count: fc.integer({ min: 1, max: 5 }),
      dataBytes: fc.integer({ min: 0, max: 900 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("overwrite" as const),
      back: fc.integer({ min: 1, max: 6 }),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  fc.constant({ kind: "vote" as const }),
  fc.constant({ kind: "commit" as const }),
  fc.constant({ kind: "compact" as const }),
  fc.constant({ kind: "reset" as const }),
);

function start(log: RaftLog, step: Step): Promise<void> {
  const { lastIndex, base } = log.entries;
  const { term, votedFor, commitIndex } = log.hardState;
  switch (step.kind) {
    case "append":
      return log.append({
        entries: entries(lastIndex + 1, lastIndex + step.count, Math.max(term, 1), step.dataBytes),
      });
    case "overwrite": {
      const first = Math.max(commitIndex + 1, base.index + 1, lastIndex - step.back);
      const state = hardState(term + 1, 0, commitIndex);
      return log.append({
        hardState: state,
        entries: entries(first, first + step.count, term + 1),
      });
    }
    case "vote":
      return log.append({ hardState: hardState(term + 1, 2, commitIndex), entries: [] });
    case "commit":
      return log.append({ hardState: hardState(term, votedFor, lastIndex), entries: [] });
    case "compact":
      return log.compactTo(commitIndex);
    case "reset": {
      const index = lastIndex + 10;
      return log.reset(at(index, term), hardState(term, votedFor, index));
    }
  }
}

describe("a power failure", () => {
  it("loses no acknowledged batch of the Raft log", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(stepArbitrary, { minLength: 1, maxLength: 25 }),
        fc.integer(),
        fc.integer({ min: 0, max: 60 }),
        async (steps, seed, turns) => {
          const random = new SeededRandom(seed);
          const fixture = makeFixture(new MemoryDisk(), seed);
          fixture.segmentBytes = 3_000;
          const log = await openLog(fixture);
          let acknowledged = contentOf(log);
          const states = [acknowledged];
          for (const step of steps) {
            const done = start(log, step);
            const state = contentOf(log);
            states.push(state);
            done.then(
              () => {
                acknowledged = state;
              },
              () => {},
            );
            if (random.fraction() < 0.5) await done;
          }
          for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          fixture.medium.crash(random);
          const last = acknowledged;
          const reopened = await openLog(fixture);
          assertNotBefore(contentOf(reopened), last, states);
          assert.deepEqual(
            fixture.log.lines.filter((line) => line.level === "error"),
            [],
          );
          // The log continues to work.
          await start(reopened, { kind: "append", count: 2, dataBytes: 10 });
          const after = contentOf(reopened);
          await reopened.close();
          assert.deepEqual(contentOf(await openLog(fixture)), after);
        },
      ),
      { numRuns: 400 },
    );
  });

  type Shown = ReturnType<typeof contentOf>;

  /**
   * Asserts that the log equals the state after some step, not before the last acknowledged one.
   */
  function assertNotBefore(found: Shown, acknowledged: Shown, states: readonly Shown[]): void {
    const candidates = states.slice(states.indexOf(acknowledged));
    const isOne = candidates.some((state) => isSame(found, state));
    assert.ok(
      isOne,
      `found ${JSON.stringify(found)}, acknowledged ${JSON.stringify(acknowledged)}`,
    );
  }

  function isSame(found: Shown, state: Shown): boolean {
    const { term, votedFor, commitIndex } = state.hardState;
    const isVoteSame = found.hardState.term === term && found.hardState.votedFor === votedFor;
    // The commit index is a hint, and only whole segments are removed.
    const isCommitPossible = found.hardState.commitIndex <= commitIndex;
    const skipped = state.base.index - found.base.index;
    if (!isVoteSame || !isCommitPossible || skipped < 0) return false;
    const rest = found.entries.slice(skipped);
    return JSON.stringify(rest) === JSON.stringify(state.entries);
  }
});
