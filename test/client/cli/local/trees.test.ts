import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { applyAttributes } from "../../../../client/cli/local/local-attributes.ts";
import { temporaryName } from "../../../../client/cli/local/temporary-files.ts";
import type { FileSystem } from "../../../../client/file-system.ts";
import { jsonLines } from "../../../support/memory-cli-env.ts";
import { CliWork } from "../../support/cli-work.ts";
import { setTime, statsOf } from "../../support/local-times.ts";
import { LoopbackCluster } from "../../support/loopback-cluster.ts";

const MIB = 1024 * 1024;
/** A process id that no process has: the largest of Linux is below. */
const DEAD_PID = 4_194_305;

const modeOf = async (path: string): Promise<number> => Number((await statsOf(path)).mode) & 0o7777;

describe("local trees", () => {
  let cluster: LoopbackCluster;
  let fileSystem: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(3);
    fileSystem = await cluster.connect();
  });
  after(() => cluster[Symbol.asyncDispose]());

  it("continue after an entry that cannot be transferred, in both directions", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    for (const name of ["a", "b", "c"]) {
      await mkdir(`${work.path}/source/${name}/deep`, { recursive: true });
      await writeFile(`${work.path}/source/${name}/deep/file`, name);
      await writeFile(`${work.path}/source/${name}/file`, name);
    }
    await fileSystem.mkdir("/target/source", { parents: true });
    await fileSystem.writeFile("/target/source/b", "in the way");
    const put = await work.fails(
      8,
      /Not a directory: \/target\/source\/b/,
      "put",
      "-r",
      "source",
      "/target/",
    );
    assert.match(put.stderr, /put 4 files.*1 failed/);
    await fileSystem.unlink("/target/source/b");
    await work.ok("put", "-r", "--resume", "source", "/target/");
    await mkdir(`${work.path}/out/source/a`, { recursive: true });
    await writeFile(`${work.path}/out/source/a/deep`, "in the way");
    await symlink("nowhere", `${work.path}/out/source/b`);
    const get = await work.run(["get", "-r", "/target/source", "out"]);
    assert.equal(get.status, 8, get.stderr);
    assert.match(get.stderr, /out\/source\/a\/deep: another file has this name/);
    assert.match(get.stderr, /out\/source\/b: another file has this name/);
    assert.equal(await readFile(`${work.path}/out/source/a/file`, "utf8"), "a");
    assert.equal(await readFile(`${work.path}/out/source/c/deep/file`, "utf8"), "c");
    assert.equal(await readFile(`${work.path}/out/source/a/deep`, "utf8"), "in the way");
  });

  it("report a directory that cannot be read, also with --include and --exclude", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await mkdir(`${work.path}/source`);
    await symlink("nowhere", `${work.path}/source/link`);
    await writeFile(`${work.path}/source/a.jpg`, "a");
    // Longer than PATH_MAX: the system refuses the path of what is in the last directory.
    const steps = "for step in $(seq 25); do mkdir $1; cd $1; done; mkdir d; touch d/b.jpg";
    const name = "d".repeat(200);
    execFileSync("sh", ["-c", steps, "sh", name], { cwd: `${work.path}/source` });
    try {
      for (const flags of [
        ["--include", "*.jpg"],
        ["--exclude", "{d*,link}"],
      ]) {
        const line = ["put", "-r", "--resume", ...flags, "source", "/filtered"];
        const { stderr } = await work.fails(8, /file name too long/, ...line);
        assert.doesNotMatch(stderr, /link/);
        assert.equal((await fileSystem.stat("/filtered/a.jpg")).kind, "file");
      }
    } finally {
      execFileSync("rm", ["-r", name], { cwd: `${work.path}/source` }); // Node cannot remove it.
    }
  });

  it("continue after a path that is too long for the local file system", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    // The path in the cluster is longer than PATH_MAX of Linux, 4096 bytes.
    const name = "d".repeat(200);
    await fileSystem.mkdir(`/long/${`${name}/`.repeat(25)}`, { parents: true });
    await fileSystem.writeFile(`/long/${`${name}/`.repeat(25)}file`, "deep");
    await fileSystem.writeFile("/long/z", "z");
    const get = await work.run(["get", "-r", "/long", "long"]);
    assert.equal(get.status, 8, get.stderr);
    assert.match(get.stderr, /file name too long/);
    assert.equal(await readFile(`${work.path}/long/z`, "utf8"), "z");
  });

  it("keep the modes of cp without -p: those of the source without the umask", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await mkdir(`${work.path}/source`);
    await writeFile(`${work.path}/source/program`, "#!/bin/sh\n");
    await chmod(`${work.path}/source/program`, 0o4777);
    await writeFile(`${work.path}/source/private`, "x");
    await chmod(`${work.path}/source/private`, 0o600);
    await chmod(`${work.path}/source`, 0o777);
    await work.ok("put", "-r", "source", "/source");
    const stored = async (path: string): Promise<number> => (await fileSystem.stat(path)).mode;
    assert.equal(await stored("/source"), 0o755);
    assert.equal(await stored("/source/program"), 0o755);
    assert.equal(await stored("/source/private"), 0o600);
    await fileSystem.setAttributes("/source/program", { mode: 0o4777 });
    await work.ok("get", "-r", "/source", "back");
    assert.equal(await modeOf(`${work.path}/back/program`), 0o755);
    assert.equal(await modeOf(`${work.path}/back/private`), 0o600);
    // An existing file keeps its own mode, and gets that of the source with -p.
    await chmod(`${work.path}/back/private`, 0o640);
    await work.ok("get", "--force", "/source/private", "back/private");
    assert.equal(await modeOf(`${work.path}/back/private`), 0o640);
    await work.ok("get", "--force", "-p", "/source/private", "back/private");
    assert.equal(await modeOf(`${work.path}/back/private`), 0o600);
    await chmod(`${work.path}/source/private`, 0o640);
    await work.ok("put", "--force", "source/private", "/source/private");
    assert.equal(await stored("/source/private"), 0o600);
    await setTime(`${work.path}/source/private`, -1);
    await chown(`${work.path}/source/private`, 12, 34);
    await work.ok("put", "--force", "-p", "source/private", "/source/private");
    const { mode, uid, gid, mtimeMs } = await fileSystem.stat("/source/private");
    assert.deepEqual({ mode, uid, gid, mtimeMs }, { mode: 0o640, uid: 12, gid: 34, mtimeMs: -1 });
    // With --resume, the content is the same and the attributes are set.
    await chmod(`${work.path}/source/private`, 0o400);
    await work.ok("put", "--resume", "-p", "source/private", "/source/private");
    assert.equal(await stored("/source/private"), 0o400);
  });

  it("are never readable by others before their final mode is set", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await fileSystem.writeFile("/secret", Buffer.alloc(9 * MIB, 7), { mode: 0o600 });
    const get = work.run(["get", "-p", "/secret", "secret"]);
    let seen = 0;
    let isDone = false;
    const ended = get.then(() => {
      isDone = true;
    });
    while (!isDone) {
      for (const name of await readdir(work.path)) {
        const stats = await lstat(`${work.path}/${name}`).catch(() => null);
        if (stats === null) continue;
        seen += 1;
        assert.equal(stats.mode & 0o077, 0, `${name} has the mode ${stats.mode.toString(8)}`);
      }
    }
    await ended;
    assert.ok(seen > 0);
    assert.deepEqual(await readdir(work.path), ["secret"]);
  });

  it("write through symbolic links as cp does, and through dangling ones only with --force", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await fileSystem.writeFile("/file", "new");
    await mkdir(`${work.path}/there`);
    await writeFile(`${work.path}/there/real`, "old");
    await symlink("there/real", `${work.path}/link`);
    await symlink("there/made", `${work.path}/dangling`);
    await symlink("loop", `${work.path}/loop`);
    await work.fails(6, /file exists/, "get", "/file", "link");
    await work.fails(6, /dangling symbolic link/, "get", "/file", "dangling");
    await work.ok("get", "--force", "/file", "link");
    await work.ok("get", "--force", "/file", "dangling");
    await work.fails(1, /too many levels of symbolic links/, "get", "--force", "/file", "loop");
    for (const name of ["link", "dangling"])
      assert.ok((await statsOf(`${work.path}/${name}`)).isSymbolicLink());
    assert.equal(await readFile(`${work.path}/there/real`, "utf8"), "new");
    assert.equal(await readFile(`${work.path}/there/made`, "utf8"), "new");
    assert.deepEqual((await readdir(`${work.path}/there`)).sort(), ["made", "real"]);
  });

  it("lose no file when two gets write one name", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await fileSystem.writeFile("/one", "1".repeat(3 * MIB));
    await fileSystem.writeFile("/two", "2".repeat(3 * MIB));
    const results = await Promise.all([
      work.run(["get", "/one", "target"]),
      work.run(["get", "/two", "target"]),
      work.run(["get", "-n", "/two", "target"]),
    ]);
    const statuses = results.slice(0, 2).map(({ status }) => status);
    const text = await readFile(`${work.path}/target`, "utf8");
    assert.equal(new Set(text).size, 1, "the file is whole");
    assert.ok(statuses.filter((status) => status === 0).length <= 1, String(statuses));
    assert.ok(results.some(({ stderr }) => /file exists/.test(stderr)));
    assert.deepEqual(await readdir(work.path), ["target"]);
  });

  it("are cleared of what a killed get left, and never put it", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await fileSystem.writeFile("/file", "content");
    // A name as a get makes it. `temporaryName` has the identity of this process.
    const own = temporaryName().toString();
    const dead = own.replace(`-${process.pid}-`, `-${DEAD_PID}-`);
    const rebooted = own.replace(/^(\.ashlar-get-[0-9a-f]{8})-[0-9a-f]{8}/, "$1-00000000");
    const reused = own.replace(/-\d+(-[0-9a-f]{12})$/, "-1$1");
    const foreign = own.replace(/^\.ashlar-get-[0-9a-f]{8}/, ".ashlar-get-00000000");
    const other = ".ashlar-get-notes";
    await mkdir(`${work.path}/d`);
    for (const name of [own, dead, rebooted, reused, foreign, other]) {
      await writeFile(`${work.path}/d/${name}`, "part");
    }
    const put = await work.ok("put", "-r", "d", "/d");
    assert.match(put.stderr, /Temporary files of a get, left out: 5 /);
    const stored: string[] = [];
    for await (const entry of fileSystem.list("/d")) stored.push(entry.displayName);
    assert.deepEqual(stored, [other]);
    await work.ok("get", "/file", "d/file");
    assert.deepEqual(
      (await readdir(`${work.path}/d`)).sort(),
      [own, foreign, other, "file"].sort(),
    );
  });

  it("keep their holes: a file of 300 MiB without data takes less than 1 MiB", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await writeFile(`${work.path}/hole`, "");
    await truncate(`${work.path}/hole`, 300 * MIB);
    await work.ok("put", "hole", "/hole");
    const before = process.cpuUsage();
    await work.ok("get", "/hole", "back");
    const { user, system } = process.cpuUsage(before);
    const { size, blocks } = await statsOf(`${work.path}/back`);
    assert.equal(size, BigInt(300 * MIB));
    assert.ok(blocks * 512n < BigInt(MIB), `${blocks} blocks`);
    assert.ok(user + system < 3_000_000, `${user + system} µs of CPU time`);
    const resumed = await work.ok("get", "--resume", "/hole", "back");
    assert.match(resumed.stderr, /1 skipped/);
  });

  it("list the names of --files-from with their directories", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await mkdir(`${work.path}/a/b`, { recursive: true });
    await writeFile(`${work.path}/a/b/file`, "deep");
    await writeFile(`${work.path}/top`, "top");
    await fileSystem.mkdir("/to");
    const input = `./a//b/./file\0top\0${work.path}/a/b/../b/file`;
    const put = await work.run(["put", "-0", "--force", "--files-from", "-", "/to"], { input });
    assert.equal(put.status, 0, put.stderr);
    assert.match(put.stderr, /Absolute names .*: 1 /);
    const files: string[] = [];
    for await (const { path } of fileSystem.walk("/to")) files.push(Buffer.from(path).toString());
    assert.deepEqual(files, ["/to/a", "/to/a/b", "/to/a/b/file", "/to/file", "/to/top"]);
    await work.fails(3, /No such file or directory: \/none/, "put", "--files-from", "top", "/none");
  });

  it("are not nested by --resume and -T, and a get has the working directory as its target", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    await mkdir(`${work.path}/t`);
    await writeFile(`${work.path}/t/file`, "x");
    await work.ok("put", "-r", "t", "/prog");
    await work.ok("put", "-r", "--resume", "t", "/prog");
    await work.ok("put", "-r", "-T", "--force", "t", "/prog");
    await assert.rejects(fileSystem.stat("/prog/t"), { code: "NOT_FOUND" });
    const nested = await work.ok("put", "-r", "t", "/prog");
    assert.match(nested.stderr, /\/prog exists: putting t at \/prog\/t; with -T/);
    await rm(`${work.path}/t`, { recursive: true });
    await fileSystem.removeTree("/prog/t");
    await work.ok("get", "-r", "/prog", "src");
    await work.ok("get", "-r", "--resume", "/prog", "src");
    await work.ok("get", "-r", "-T", "--force", "/prog", "src");
    assert.deepEqual(await readdir(`${work.path}/src`), ["file"]);
    await work.ok("get", "/prog/file");
    assert.equal(await readFile(`${work.path}/file`, "utf8"), "x");
    await work.fails(2, /ashlar put a.md \/DIRECTORY\//, "put", "a.md", "b.md");
  });

  it("have a summary only if something was transferred, and one in JSON", async () => {
    await using work = await CliWork.make(cluster, fileSystem);
    const failed = await work.run(["put", "none", "/none"]);
    assert.doesNotMatch(failed.stderr, /put 0 files/);
    await mkdir(`${work.path}/d`);
    await writeFile(`${work.path}/d/file`, "12345");
    await symlink("nowhere", `${work.path}/d/dangling`);
    const json = await work.run(["--json", "put", "-r", "d", "/d"]);
    assert.equal(json.status, 8);
    assert.deepEqual(jsonLines(json.stdout).at(-1), {
      schema: "ashlar.put-summary/1",
      file_count: 1,
      size_bytes: 5,
      skipped_count: 0,
      failed_count: 1,
    });
    assert.match(json.stderr, /"code":"UNSUPPORTED".*dangling/);
  });

  it("have a setuid bit only with the owner of their source", async (context) => {
    await using work = await CliWork.make(cluster, fileSystem);
    if (process.getuid?.() !== 0) return context.skip("only root can give files away");
    await fileSystem.writeFile("/setuid", "x", { mode: 0o6755, uid: 1234, gid: 1234 });
    await work.ok("get", "-p", "/setuid", "kept");
    const { uid, mode } = await statsOf(`${work.path}/kept`);
    assert.deepEqual([uid, Number(mode) & 0o7777], [1234n, 0o6755]);
    // A process that may not give files away: it keeps neither owner nor setuid.
    await writeFile(`${work.path}/own`, "x");
    await using file = await open(`${work.path}/own`, constants.O_RDWR);
    const refuse = () =>
      Promise.reject(Object.assign(new Error("not permitted"), { code: "EPERM" }));
    const owner = { uid: 1234, gid: 1234 };
    const attributes = { mode: 0o6755, owner, mtimeMs: null };
    assert.equal(await applyAttributes(file.fd, attributes, refuse), false);
    assert.equal(await modeOf(`${work.path}/own`), 0o755);
  });
});
