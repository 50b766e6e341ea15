import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CliCluster } from "../support/cli-cluster.ts";
import { runSync, sideOf, sorted, type TreeTable } from "../support/sync-trees.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** A sync of two trees, with the expected target and the expected summary. */
interface Case {
  readonly source: TreeTable;
  readonly target: TreeTable;
  readonly flags?: readonly string[];
  /** Default: the source. */
  readonly result?: TreeTable;
  readonly status?: number;
  readonly summary: Readonly<Record<string, number>>;
}

const CASES: Readonly<Record<string, Case>> = {
  "adds what is missing": {
    source: { a: "1", "d/e/b": "2", "empty/": "" },
    target: {},
    summary: { added_count: 5, unchanged_count: 1 },
  },
  "replaces what differs in size, and in content if the time differs": {
    source: { size: "longer", content: "abc @5000", same: "x" },
    target: { size: "short", content: "abd", same: "x" },
    summary: { changed_count: 2, unchanged_count: 2 },
  },
  "sets only the time if the content is the same": {
    source: { a: "same @-1", b: "same @4102444800999" },
    target: { a: "same", b: "same" },
    summary: { changed_count: 2, unchanged_count: 1 },
  },
  "keeps what only the target has": {
    source: { a: "1" },
    target: { a: "1", b: "2", "d/c": "3" },
    result: { a: "1", b: "2", "d/c": "3" },
    summary: { unchanged_count: 2 },
  },
  "deletes what only the target has with --delete": {
    source: { a: "1", "k/x": "2" },
    target: { a: "1", "a-b": "9", "d/c": "3", "d/e/f": "4", "k/x": "2", "k/y": "5", z: "" },
    flags: ["--delete", "--yes"],
    summary: { deleted_count: 7, unchanged_count: 4 },
  },
  "fails for a file and a directory in each other's place, and does the rest": {
    source: { a: "1", "d/x": "2", f: "3", z: "4" },
    target: { "a/b": "1", d: "2", f: "old!" },
    result: { "a/b": "1", d: "2", f: "3", z: "4" },
    status: 8,
    summary: { added_count: 1, changed_count: 1, failed_count: 2, unchanged_count: 1 },
  },
  "exchanges a file and a directory with --delete": {
    source: { a: "1", "d/x/y": "2", "d/z": "3" },
    target: { "a/b/c": "1", d: "2" },
    flags: ["--delete", "--yes"],
    summary: { added_count: 5, deleted_count: 2, unchanged_count: 1 },
  },
  "skips what exists with -n": {
    source: { a: "newer", "d/x": "2", t: "same @1000", w: "1" },
    target: { a: "old", d: "file", t: "same", "w/x": "1" },
    flags: ["-n"],
    result: { a: "old", d: "file", t: "same", "w/x": "1" },
    summary: { skipped_count: 4, unchanged_count: 1 },
  },
  "compares the content of all files with -c": {
    source: { a: "abc", b: "same" },
    target: { a: "abd", b: "same" },
    flags: ["-c"],
    summary: { changed_count: 1, unchanged_count: 2 },
  },
  "takes files of one size and time for the same without -c": {
    source: { a: "abc" },
    target: { a: "abd" },
    result: { a: "abd" },
    summary: { unchanged_count: 2 },
  },
  "neither copies nor deletes what the filter leaves out": {
    source: { "a.log": "1", "a.txt": "1", "d/b.log": "2" },
    target: {
      "b.log": "1",
      "d/c.log": "1",
      "d/c.txt": "1",
      "gone/x.txt": "2",
      "half/x.log": "3",
      "half/y.txt": "4",
    },
    flags: ["--delete", "--yes", "--exclude", "*.log"],
    result: { "a.txt": "1", "b.log": "1", "d/c.log": "1", "half/x.log": "3" },
    summary: { added_count: 1, deleted_count: 4, unchanged_count: 2 },
  },
  "orders names as both walks do": {
    source: { "a/x": "1", "a-b": "2", "a.b": "3", "a\x01": "4", "a0/y": "5", "\xff": "6" },
    target: { "a/x": "1", "a-b": "2", "a.b": "3", "a\x01": "4", "a0/y": "5", "\xff": "6" },
    summary: { unchanged_count: 9 },
  },
};

/** Runs cases as directories of one sync: a dry run, the sync, and the sync again. */
async function check(
  isLocal: { readonly source: boolean; readonly target: boolean },
  cases: ReadonlyArray<readonly [string, Case]>,
): Promise<void> {
  count += 1;
  const from = sideOf(cluster, `s${count}`, isLocal.source);
  const to = sideOf(cluster, `t${count}`, isLocal.target);
  const treeOf = (part: (found: Case) => TreeTable): TreeTable =>
    sorted(Object.fromEntries(cases.flatMap(([name, found]) => below(name, part(found)))));
  const source = treeOf((found) => found.source);
  const target = treeOf((found) => found.target);
  await from.make(source);
  await to.make(target);
  const line = [...(cases[0]?.[1].flags ?? []), from.argument, to.argument];
  const dry = await runSync(cluster, "--dry-run", ...line);
  assert.deepEqual(await to.read(), target, "a dry run changes nothing");
  const done = await runSync(cluster, ...line);
  assert.deepEqual(
    await to.read(),
    treeOf((found) => found.result ?? found.source),
  );
  assert.deepEqual(await from.read(), source, "the source is not changed");
  assert.equal(done.status, Math.max(...cases.map(([, { status = 0 }]) => status)), done.stderr);
  const summary: Record<string, number> = { unchanged_count: 1 }; // The root.
  for (const [, found] of cases) {
    for (const [key, value] of Object.entries(found.summary)) {
      summary[key] = (summary[key] ?? 0) + value;
    }
  }
  assert.deepEqual(done.summary, summary);
  assert.deepEqual(dry.actions, done.actions, "a dry run names the same actions");
  const again = await runSync(cluster, ...line);
  assert.deepEqual(again.actions, [], "a second sync does nothing");
}

let count = 0;

/** Returns the entries of a table in a directory. */
function below(name: string, table: TreeTable): Array<[string, string]> {
  const paths = Object.entries(table).map(([path, text]): [string, string] => [
    `${name}/${path}`,
    text,
  ]);
  return [[`${name}/`, ""], ...paths];
}

const DIRECTIONS = {
  "into the cluster": { source: true, target: false },
  "out of the cluster": { source: false, target: true },
  "within the cluster": { source: false, target: false },
};

for (const [direction, isLocal] of Object.entries(DIRECTIONS)) {
  const groups = new Map<string, Array<readonly [string, Case]>>();
  for (const each of Object.entries(CASES)) {
    const flags = (each[1].flags ?? []).join(" ");
    groups.set(flags, [...(groups.get(flags) ?? []), each]);
  }
  // The tests wait for commits, each on its own directories.
  describe(`a sync ${direction}`, { concurrency: 4 }, () => {
    for (const [flags, cases] of groups) {
      if (!isLocal.source && !isLocal.target && !["", "--delete --yes"].includes(flags)) continue;
      const names = cases.map(([name]) => name).join("; ");
      it(`${flags} ${names}`.trim(), () => check(isLocal, cases));
    }
  });
}
