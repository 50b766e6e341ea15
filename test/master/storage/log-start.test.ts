import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Entry } from "../../../master/raft/messages.ts";
import type { RaftLog } from "../../../master/storage/raft-log.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { NodeDisk } from "../../../shared/platform/node-disk.ts";
import type { DiskOperation } from "../../support/mounted-file.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import {
  bytesOf,
  entries,
  fixtureOf,
  hardState,
  type LogFixture,
  makeFixture,
  openLog,
  segmentPaths,
} from "./log-fixture.ts";

const SIZES = { segmentBytes: 1_500, cacheBytes: 2_000 };

/** A closed log: its files, oldest first, and what it contained. */
interface ClosedLog {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly paths: readonly string[];
  readonly entries: readonly Entry[];
  readonly hardState: RaftLog["hardState"];
  /** Index before the first entry of each segment. */
  readonly bases: readonly number[];
}

/** Appends rounds of entries, of which one with a new term replaces the last entries. */
async function closedLog(rounds: readonly Round[]): Promise<ClosedLog> {
  const fixture = Object.assign(makeFixture(), SIZES);
  const log = await openLog(fixture);
  let all: Entry[] = [];
  let term = 1;
  for (const { count, bytes, replacedCount, isCommitted } of rounds) {
    const { lastIndex } = log.entries;
    const { commitIndex } = log.hardState;
    const from = Math.max(commitIndex, lastIndex - replacedCount) + 1;
    if (replacedCount > 0) term += 1;
    const added = entries(from, from + count - 1, term, bytes);
    await log.append({ hardState: hardState(term, term % 3, commitIndex), entries: added });
    all = [...all.filter(({ index }) => index < from), ...added];
    const committed = isCommitted ? log.entries.lastIndex : commitIndex;
    await log.append({ hardState: hardState(term, term % 3, committed), entries: [] });
  }
  const { hardState: last } = log;
  await log.close();
  const files = new Map<string, Uint8Array>();
  const paths = await segmentPaths(fixture);
  for (const path of paths) files.set(path, await bytesOf(fixture, path));
  // Offset 88 of a header: see docs/on-disk-format.md.
  const bases = [...files.values()].map((bytes) =>
    Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(88, true)),
  );
  return { files, paths, entries: all, hardState: last, bases };
}

interface Round {
  readonly count: number;
  readonly bytes: number;
  /** Number of entries that a new leader replaces before it appends. */
  readonly replacedCount: number;
  readonly isCommitted: boolean;
}

const PLAIN: Round = { count: 1, bytes: 400, replacedCount: 0, isCommitted: true };

/** Ten segments of entries of one term. */
function tenSegments(): Promise<ClosedLog> {
  return closedLog(Array.from({ length: 30 }, () => PLAIN));
}

type Damage =
  | { readonly kind: "header" | "flip"; readonly segment: number; readonly place: number }
  | { readonly kind: "missing"; readonly segment: number }
  | { readonly kind: "truncated"; readonly segment: number; readonly place: number };

/** Returns a fixture with the damaged files. Fractions choose the segment and the place in it. */
async function damaged(closed: ClosedLog, damages: readonly Damage[]): Promise<LogFixture> {
  const files = new Map(closed.files);
  for (const damage of damages) {
    const path = closed.paths[damage.segment] ?? "";
    const bytes = files.get(path)?.slice();
    if (bytes === undefined) continue;
    if (damage.kind === "missing") {
      files.delete(path);
      continue;
    }
    const { kind, place } = damage;
    const offset = Math.floor(place * (kind === "header" ? 128 : bytes.length));
    if (kind !== "truncated" && offset < bytes.length)
      bytes[offset] = (bytes[offset] as number) ^ 4;
    files.set(path, kind === "truncated" ? bytes.slice(0, offset) : bytes);
  }
  return Object.assign(await fixtureOf(files), SIZES);
}

/** Asserts that the log has all entries after `durableIndex`, or refuses to read them. */
async function assertHasAfter(log: RaftLog, closed: ClosedLog, durableIndex: number) {
  const wanted = closed.entries.filter(({ index }) => index > durableIndex);
  const { base } = log.entries;
  assert.ok(base.index <= durableIndex, `begins after ${base.index}, durable ${durableIndex}`);
  assert.equal(log.entries.lastIndex, closed.entries.at(-1)?.index ?? 0);
  const { term, votedFor } = log.hardState;
  assert.deepEqual([term, votedFor], [closed.hardState.term, closed.hardState.votedFor]);
  for (const entry of wanted) {
    try {
      assert.deepEqual((await log.load(entry.index, 1))[0], entry);
    } catch (error) {
      // A segment that is not read at the start: the damage is found later.
      if (!isAshlarError(error, "LOG_CORRUPT")) throw error;
    }
  }
}

/** The way out, which docs/operations.md describes: "Replacing a lost master". */
const REPLACED =
  /Keep this directory.* replace this master: .* with a new id and an empty directory/;

