import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listPage, statAll } from "../../../master/api/tree-reads.ts";
import type { NamespaceOperation } from "../../../master/namespace/command.ts";
import { LOOKUP_ROWS_MAX, ReadBudget } from "../../../master/namespace/read-budget.ts";
import { watchedPathOf } from "../../../master/namespace/watched-path.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import type { EntryName } from "../../../shared/base/path.ts";
import type { FeedPosition } from "../../../shared/protocol/feed-api.ts";
import { countedMachine } from "./counted-machine.ts";
import { at, OWNER, type TestStateMachine } from "./harness.ts";

const makeDirectory = (path: string, parents = false): NamespaceOperation => {
  return { kind: "make-directory", target: at(path), parents, ...OWNER };
};
const create = (path: string): NamespaceOperation => {
  return { kind: "create", target: at(path), ...OWNER };
};
const unlink = (path: string): NamespaceOperation => ({ kind: "unlink", target: at(path) });
const text = (name: Uint8Array): string => new TextDecoder().decode(name);

/** Rows and ranges of one page: the work of 3,000 names, each with a few rows. */
const PAGE_ROWS_MAX = 20_000;

/** Makes files in `/spool` that come and go, and two that stay. @returns the index before them */
async function makeSpool(machine: TestStateMachine, count: number): Promise<LogIndex> {
  machine.run(makeDirectory("/spool"), create("/spool/a"), create("/spool/z"));
  const before = machine.index;
  for (let start = 0; start < count; start += 500) {
    const names = Array.from({ length: 500 }, (_, number) => `/spool/m${start + number}`);
    machine.run(...names.map(create));
    machine.run(...names.map(unlink));
  }
  await machine.namespace.flush();
  return before;
}

describe("a listing as of the past", () => {
  it("looks at a bounded number of names in each page, and continues after them", async () => {
    const { machine, count } = await countedMachine();
    const before = await makeSpool(machine, 4_000);
    const names: string[] = [];
    let pages = 0;
    for (let after: EntryName | undefined, isLast = false; !isLast; pages += 1) {
      const { result, rows } = count(() =>
        machine.namespace.list(at("/spool"), { after, limit: 100 }, before),
      );
      assert.ok(rows < PAGE_ROWS_MAX, `${rows} rows`);
      names.push(...result.entries.map(({ name }) => text(name)));
      ({ isLast } = result);
      after = result.after ?? undefined;
    }
    assert.deepEqual(names, ["a", "z"]);
    assert.ok(pages > 1);
  });

  it("looks at names that are newer than its index in bounded steps too", async () => {
    const { machine, count } = await countedMachine();
    machine.run(makeDirectory("/d"));
    const before = machine.index;
    for (let start = 0; start < 4_000; start += 500) {
      machine.run(...Array.from({ length: 500 }, (_, number) => create(`/d/n${start + number}`)));
    }
    await machine.namespace.flush();
    const { result, rows } = count(() => machine.namespace.list(at("/d"), { limit: 100 }, before));
    assert.deepEqual([result.entries.length, result.isLast], [0, false]);
    assert.ok(rows < PAGE_ROWS_MAX, `${rows} rows`);
  });

  it("does not read all versions of a name that was replaced many times", async () => {
    const { machine, count } = await countedMachine();
    machine.run(makeDirectory("/d"), create("/d/a"), create("/d/b"));
    const indexes: LogIndex[] = [];
    for (let round = 0; round < 800; round += 1) {
      indexes.push(machine.run(unlink("/d/a"), create("/d/a")));
      if (round % 100 === 0) await machine.namespace.flush();
    }
    await machine.namespace.flush();
    for (const index of [indexes[0], indexes[400], indexes[798]]) {
      const { result, rows } = count(() =>
        machine.namespace.list(at("/d"), { limit: 100 }, index as LogIndex),
      );
      assert.deepEqual(
        result.entries.map(({ name }) => text(name)),
        ["a", "b"],
      );
      assert.equal(result.entries[0]?.attributes.version, index);
      assert.ok(rows < 100, `${rows} rows`);
    }
  });

  it("shows each state of names with many versions", async () => {
    const { machine } = await countedMachine();
    machine.run(makeDirectory("/d"));
    const states = new Map<LogIndex, string[]>();
    const present = new Set<string>();
    for (let round = 0; round < 120; round += 1) {
      const name = ["a", "ab", "b"][(round * 7) % 3 === round % 2 ? 0 : round % 3] as string;
      const path = `/d/${name}`;
      const isPresent = present.has(name);
      const index = machine.run(isPresent ? unlink(path) : create(path));
      if (isPresent) present.delete(name);
      else present.add(name);
      states.set(index, [...present].sort());
      if (round % 17 === 0) await machine.namespace.flush();
    }
    for (const [index, expected] of states) {
      const { entries } = machine.namespace.list(at("/d"), { limit: 10 }, index);
      assert.deepEqual(
        entries.map(({ name }) => text(name)),
        expected,
      );
    }
  });

  it("is never an empty page for a client that would take it for the end", async () => {
    const { machine } = await countedMachine();
    const index = await makeSpool(machine, 4_000);
    let turns = 0;
    const turn = async (): Promise<void> => {
      turns += 1;
    };
    const deps = { namespace: () => machine.namespace };
    const after = new TextEncoder().encode("a") as EntryName;
    const page = { target: at("/spool"), index, limit: 100, after };
    const empty = await listPage(deps, page, { acceptsEmpty: true, context: { turn } });
    assert.deepEqual([empty.entries.length, empty.isLast, turns], [0, false, 0]);
    assert.match(text(empty.after as EntryName), /^m/);
    const whole = await listPage(deps, page, { acceptsEmpty: false, context: { turn } });
    assert.deepEqual(
      whole.entries.map(({ name }) => text(name)),
      ["z"],
    );
    assert.ok(turns >= 1);
  });
});

