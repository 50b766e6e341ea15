import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { targetOf } from "../../client/names/target.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { createHasher } from "../../shared/platform/hasher.ts";
import { jsonLines, runCli } from "../support/memory-cli-env.ts";
import { StartedCluster } from "../support/started-cluster.ts";

let cluster: StartedCluster;

async function pathExists(path: string): Promise<boolean> {
  try {
    await cluster.fileSystem.stat(path);
    return true;
  } catch (error) {
    assert.ok(isAshlarError(error, "NOT_FOUND"), String(error));
    return false;
  }
}

const local = (name: string): string => join(cluster.work, name);

describe("the CLI on a cluster", () => {
  before(async () => {
    cluster = await StartedCluster.start({ masters: 1, chunkservers: 1 });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it("prints JSON with a schema for every command", async () => {
    await writeFile(local("j"), "json");
    const check = async (command: string, ...rest: string[]): Promise<void> => {
      const lines = jsonLines(await cluster.ok(...command.split(" "), "--json", ...rest));
      assert.notEqual(lines.length, 0, command);
      const wanted = new RegExp(`^ashlar\\.${command.replace(" ", "-").replace("-show", "")}`);
      for (const { schema } of lines) assert.match(String(schema), wanted);
    };
    await check("mkdir", "/j/d", "-p");
    await check("put", "j", "/j/a");
    await check("cp", "/j/a", "/j/b");
    await check("mv", "/j/b", "/j/c");
    await Promise.all([
      check("ls", "/j"),
      check("stat", "/j/a"),
      check("tree", "/j"),
      check("du", "/j"),
      check("df"),
      check("status"),
      check("checksum", "/j/a"),
      check("verify", "/j"),
      check("get", "/j/a", "j.back"),
      check("version"),
      check("cluster status"),
      check("config show"),
    ]);
    await Promise.all([check("rmdir", "/j/d"), check("rm", "/j/c")]);
    await Promise.all([cluster.ok("chmod", "600", "/j/a"), cluster.ok("chown", "7:8", "/j/a")]);
    assert.equal(
      await cluster.ok("stat", "--format", "%a %u %g %b %n %F", "/j/a"),
      "600 7 8 4 a file\n",
    );
  });

  it("exits with the status of the error and prints the error on stderr", async () => {
    await Promise.all([
      cluster.fails(3, "cat", "/missing"),
      cluster.fails(2, "cat", "relative"),
      cluster.fails(2, "ls", "--nosuch"),
      cluster.fails(2, "--cluster", "127.0.0.1:1,", "ls"),
      cluster.fails(6, "mkdir", "/j"),
      cluster.fails(6, "rmdir", "/j"),
      cluster.fails(6, "put", "j", "/j/a"),
      cluster.fails(3, "put", "nosuch", "/x"),
      cluster.fails(6, "mkdir", "/j/a/below"),
      cluster.fails(8, "cat", "/missing", "/j/a"),
    ]);
    assert.equal(
      await cluster.fails(3, "stat", "/missing/below"),
      "ashlar: No such file or directory: /missing\n",
    );
    assert.match(
      await cluster.fails(5, "--cluster", "127.0.0.1:1", "--timeout", "1s", "ls"),
      /^ashlar: Cannot reach any master \(127\.0\.0\.1:1: connection refused\); is the cluster running\?\n/,
    );
    const { error } = JSON.parse(await cluster.fails(3, "--json", "stat", "/missing"));
    assert.deepEqual([error.code, error.retry], ["NOT_FOUND", "never"]);
  });

  it("reads ranges of a file", async () => {
    await cluster.fileSystem.writeFile("/range", Buffer.alloc(3_000_000, "stream of bytes "));
    assert.equal((await cluster.ok("get", "/range", "-")).length, 3_000_000);
    assert.equal(await cluster.ok("cat", "--offset", "7", "--length", "9", "/range"), "of bytes ");
    assert.equal(await cluster.ok("get", "--range", "0-5", "/range", "-"), "stream");
    assert.equal(await cluster.ok("get", "--range=-6", "/range", "-"), "bytes ");
  });

  it("prints the BLAKE3 of a file and checks a list of checksums", async () => {
    const blake3 = toHex(createHasher().hasher.hash(Buffer.from("json")));
    const line = await cluster.ok("checksum", "/j/a");
    assert.equal(line, `${blake3}  /j/a\n`);
    assert.equal(
      (await cluster.runWithInput(line, "checksum", "--check", "-")).stdout,
      "/j/a: OK\n",
    );
    const wrong = await cluster.runWithInput(
      `${"0".repeat(64)}${line.slice(64)}`,
      "checksum",
      "-c",
      "-",
    );
    assert.deepEqual([wrong.status, wrong.stdout], [7, "/j/a: FAILED\n"]);
    await cluster.fails(7, "put", "--force", "--checksum", `blake3:${"0".repeat(64)}`, "j", "/j/a");
    await cluster.ok("put", "--force", "--checksum", `blake3:${blake3}`, "j", "/j/a");
  });

  it("does not publish a file that changes while it is read", async () => {
    await writeFile(local("changing"), Buffer.alloc(32 * 1024 * 1024));
    const writer = setInterval(() => appendFile(local("changing"), "more").catch(() => {}), 1);
    const { status, stderr } = await cluster.run("put", "changing", "/changing");
    clearInterval(writer);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /the file changed while it was read/);
    assert.equal(await pathExists("/changing"), false);
  });

  it("asks before it removes a tree, and fails if it cannot ask", async () => {
    await cluster.fileSystem.mkdir("/rm/d/e", { parents: true });
    const [asked, directory, dry] = await Promise.all([
      cluster.fails(2, "rm", "-r", "/rm"),
      cluster.fails(6, "rm", "/rm"),
      cluster.ok("rm", "-r", "--dry-run", "/rm"),
      cluster.fails(2, "rm", "-r", "--yes", "/"),
    ]);
    assert.match(asked, /--yes/);
    assert.match(directory, /rm -r/);
    assert.equal(dry, "would remove /rm\n");
    assert.equal(await pathExists("/rm/d/e"), true);
    await cluster.ok("rm", "-r", "--yes", "/rm");
    assert.equal(await pathExists("/rm"), false);
    await Promise.all([cluster.fails(3, "rm", "/rm"), cluster.ok("rm", "-f", "/rm")]);
  });

  it("expands patterns in the cluster", async () => {
    await cluster.fileSystem.mkdir("/g/x/y", { parents: true });
    for (const path of ["/g/1.txt", "/g/2.txt", "/g/3.log", "/g/x/4.txt", "/g/x/y/5.txt"]) {
      await cluster.fileSystem.writeFile(path, path);
    }
    const prints = async (pattern: string, expected: string): Promise<void> => {
      assert.equal(await cluster.ok("cat", pattern), expected, pattern);
    };
    await mkdir(local("got"));
    await Promise.all([
      prints("/g/*.txt", "/g/1.txt/g/2.txt"),
      prints("/g/**/*.txt", "/g/1.txt/g/2.txt/g/x/4.txt/g/x/y/5.txt"),
      prints("/g/[13].*", "/g/1.txt/g/3.log"),
      prints("/g/{2.txt,x/4.txt}", "/g/2.txt/g/x/4.txt"),
      cluster.fails(3, "cat", "/g/*.nothing"),
      cluster.fails(3, "cat", "--no-glob", "/g/*.txt"),
      cluster.ok("get", "/g/*.txt", "got"),
    ]);
    assert.deepEqual(await readdir(local("got")), ["1.txt", "2.txt"]);
  });

  it("copies by reference and moves files into directories", async () => {
    await cluster.fileSystem.mkdir("/moved");
    await cluster.fileSystem.writeFile("/original", Buffer.alloc(100_000, "original"));
    await Promise.all([
      cluster.ok("cp", "/original", "/copy"),
      cluster.ok("cp", "-r", "/g/x", "/x.copy"),
      cluster.fails(6, "cp", "/g", "/g.copy"),
      cluster.fails(2, "cp", "-r", "/g", "/g/x/again"),
      cluster.fails(2, "mv", "/g", "/g/x/again"),
    ]);
    const roots = await cluster.ok("checksum", "--root", "/copy", "/original");
    const [copy, original] = roots.split("\n").map((line) => line.slice(0, 64));
    assert.equal(copy, original);
    assert.equal(await cluster.ok("cat", "/x.copy/y/5.txt"), "/g/x/y/5.txt");
    await cluster.ok("mv", "/g/1.txt", "/g/2.txt", "/moved");
    // Fails before the first move: a target that is a file takes one source only.
    await cluster.fails(6, "mv", "/g/3.log", "/g/x", "/moved/1.txt");
    await cluster.fails(6, "mv", "/g/3.log", "/moved/1.txt");
    await cluster.ok("mv", "--no-clobber", "/g/3.log", "/moved/1.txt");
    assert.equal(await cluster.ok("ls", "/moved"), "1.txt\n2.txt\n");
  });

  it("skips files with the same content with --resume", async () => {
    await mkdir(local("resume/below"), { recursive: true });
    await writeFile(local("resume/a"), "a");
    await writeFile(local("resume/below/b"), Buffer.alloc(2_000_000, "b"));
    await cluster.ok("put", "-r", "resume", "/resume");
    const stderr = (await cluster.run("put", "-r", "--resume", "resume/.", "/resume")).stderr;
    assert.match(stderr, /put 0 files.*2 skipped/);
    await writeFile(local("resume/a"), "changed");
    assert.match(
      (await cluster.run("put", "-r", "--resume", "resume/.", "/resume")).stderr,
      /put 1 file,.*1 skipped/,
    );
    await cluster.ok("get", "-r", "/resume", "resumed");
    assert.match(
      (await cluster.run("get", "-r", "--resume", "/resume/.", "resumed")).stderr,
      /2 skipped/,
    );
    assert.match(
      await cluster.ok("put", "-r", "--dry-run", "resume", "/none"),
      /would put resume\/a at \/none\/a/,
    );
    assert.equal(await pathExists("/none"), false);
    await cluster.fails(8, "get", "-r", "/resume/.", "resumed");
  });

  it("keeps mode and times with --preserve, and reads names with --files-from", async () => {
    const path = local("kept");
    await writeFile(path, "kept", { mode: 0o640 });
    await cluster.ok("put", "-p", "kept", "/kept");
    await cluster.ok("get", "-p", "/kept", "kept.back");
    const [before, back] = await Promise.all([stat(path), stat(local("kept.back"))]);
    assert.equal(back.mode, before.mode);
    assert.equal(Math.floor(back.mtimeMs), Math.floor(before.mtimeMs));
    await cluster.fileSystem.mkdir("/listed");
    const given = await cluster.runWithInput(
      "kept\0j\0",
      "put",
      "--files-from",
      "-",
      "-0",
      "/listed",
    );
    assert.equal(given.status, 0, given.stderr);
    assert.equal(await cluster.ok("ls", "/listed"), "j\nkept\n");
    await cluster.ok("get", "/kept", "/dev/null");
    assert.ok((await stat("/dev/null")).isCharacterDevice());
  });

  it("lists and counts more files than one page of a listing has", async () => {
    await cluster.fileSystem.mkdir("/many");
    const operations = Array.from({ length: 2_500 }, (_, at) => ({
      kind: "create" as const,
      target: targetOf(`/many/${at}`),
      mode: 0o644,
      uid: 0,
      gid: 0,
    }));
    for (let first = 0; first < operations.length; first += 500) {
      await cluster.fileSystem.transact(operations.slice(first, first + 500));
    }
    assert.equal((await cluster.ok("ls", "/many")).split("\n").length - 1, 2_500);
    assert.equal((await cluster.ok("ls", "--limit", "7", "/many")).split("\n").length - 1, 7);
    const [usage] = jsonLines(await cluster.ok("du", "-s", "--json", "/many"));
    assert.deepEqual([usage?.["files"], usage?.["directories"]], [2_500, 1]);
  });

  it("puts, draws, gets and removes a tree that is 200 levels deep", async () => {
    const deep = `/deep${"/d".repeat(200)}`;
    await cluster.ok("mkdir", "-p", deep);
    assert.equal((await cluster.runWithInput("x", "put", "-", `${deep}/file`)).status, 0);
    assert.match(await cluster.ok("tree", "/deep"), /200 directories, 1 file\n$/);
    await cluster.ok("get", "-r", "/deep", "deep");
    assert.equal(await readFile(local(`deep${"/d".repeat(200)}/file`), "utf8"), "x");
    await cluster.ok("rm", "-r", "--yes", "/deep");
  });

  it("prints help on stdout, and wrong usage on stderr with status 2", async () => {
    const [help, topic, lss, bad, json, none] = await Promise.all([
      cluster.run("help", "put"),
      cluster.run("help", "exit-codes"),
      cluster.run("lss"),
      cluster.run("ls", "--nosuch"),
      cluster.run("ls", "--json", "--limit", "x"),
      runCli(["ls"]),
    ]);
    assert.deepEqual([help.status, help.stderr], [0, ""]);
    assert.match(
      help.stdout,
      /^Usage: ashlar put \[options\] <source\.\.\.> <target>\n.*\nExamples:\n.*\nOptions:\n/s,
    );
    assert.match(topic.stdout, /130 {2}interrupted/);
    assert.deepEqual([lss.status, lss.stdout], [2, ""]);
    assert.match(lss.stderr, /Did you mean ls\?/);
    assert.deepEqual([bad.status, bad.stdout], [2, ""]);
    assert.match(bad.stderr, /^ashlar: Unknown option '--nosuch'\n {2}hint: ashlar ls --help\n$/);
    assert.equal(JSON.parse(json.stderr).error.code, "INVALID_ARGUMENT");
    assert.equal(none.status, 2);
    assert.match(none.stderr, /ASHLAR_CLUSTER/);
  });

  it("starts an emptied data directory only with --new-server", async () => {
    const { directory } = cluster.cluster;
    const recorded = async (): Promise<string> =>
      (await readFile(join(directory, "c1", "server-id"), "utf8")).trim();
    const file = JSON.parse(await readFile(join(directory, "cluster.json"), "utf8"));
    const fields = Object.keys((file as { readonly nodes: object[] }).nodes[0] ?? {}).sort();
    assert.deepEqual(fields, ["address", "http", "name", "role"], "version 0.1.0 refuses others");
    const { chunkservers } = await cluster.fileSystem.status();
    const [before] = chunkservers;
    assert.equal(await recorded(), before?.serverId, "cluster up has recorded the id");
    await cluster.ok("cluster", "kill", "c1");
    await rm(cluster.dataDirectoryOf("c1"), { recursive: true });
    for (const line of [
      ["start", "c1"],
      ["up", "--wait", "1s"],
    ]) {
      const stderr = await cluster.fails(2, "cluster", ...line);
      assert.match(
        stderr,
        new RegExp(`Cannot start c1: expected the data of server ${before?.serverId}`),
      );
      assert.match(stderr, /cluster start .*c1 --new-server/);
    }
    await cluster.ok("cluster", "start", "c1", "--new-server");
    const isNew = ({ serverId }: { serverId: string }): boolean => serverId !== before?.serverId;
    const { chunkservers: after } = await cluster.fileSystem.status();
    assert.equal(await recorded(), after.find(isNew)?.serverId, "cluster start has recorded it");
    await cluster.ok("cluster", "up");
    await cluster.ok("cluster", "start", "c1");
  });
});
