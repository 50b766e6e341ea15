import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, rename, symlink, utimes, writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { temporaryName } from "../../../client/cli/local/temporary-files.ts";
import { missingAttributes } from "../../../client/cli/sync/compare-files.ts";
import { CliCluster } from "../support/cli-cluster.ts";
import { statsOf } from "../support/local-times.ts";
import {
  makeClusterTree,
  makeLocalTree,
  readClusterTree,
  readLocalTree,
  runSync,
  sorted,
} from "../support/sync-trees.ts";

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** As `runSync`, on the cluster of this file. */
const sync = (...line: string[]) => runSync(cluster, ...line);

/** Makes directories whose path is longer than the system allows, so they cannot be listed. */
async function makeUnreadable(directory: string): Promise<void> {
  const name = "d".repeat(200);
  const first = `${directory}/${`${name}/`.repeat(18)}`;
  await mkdir(first, { recursive: true });
  await mkdir(`${directory}.more/${name}/${name}`, { recursive: true });
  await rename(`${directory}.more`, `${first}${name}`);
}

describe("the attributes that a target lacks", () => {
  const source = { mode: 0o6755, uid: 1, gid: 2, mtimeMs: 5 };
  const rule = { isTimeKept: true, isPreserved: true, keepsOwners: false };
  const lacks = (target: Partial<typeof source>, changed: Partial<typeof rule> = {}): boolean =>
    missingAttributes(source, { ...source, ...target }, { ...rule, ...changed }) !== null;

  it("are time, mode and owner, as far as they are kept", () => {
    assert.ok(!lacks({}) && lacks({ mtimeMs: 6 }) && lacks({ mode: 0o755 }));
    assert.ok(!lacks({ mtimeMs: 6 }, { isTimeKept: false }));
    assert.ok(!lacks({ mode: 0, uid: 9 }, { isPreserved: false }));
    assert.ok(lacks({ uid: 9, mode: 0o2755 }, { keepsOwners: true }));
  });

  it("are not an owner that this user cannot set, nor the bits that need it", () => {
    assert.ok(!lacks({ uid: 9, mode: 0o2755 }) && !lacks({ gid: 9, mode: 0o755 }));
    assert.ok(lacks({ uid: 9, mode: 0o755 }) && lacks({ gid: 9, mode: 0o700 }));
  });
});