/** Makes directories below each other: `/d/d/…`. @returns the inode of the deepest one */
async function makeDeep(levels: number) {
  const fixture = await countedMachine();
  const { machine } = fixture;
  machine.run(makeDirectory("/d"));
  let { inode } = machine.namespace.stat(at("/d"));
  for (let depth = 1; depth < levels; depth += 500) {
    const path = "/d".repeat(Math.min(500, levels - depth));
    machine.run({ ...makeDirectory(path, true), target: { inode, ...at(path) } } as never);
    ({ inode } = machine.namespace.stat({ inode, ...at(path) }, undefined, unbounded()));
    if (depth % 5_000 === 1) await machine.namespace.flush();
  }
  await machine.namespace.flush();
  return { ...fixture, inode };
}
const unbounded = (): ReadBudget => new ReadBudget(Number.POSITIVE_INFINITY);

describe("a lookup by inode", () => {
  it("stops at a bounded depth", async () => {
    const { machine, count, inode } = await makeDeep(12_000);
    const { rows } = count(() => {
      assert.throws(() => machine.namespace.stat({ inode }), {
        code: "TOO_LARGE",
        details: { limit: "read-rows", max: LOOKUP_ROWS_MAX },
      });
    });
    assert.ok(rows <= LOOKUP_ROWS_MAX + 10);
    assert.throws(() => machine.namespace.list({ inode }, { limit: 1 }), { code: "TOO_LARGE" });
    assert.throws(() => machine.namespace.locate({ inode }, { firstPosition: 0, count: 1 }), {
      code: "TOO_LARGE",
    });
  });

  it("shares its bound with the other targets of a call, and reads them in several turns", async () => {
    const { machine, inode } = await makeDeep(6_000);
    let turns = 0;
    const turn = async (): Promise<void> => {
      turns += 1;
    };
    const deps = { namespace: () => machine.namespace };
    const targets = Array.from({ length: 64 }, () => ({ inode }));
    const { results } = await statAll(deps, { targets, at: undefined }, { turn });
    const refused = results.filter((result) => "code" in result).length;
    // 200,000 rows of about 6,000 each, one target in a part.
    assert.ok(refused > 25 && refused < 35, `${refused} refused`);
    assert.ok(turns >= 28, `${turns} turns`);
  });
});

describe("a page of the feed", () => {
  it("ends when the paths of its events have cost enough", async () => {
    const { machine, count } = await countedMachine();
    const from = { index: (machine.index + 1) as LogIndex, sequence: 0 };
    machine.run(makeDirectory("/d".repeat(400), true));
    await machine.namespace.flush();
    let eventCount = 0;
    let next: FeedPosition = from;
    for (let isLast = false; !isLast; ) {
      const request = {
        from: next,
        within: watchedPathOf(["other"]),
        rowsMax: 256,
        bytesMax: 128 * 1024,
      };
      const { result, rows } = count(() => machine.namespace.feed(request));
      assert.ok(rows < 10_000, `${rows} rows`);
      assert.deepEqual(result.events, []);
      ({ isLast, next } = result);
    }
    next = from;
    for (let isLast = false; !isLast; ) {
      const request = { from: next, within: watchedPathOf([]), rowsMax: 256, bytesMax: 64 * 1024 };
      const page = machine.namespace.feed(request);
      eventCount += page.events.length;
      ({ isLast, next } = page);
    }
    assert.equal(eventCount, 400);
  });
});

describe("a page of a path history", () => {
  it("ends when it has cost enough, and continues", async () => {
    const { machine, count } = await countedMachine();
    const path = "/d".repeat(400);
    machine.run(makeDirectory(path, true));
    for (let mode = 0; mode < 100; mode += 1) {
      machine.run({ kind: "set-attributes", target: at(path), mode });
    }
    await machine.namespace.flush();
    let versions = 0;
    let pages = 0;
    for (let from: LogIndex | null | undefined; from !== null; pages += 1) {
      const options = { path: at(path).path as Uint8Array, limit: 1_000, from };
      const { result, rows } = count(() => machine.namespace.history(options));
      assert.ok(rows < PAGE_ROWS_MAX, `${rows} rows`);
      versions += result.versions.length;
      from = result.next;
    }
    assert.equal(versions, 101);
    assert.ok(pages > 5);
  });

  it("has at least one state, however deep the path is", async () => {
    const { machine, inode } = await makeDeep(5_201);
    const modes = [0o700, 0o701, 0o702];
    for (const mode of modes) machine.run({ kind: "set-attributes", target: { inode }, mode });
    const path = at("/d".repeat(5_201)).path as Uint8Array;
    const found: (number | undefined)[] = [];
    let from: LogIndex | null | undefined;
    for (let pages = 0; from !== null; pages += 1) {
      assert.ok(pages < 40, "every page continues after the one before it");
      const page = machine.namespace.history({ path, limit: 1_000, from });
      found.push(...page.versions.map(({ attributes }) => attributes?.mode));
      from = page.next;
    }
    assert.deepEqual(found, [OWNER.mode, ...modes]);
  });
});