describe("the start of a log with damage in an old segment", () => {
  const header = { kind: "header", segment: 3, place: 0.9 } as const;

  for (const damage of [
    header,
    { kind: "missing", segment: 3 } as const,
    { kind: "truncated", segment: 3, place: 0.01 } as const,
  ]) {
    it(`begins after the damage if the state has the entries before: ${damage.kind}`, async () => {
      const closed = await tenSegments();
      const base = closed.bases[4] as number;
      const fixture = await damaged(closed, [damage]);
      const log = await openLog(fixture, base);
      assert.equal(log.entries.base.index, base);
      await assertHasAfter(log, closed, base);
      const warning = fixture.log.lines.find(({ level }) => level === "warn");
      assert.match(warning?.message ?? "", /Left out the beginning of the log.*Nothing is lost/);
      await log.append({ entries: entries(31, 40, 1) });
      await log.close();
      const again = await openLog(fixture, base);
      assert.equal(again.entries.lastIndex, 40);
      assert.equal(again.entries.base.index, base);
      await again.close();
    });
  }

  for (const [kind, rounds] of [
    ["open", Array.from({ length: 30 }, () => PLAIN)],
    // The terms change, so that each segment is read.
    ["read", Array.from({ length: 30 }, () => ({ ...PLAIN, count: 2, replacedCount: 1 }))],
  ] as const) {
    it(`begins after a segment that the disk cannot ${kind}`, async () => {
      const closed = await closedLog(rounds);
      const path = closed.paths[3] as string;
      const base = closed.bases[4] as number;
      const fault = (operation: DiskOperation) =>
        operation.kind === kind && operation.path === path ? ("EIO" as const) : null;
      const fixture = Object.assign(await fixtureOf(closed.files, { fault }), SIZES);
      const before = fixture.medium.filesBelow("log");
      const refused = await openLog(fixture, base - 1).catch((error: unknown) => error);
      assert.ok(isAshlarError(refused, "DISK_FAILED"), String(refused));
      assert.equal(refused.details["path"], path);
      assert.match(refused.message, new RegExp(`to ${base} are needed`));
      assert.match(refused.hint ?? "", REPLACED);
      assert.deepEqual(fixture.medium.filesBelow("log"), before, "nothing was changed");
      const log = await openLog(fixture, closed.hardState.commitIndex);
      assert.equal(log.entries.base.index, base);
      await log.close();
      assert.ok(fixture.medium.filesBelow("log").includes(`${path}.damaged`));
    });
  }

  for (const kind of ["a directory", "a dangling link"] as const) {
    it(`begins after ${kind} in the place of a segment, and is refused for one of the last two`, async () => {
      const closed = await tenSegments();
      await using directory = await TempDirectory.make();
      const disk = new NodeDisk(directory.path);
      const medium = { mount: () => disk } as unknown as LogFixture["medium"];
      const fixture = Object.assign(makeFixture(medium), SIZES);
      const replace = async (path: string): Promise<void> => {
        await disk.remove(path);
        if (kind === "a directory") await disk.makeDirectory(path);
        else await symlink("/nonexistent/segment", `${directory.path}/${path}`);
      };
      await disk.makeDirectory("log");
      for (const [path, bytes] of closed.files) await disk.writeFileDurably(path, bytes);
      const [old, last] = [closed.paths[3], closed.paths.at(-2)] as [string, string];
      await replace(old);
      const base = closed.bases[4] as number;
      const needed = await openLog(fixture, base - 1).catch((error: unknown) => error);
      assert.ok(isAshlarError(needed, "LOG_CORRUPT"), String(needed));
      assert.match(needed.message, new RegExp(`${old} .*expected a regular file.* to ${base} are`));
      assert.match(needed.hint ?? "", REPLACED);
      const log = await openLog(fixture, base);
      assert.equal(log.entries.base.index, base);
      await log.close();
      const names = (await disk.list("log")).map(({ name }) => `log/${name}`);
      assert.ok(names.includes(`${old}.damaged`), names.join(" "));
      await replace(last);
      const refused = await openLog(fixture, 30).catch((error: unknown) => error);
      assert.ok(isAshlarError(refused, "LOG_CORRUPT"), String(refused));
      assert.match(refused.message, new RegExp(`${last} .*expected a regular file`));
      assert.match(refused.hint ?? "", REPLACED);
    });
  }

  it("is refused if the disk cannot read one of the last two segments", async () => {
    const closed = await tenSegments();
    const path = closed.paths.at(-2);
    const fault = (operation: DiskOperation) =>
      operation.kind === "read" && operation.path === path ? ("EIO" as const) : null;
    const fixture = Object.assign(await fixtureOf(closed.files, { fault }), SIZES);
    const refused = await openLog(fixture, 30).catch((error: unknown) => error);
    assert.ok(isAshlarError(refused, "DISK_FAILED"), String(refused));
    assert.match(refused.hint ?? "", REPLACED);
  });

  it("keeps the damaged file under another name", async () => {
    const closed = await tenSegments();
    const fixture = await damaged(closed, [header]);
    const path = closed.paths[3] as string;
    const bytes = await bytesOf(fixture, path);
    const log = await openLog(fixture, 30);
    assert.deepEqual(await bytesOf(fixture, `${path}.damaged`), bytes);
    const names = fixture.medium.filesBelow("log");
    assert.deepEqual(names, [`${path}.damaged`, ...closed.paths.slice(4)]);
    await log.close();
  });

  it("is refused, without a change, if the state does not have the entries before", async () => {
    const closed = await tenSegments();
    const fixture = await damaged(closed, [header]);
    const before = fixture.medium.filesBelow("log");
    const base = closed.bases[4] as number;
    const found = await openLog(fixture, base - 1).catch((error: unknown) => error);
    assert.ok(isAshlarError(found, "LOG_CORRUPT"));
    assert.equal(found.details["path"], closed.paths[3]);
    assert.match(found.message, new RegExp(`entries ${base} to ${base} are needed`));
    assert.match(found.hint ?? "", REPLACED);
    assert.deepEqual(fixture.medium.filesBelow("log"), before);
    const log = await openLog(fixture, base);
    await log.close();
  });

  it("is refused if one of the last two segments is damaged or missing", async () => {
    const closed = await tenSegments();
    const count = closed.paths.length;
    for (const damage of [
      { ...header, segment: count - 1 },
      { ...header, segment: count - 2 },
      { kind: "missing", segment: count - 2 } as const,
      { kind: "truncated", segment: count - 2, place: 0.5 } as const,
    ]) {
      const fixture = await damaged(closed, [damage]);
      await assert.rejects(openLog(fixture, 30), hasCode("LOG_CORRUPT"));
      await assert.rejects(openLog(fixture, 30), hasCode("LOG_CORRUPT"));
    }
  });

  it("begins after a damaged record that is read at the start", async () => {
    // The terms change, so that each segment is read.
    const closed = await closedLog(
      Array.from({ length: 30 }, () => ({ ...PLAIN, count: 2, replacedCount: 1 })),
    );
    const fixture = await damaged(closed, [{ kind: "flip", segment: 3, place: 0.5 }]);
    const last = closed.hardState.commitIndex;
    const log = await openLog(fixture, last);
    assert.equal(log.entries.base.index, closed.bases[4]);
    await assertHasAfter(log, closed, Number(log.entries.base.index));
    await log.close();
  });

  it("loses no entry that the state does not have, with any damage", async () => {
    const damageArbitrary = fc.record({
      kind: fc.constantFrom("header", "flip", "missing", "truncated"),
      segmentShare: fc.double({ min: 0, max: 0.999, noNaN: true }),
      place: fc.double({ min: 0, max: 0.999, noNaN: true }),
    });
    const roundArbitrary = fc.record({
      count: fc.integer({ min: 1, max: 5 }),
      bytes: fc.constantFrom(20, 100, 700),
      replacedCount: fc.oneof(
        { weight: 5, arbitrary: fc.constant(0) },
        fc.integer({ min: 1, max: 3 }),
      ),
      isCommitted: fc.boolean(),
    });
    const seen = { begunLater: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(roundArbitrary, { minLength: 20, maxLength: 60 }),
        fc.array(damageArbitrary, { minLength: 1, maxLength: 2 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (rounds, choices, durableShare) => {
          const closed = await closedLog(rounds);
          const count = closed.paths.length;
          fc.pre(count >= 3);
          const damages = choices.map(({ kind, segmentShare, place }): Damage => {
            // The end of the last segment is where a crash may tear it: its loss cannot be seen.
            const isShort = kind === "missing" || kind === "truncated";
            const segment = Math.floor(segmentShare ** 2 * (isShort ? count - 1 : count));
            return { kind, segment, place };
          });
          const durableIndex = Math.round(Math.sqrt(durableShare) * closed.hardState.commitIndex);
          const fixture = await damaged(closed, damages);
          const lastDamaged = Math.max(...damages.map(({ segment }) => segment));
          const isHarmless =
            lastDamaged < count - 2 && (closed.bases[lastDamaged + 1] as number) <= durableIndex;
          let log: RaftLog;
          try {
            log = await openLog(fixture, durableIndex);
          } catch (error) {
            assert.ok(isAshlarError(error, "LOG_CORRUPT"), String(error));
            assert.ok(!isHarmless, `refused without need: ${error.message}`);
            seen.refused += 1;
            return;
          }
          if (log.entries.base.index > durableIndex) {
            // As after a compaction: the driver then fetches the state before it serves anything.
            const isFirstMissing = damages.some(
              ({ kind, segment }) => kind === "missing" && segment === 0,
            );
            assert.ok(isFirstMissing, "only a missing first segment looks like a compaction");
            await log.close();
            return;
          }
          if (log.entries.base.index > 0) seen.begunLater += 1;
          await assertHasAfter(log, closed, durableIndex);
          const commitIndex = Math.max(durableIndex, log.hardState.commitIndex) as LogIndex;
          await log.append({ hardState: { ...log.hardState, commitIndex }, entries: [] });
          await log.close();
          const again = await openLog(fixture, durableIndex);
          await assertHasAfter(again, closed, durableIndex);
          await again.close();
        },
      ),
      { numRuns: 100, endOnFailure: true },
    );
    assert.ok(seen.begunLater > 3 && seen.refused > 3, JSON.stringify(seen));
  });
});