describe("sync", () => {
  it("makes a missing target with its parents, and needs a source that is a directory", async () => {
    await makeLocalTree(`${cluster.work}/first`, { a: "1" });
    assert.equal((await sync("first/", "ashlar:/not/there/")).status, 0);
    assert.equal((await sync("ashlar:/not/there/.", "deep/er")).status, 0);
    assert.deepEqual(await readLocalTree(`${cluster.work}/deep/er`), { a: "1" });
    const failures: ReadonlyArray<readonly [number, RegExp, string, string]> = [
      [3, /No such file or directory: none/, "none", "ashlar:/x"],
      [3, /No such file or directory: ashlar:\/none/, "ashlar:/none", "x"],
      [6, /not a directory\n.*ashlar put/, "first/a", "ashlar:/x"],
      [6, /Not a directory: \/not\/there\/a/, "ashlar:/not/there/a", "x"],
      [6, /Not a directory: \/not\/there\/a/, "first", "ashlar:/not/there/a"],
      [6, /not a directory/, "ashlar:/not", "first/a"],
      [2, /ashlar sync first ashlar:\/x \(into/, "first", "/x"],
      [2, /ashlar sync ashlar:\/x first \(out of/, "/x", "first"],
      [2, /rsync -a/, "first", "second"],
      [2, /expected an absolute path/, "first", "ashlar:x"],
      [2, /expected a last name/, "first", "ashlar:/not/.."],
      [2, /none contains the other/, "ashlar:/not", "ashlar:/not/there"],
      [2, /none contains the other/, "ashlar:/not/there", "ashlar:/not/"],
      [2, /none contains the other/, "ashlar:/not", "ashlar:/not"],
    ];
    for (const [status, message, source, target] of failures) {
      const { stderr } = await cluster.exits(status, "sync", source, target);
      assert.match(stderr, message);
    }
    await cluster.exits(2, "sync", "first", "second", "ashlar:/x");
    await cluster.exits(2, "sync", "-n", "--delete", "--yes", "first", "ashlar:/x");
    assert.equal(await cluster.fs.exists("/x"), false);
  });

  it("deletes only after a question on a terminal, or with --yes", async () => {
    await makeLocalTree(`${cluster.work}/ask`, { a: "1", b: "new" });
    const target = { a: "1", b: "old one", "c/d": "2" };
    await makeClusterTree(cluster.fs, "/ask", target);
    const { stderr } = await cluster.exits(2, "sync", "--delete", "ask", "ashlar:/ask");
    assert.match(stderr, /--delete --yes/);
    assert.deepEqual(await readClusterTree(cluster.fs, "/ask"), sorted(target));
  });

  it("prints with --dry-run what would happen, and nothing else", async () => {
    await makeLocalTree(`${cluster.work}/dry`, { "a/b": "1", f: "new", t: "x @5", z: "2" });
    await makeClusterTree(cluster.fs, "/dry", { f: "old!", t: "x", "k/l/m": "3", "z/y": "" });
    const flags = ["--dry-run", "--delete", "dry", "ashlar:/dry"];
    const { stdout, stderr } = await cluster.exits(0, "sync", ...flags);
    assert.equal(stderr, "");
    assert.deepEqual(stdout.trimEnd().split("\n").sort(), [
      "would add ashlar:/dry/a/",
      "would add ashlar:/dry/a/b",
      "would add ashlar:/dry/z",
      "would change ashlar:/dry/f",
      "would delete ashlar:/dry/k/ and 2 entries in it",
      "would delete ashlar:/dry/z/",
      "would set the attributes of ashlar:/dry/t",
    ]);
  });

  it("deletes nothing if the source could not be read completely", async () => {
    await makeLocalTree(`${cluster.work}/deep-source`, { a: "1", "z/x": "new" });
    await makeUnreadable(`${cluster.work}/deep-source`);
    try {
      await makeClusterTree(cluster.fs, "/deep", { b: "2", a: "old", "z/y": "3" });
      const { status, stderr, summary } = await sync(
        "--delete",
        "--yes",
        "--include",
        "?",
        "deep-source",
        "ashlar:/deep",
      );
      assert.equal(status, 8);
      assert.match(stderr, /file name too long/);
      assert.match(
        stderr,
        /Nothing is deleted, because the source could not be read completely: 2 /,
      );
      assert.deepEqual([summary["changed_count"], summary["skipped_count"]], [1, 2]);
      assert.equal(await cluster.fs.readText("/deep/b"), "2");
      assert.equal(await cluster.fs.readText("/deep/z/x"), "new");
    } finally {
      execFileSync("rm", ["-rf", `${cluster.work}/deep-source`]);
    }
  });

  it("deletes nothing if the content of a file of the source could not be read", async () => {
    await makeClusterTree(cluster.fs, "/eio", { b: "2" });
    const source = { a: "1", c: "link: /proc/self/mem" };
    await makeLocalTree(`${cluster.work}/eio`, source);
    const { status, stderr, summary } = await sync("--delete", "--yes", "eio", "ashlar:/eio");
    assert.equal(status, 8);
    assert.match(stderr, /Cannot read the local path eio\/c: /);
    assert.match(stderr, /Nothing is deleted/);
    assert.deepEqual([summary["added_count"], summary["skipped_count"]], [1, 1]);
    assert.deepEqual(await readClusterTree(cluster.fs, "/eio"), { a: "1", b: "2" });
  });

  it("stores no links to directories and special files, reports them, and never removes what has their names", async () => {
    await makeLocalTree(`${cluster.work}/odd`, {
      "d/f": "1",
      "to-file": "link: d/f",
      "to-directory": "link: d",
      dangling: "link: nowhere",
    });
    execFileSync("mkfifo", [`${cluster.work}/odd/fifo`]);
    await makeClusterTree(cluster.fs, "/odd", { "to-directory/x": "2", fifo: "3", gone: "4" });
    const { status, stderr, summary } = await sync("--delete", "--yes", "odd", "ashlar:/odd");
    assert.equal(status, 8);
    for (const text of ["link to a directory", "link that is dangling", "is a FIFO"]) {
      assert.match(stderr, new RegExp(text));
    }
    const expected = { "d/f": "1", "to-file": "1", "to-directory/x": "2", fifo: "3" };
    assert.deepEqual(await readClusterTree(cluster.fs, "/odd"), sorted(expected));
    assert.deepEqual(summary, {
      added_count: 3,
      deleted_count: 1,
      unchanged_count: 1,
      failed_count: 3,
      links_count: 1,
    });
  });

  it("writes through a link to a file, and removes a link without following it", async () => {
    await makeClusterTree(cluster.fs, "/links", { file: "new", "d/x": "1", p: "3" });
    await makeLocalTree(`${cluster.work}/outside`, { real: "old!", "kept/y": "2" });
    const table = {
      file: "link: ../outside/real",
      d: "link: ../outside/kept",
      extra: "link: ../outside/kept",
    };
    await makeLocalTree(`${cluster.work}/links`, table);
    execFileSync("mkfifo", [`${cluster.work}/links/p`]);
    const refused = await sync("ashlar:/links", "links");
    assert.equal(refused.status, 8);
    assert.match(
      refused.stderr,
      /links\/d: expected a directory .* a symbolic link to a directory/,
    );
    assert.match(refused.stderr, /links\/p: expected a file .* a FIFO/);
    const { status } = await sync("--delete", "--yes", "ashlar:/links", "links");
    assert.equal(status, 0);
    const result = { file: "link: ../outside/real", "d/x": "1", p: "3" };
    assert.deepEqual(await readLocalTree(`${cluster.work}/links`), sorted(result));
    const outside = { real: "new", "kept/y": "2" };
    assert.deepEqual(await readLocalTree(`${cluster.work}/outside`), sorted(outside));
  });

  it("keeps modes, owners and times of directories with -p, also of what exists", async () => {
    const source = `${cluster.work}/kept`;
    await makeLocalTree(source, { "d/f": "1", "d/e/": "", g: "2" });
    const odd = async (path: string, mode: number, ms: number): Promise<void> => {
      await chown(path, 12, 34);
      await chmod(path, mode);
      await utimes(path, ms / 1000, ms / 1000);
    };
    await odd(`${source}/d/f`, 0o4751, 1000);
    await odd(`${source}/d/e`, 0o555, 2000);
    await odd(`${source}/d`, 0o1770, 3000);
    await sync("kept", "ashlar:/kept");
    assert.equal((await cluster.fs.stat("/kept/d/f")).mode, 0o751);
    assert.deepEqual(
      (await sync("-p", "kept", "ashlar:/kept")).actions,
      ["", "/d", "/d/e", "/d/f", "/g"].map((path) => `attributes /kept${path}`).slice(0, 4),
    );
    await sync("-p", "ashlar:/kept", "back");
    for (const path of ["d/f", "d/e", "d", "g", ""]) {
      const [before, after] = [
        await statsOf(`${source}/${path}`),
        await statsOf(`${cluster.work}/back/${path}`),
      ];
      assert.deepEqual(
        [after.mode, after.uid, after.gid, after.mtimeMs],
        [before.mode, before.uid, before.gid, before.mtimeMs],
        path,
      );
    }
    assert.deepEqual((await sync("-p", "kept", "ashlar:/kept")).actions, []);
    assert.deepEqual((await sync("-p", "ashlar:/kept", "back")).actions, []);
    await chmod(`${source}/d`, 0o700);
    const kept = await sync("-p", "-n", "kept", "ashlar:/kept");
    assert.deepEqual([kept.actions, kept.summary], [[], { unchanged_count: 4, skipped_count: 1 }]);
    await chmod(`${source}/d`, 0o1770);
    // A new entry changes the time of its directory, which is set again.
    await writeFile(`${source}/d/new`, "");
    await utimes(`${source}/d`, 3, 3);
    const added = await sync("-p", "kept", "ashlar:/kept");
    assert.deepEqual(added.actions, ["add /kept/d/new"]);
    assert.equal((await cluster.fs.stat("/kept/d")).mtimeMs, 3000);
  });

  it("removes what a killed sync left, and never stores it", async () => {
    const own = temporaryName().toString();
    const dead = own.replace(`-${process.pid}-`, "-4194305-");
    await makeLocalTree(`${cluster.work}/left`, {
      "d/x": "1",
      [`d/${own}`]: "part",
      [`d/${dead}`]: "part",
    });
    const { summary } = await sync("left", "ashlar:/left");
    assert.equal(summary["temporary_count"], 2);
    assert.deepEqual(await readClusterTree(cluster.fs, "/left"), { "d/": "", "d/x": "1" });
    assert.deepEqual((await sync("--dry-run", "ashlar:/left", "left")).actions, []);
    assert.equal((await readdir(`${cluster.work}/left/d`)).length, 3);
    await sync("--delete", "--yes", "ashlar:/left", "left");
    assert.deepEqual((await readdir(`${cluster.work}/left/d`)).sort(), [own, "x"].sort());
  });

  it("prints a summary, and each change with -v", async () => {
    await makeLocalTree(`${cluster.work}/said`, { a: "12", b: "345" });
    await makeClusterTree(cluster.fs, "/said", { b: "x", c: "" });
    const flags = ["-v", "--delete", "--yes", "said", "ashlar:/said"];
    const { stdout, stderr } = await cluster.exits(0, "sync", ...flags);
    assert.equal(stdout, "");
    for (const line of [
      "added ashlar:/said/a",
      "changed ashlar:/said/b",
      "deleted ashlar:/said/c",
    ]) {
      assert.ok(stderr.includes(`${line}\n`), stderr);
    }
    assert.match(stderr, /added 1, changed 1, deleted 1, unchanged 1, skipped 0; 5 B in /);
  });

  it("follows a link that is named as a side", async () => {
    await makeLocalTree(`${cluster.work}/real-side`, { a: "1" });
    await symlink("real-side", `${cluster.work}/link-side`);
    await mkdir(`${cluster.work}/other-side`);
    assert.equal((await sync("link-side", "ashlar:/side")).status, 0);
    await makeClusterTree(cluster.fs, "/side", { b: "2" });
    assert.equal((await sync("--delete", "--yes", "ashlar:/side/", "link-side/")).status, 0);
    assert.deepEqual(await readLocalTree(`${cluster.work}/real-side`), { b: "2" });
  });
});
