import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { appendFile, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { targetOf } from "../../client/names/target.ts";
import { toHex } from "../../shared/base/bytes.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { createHasher } from "../../shared/platform/hasher.ts";
import { LAUNCHER, StartedCluster } from "../support/started-cluster.ts";

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let cluster: StartedCluster;

function start(
  commandArguments: readonly string[],
  environment: Record<string, string> = {},
): ChildProcess {
  return spawn(process.execPath, [LAUNCHER, ...commandArguments], {
    cwd: cluster.work,
    env: { ...process.env, ASHLAR_CLUSTER: cluster.cluster.directory, ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
}

async function resultOf(child: ChildProcess): Promise<Result> {
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr, status] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    ended,
  ]);
  return { status, stdout, stderr };
}

function ashlar(...commandArguments: string[]): Promise<Result> {
  return withInput("", ...commandArguments);
}

function withInput(input: string | Uint8Array, ...commandArguments: string[]): Promise<Result> {
  const child = start(commandArguments);
  child.stdin?.on("error", () => {}); // The command can exit without reading its input.
  child.stdin?.end(input);
  return resultOf(child);
}

/** Runs a shell script. Only a shell can pass names that are not UTF-8. */
function bash(script: string): Promise<Result> {
  const environment = {
    ...process.env,
    ASHLAR_CLUSTER: cluster.cluster.directory,
    A: LAUNCHER,
  };
  return resultOf(
    spawn("bash", ["-c", script], {
      cwd: cluster.work,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
}

/** Runs a command that must succeed. @returns stdout */
async function ok(...commandArguments: string[]): Promise<string> {
  const { status, stdout, stderr } = await ashlar(...commandArguments);
  assert.equal(status, 0, `ashlar ${commandArguments.join(" ")}: ${stderr}`);
  return stdout;
}

/** Runs a command that must exit with `status`. @returns stderr */
async function fails(status: number, ...commandArguments: string[]): Promise<string> {
  const result = await ashlar(...commandArguments);
  assert.equal(result.status, status, `ashlar ${commandArguments.join(" ")}: ${result.stderr}`);
  return result.stderr;
}

function jsonLines(stdout: string): Array<Record<string, unknown>> {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

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
    cluster = await StartedCluster.start({ masters: 1, chunkservers: 3 });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it("prints JSON with a schema for every command", async () => {
    await writeFile(local("j"), "json");
    const check = async (command: string, ...rest: string[]): Promise<void> => {
      const lines = jsonLines(await ok(...command.split(" "), "--json", ...rest));
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
    await Promise.all([ok("chmod", "600", "/j/a"), ok("chown", "7:8", "/j/a")]);
    assert.equal(await ok("stat", "--format", "%a %u %g %b %n %F", "/j/a"), "600 7 8 4 a file\n");
  });

  it("exits with the status of the error and prints the error on stderr", async () => {
    await Promise.all([
      fails(3, "cat", "/missing"),
      fails(2, "cat", "relative"),
      fails(2, "ls", "--nosuch"),
      fails(2, "--cluster", "127.0.0.1:1,", "ls"),
      fails(6, "mkdir", "/j"),
      fails(6, "rmdir", "/j"),
      fails(6, "put", "j", "/j/a"),
      fails(3, "put", "nosuch", "/x"),
      fails(6, "mkdir", "/j/a/below"),
      fails(8, "cat", "/missing", "/j/a"),
    ]);
    assert.equal(
      await fails(3, "stat", "/missing/below"),
      "ashlar: No such file or directory: /missing\n",
    );
    assert.match(
      await fails(5, "--cluster", "127.0.0.1:1", "--timeout", "1s", "ls"),
      /^ashlar: Cannot reach any master \(127\.0\.0\.1:1: connection refused\); is the cluster running\?\n/,
    );
    const { error } = JSON.parse(await fails(3, "--json", "stat", "/missing"));
    assert.deepEqual([error.code, error.retry], ["NOT_FOUND", "never"]);
  });

  it("puts and gets a tree with names of every kind unchanged", async () => {
    const made = await bash(String.raw`
      mkdir -p names/$'\xff\xfe dir' names/empty
      printf 1 > names/$'line\nend'; printf 2 > names/$'\xff\xfe dir/\x80'
      printf 3 > names/'q"'\''\'; printf 4 > names/-dash; : > names/zero; printf 5 > names/' '
      printf 6 > 'names/[a]*?{b}'; printf 7 > names/ü
      $A put -r names /names && $A get -r /names names.back && diff -r names names.back
      $A put names/$'\xff\xfe dir/' -r /names2 && $A cat /names2/$'\x80'
      $A rm /names/$'\xff\xfe dir'/$'\x80' && $A rmdir /names/$'\xff\xfe dir' && $A cat '/names/[a]*?{b}'`);
    assert.deepEqual([made.status, made.stdout], [0, "26"], made.stderr);
    const listed = jsonLines(await ok("ls", "--json", "/names"));
    assert.ok(listed.some(({ path }) => path === "/names/line\nend"));
    assert.match(await ok("ls", "/names"), /^line\\nend$/m);
  });

  it("reads from standard input and writes to standard output", async () => {
    const bytes = Buffer.alloc(9_000_000, "stream of bytes ");
    const put = await withInput(bytes, "put", "-", "/stdin");
    assert.equal(put.status, 0, put.stderr);
    assert.equal((await ok("get", "/stdin", "-")).length, bytes.length);
    assert.equal(await ok("cat", "--offset", "7", "--length", "9", "/stdin"), "of bytes ");
    assert.equal(await ok("get", "--range", "0-5", "/stdin", "-"), "stream");
    assert.equal(await ok("get", "--range=-6", "/stdin", "-"), bytes.subarray(-6).toString());
    const piped = await bash("set -o pipefail; $A cat /stdin | head -c 4");
    assert.deepEqual([piped.status, piped.stdout, piped.stderr], [0, "stre", ""]);
    const full = await bash("$A cat /stdin > /dev/full");
    assert.equal(full.status, 1);
  });

  it("prints the BLAKE3 of a file and checks a list of checksums", async () => {
    const blake3 = toHex(createHasher().hasher.hash(Buffer.from("json")));
    const line = await ok("checksum", "/j/a");
    assert.equal(line, `${blake3}  /j/a\n`);
    assert.equal((await withInput(line, "checksum", "--check", "-")).stdout, "/j/a: OK\n");
    const wrong = await withInput(`${"0".repeat(64)}${line.slice(64)}`, "checksum", "-c", "-");
    assert.deepEqual([wrong.status, wrong.stdout], [7, "/j/a: FAILED\n"]);
    await fails(7, "put", "--force", "--checksum", `blake3:${"0".repeat(64)}`, "j", "/j/a");
    await ok("put", "--force", "--checksum", `blake3:${blake3}`, "j", "/j/a");
  });

  it("does not publish a file that changes while it is read", async () => {
    await writeFile(local("changing"), Buffer.alloc(64 * 1024 * 1024));
    const child = start(["put", "changing", "/changing"]);
    child.stdin?.end();
    const writer = setInterval(() => appendFile(local("changing"), "more").catch(() => {}), 5);
    const { status, stderr } = await resultOf(child);
    clearInterval(writer);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /the file changed while it was read/);
    assert.equal(await pathExists("/changing"), false);
  });

  it("does not publish a put that is interrupted or exceeds its deadline", async () => {
    for (const [signal, status] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const child = start(["put", "-", "/interrupted"]);
      child.stdin?.on("error", () => {});
      // More than a pipe buffers: when the write is done, the command is reading.
      await new Promise((resolve) => child.stdin?.write(Buffer.alloc(3_000_000), resolve));
      child.kill(signal);
      assert.equal((await resultOf(child)).status, status);
    }
    const slow = start(["put", "--deadline", "500ms", "-", "/interrupted"]);
    slow.stdin?.on("error", () => {});
    slow.stdin?.write("x");
    assert.equal((await resultOf(slow)).status, 124);
    assert.equal(await pathExists("/interrupted"), false);
  });

  it("asks before it removes a tree, and fails without a terminal", async () => {
    await cluster.fileSystem.mkdir("/rm/d/e", { parents: true });
    const [asked, directory, dry] = await Promise.all([
      fails(2, "rm", "-r", "/rm"),
      fails(6, "rm", "/rm"),
      ok("rm", "-r", "--dry-run", "/rm"),
      fails(2, "rm", "-r", "--yes", "/"),
    ]);
    assert.match(asked, /--yes/);
    assert.match(directory, /rm -r/);
    assert.equal(dry, "would remove /rm\n");
    assert.equal(await pathExists("/rm/d/e"), true);
    await ok("rm", "-r", "--yes", "/rm");
    assert.equal(await pathExists("/rm"), false);
    await Promise.all([fails(3, "rm", "/rm"), ok("rm", "-f", "/rm")]);
  });

  it("expands patterns in the cluster", async () => {
    await cluster.fileSystem.mkdir("/g/x/y", { parents: true });
    for (const path of ["/g/1.txt", "/g/2.txt", "/g/3.log", "/g/x/4.txt", "/g/x/y/5.txt"]) {
      await cluster.fileSystem.writeFile(path, path);
    }
    const prints = async (pattern: string, expected: string): Promise<void> => {
      assert.equal(await ok("cat", pattern), expected, pattern);
    };
    await mkdir(local("got"));
    await Promise.all([
      prints("/g/*.txt", "/g/1.txt/g/2.txt"),
      prints("/g/**/*.txt", "/g/1.txt/g/2.txt/g/x/4.txt/g/x/y/5.txt"),
      prints("/g/[13].*", "/g/1.txt/g/3.log"),
      prints("/g/{2.txt,x/4.txt}", "/g/2.txt/g/x/4.txt"),
      fails(3, "cat", "/g/*.nothing"),
      fails(3, "cat", "--no-glob", "/g/*.txt"),
      ok("get", "/g/*.txt", "got"),
    ]);
    assert.deepEqual(await readdir(local("got")), ["1.txt", "2.txt"]);
  });

  it("copies by reference and moves files into directories", async () => {
    await cluster.fileSystem.mkdir("/moved");
    await Promise.all([
      ok("cp", "/stdin", "/stdin.copy"),
      ok("cp", "-r", "/g/x", "/x.copy"),
      fails(6, "cp", "/g", "/g.copy"),
      fails(2, "cp", "-r", "/g", "/g/x/again"),
      fails(2, "mv", "/g", "/g/x/again"),
    ]);
    const roots = await ok("checksum", "--root", "/stdin.copy", "/stdin");
    const [copy, original] = roots.split("\n").map((line) => line.slice(0, 64));
    assert.equal(copy, original);
    assert.equal(await ok("cat", "/x.copy/y/5.txt"), "/g/x/y/5.txt");
    await ok("mv", "/g/1.txt", "/g/2.txt", "/moved");
    // Fails before the first move: a target that is a file takes one source only.
    await fails(6, "mv", "/g/3.log", "/g/x", "/moved/1.txt");
    await fails(6, "mv", "--no-clobber", "/g/3.log", "/moved/1.txt");
    assert.equal(await ok("ls", "/moved"), "1.txt\n2.txt\n");
  });

  it("skips files with the same content with --resume", async () => {
    await mkdir(local("resume/below"), { recursive: true });
    await writeFile(local("resume/a"), "a");
    await writeFile(local("resume/below/b"), Buffer.alloc(2_000_000, "b"));
    await ok("put", "-r", "resume", "/resume");
    const stderr = (await ashlar("put", "-r", "--resume", "resume/.", "/resume")).stderr;
    assert.match(stderr, /put 0 files.*2 skipped/);
    await writeFile(local("resume/a"), "changed");
    assert.match(
      (await ashlar("put", "-r", "--resume", "resume/.", "/resume")).stderr,
      /put 1 file,.*1 skipped/,
    );
    await ok("get", "-r", "/resume", "resumed");
    assert.match(
      (await ashlar("get", "-r", "--resume", "/resume/.", "resumed")).stderr,
      /2 skipped/,
    );
    assert.match(
      await ok("put", "-r", "--dry-run", "resume", "/none"),
      /would put resume\/a at \/none\/a/,
    );
    assert.equal(await pathExists("/none"), false);
    await fails(8, "get", "-r", "/resume/.", "resumed");
  });

  it("keeps mode and times with --preserve, and reads names with --files-from", async () => {
    const path = local("kept");
    await writeFile(path, "kept", { mode: 0o640 });
    await ok("put", "-p", "kept", "/kept");
    await ok("get", "-p", "/kept", "kept.back");
    const [before, back] = await Promise.all([stat(path), stat(local("kept.back"))]);
    assert.equal(back.mode, before.mode);
    assert.equal(Math.round(back.mtimeMs), Math.round(before.mtimeMs));
    await cluster.fileSystem.mkdir("/listed");
    const given = await withInput("kept\0j\0", "put", "--files-from", "-", "-0", "/listed");
    assert.equal(given.status, 0, given.stderr);
    assert.equal(await ok("ls", "/listed"), "j\nkept\n");
    await ok("get", "/kept", "/dev/null");
    assert.ok((await stat("/dev/null")).isCharacterDevice());
  });

  it("lists and counts 10,000 files in one directory", async () => {
    await cluster.fileSystem.mkdir("/many");
    for (let from = 0; from < 10_000; from += 1_000) {
      const operations = Array.from({ length: 1_000 }, (_, at) => ({
        kind: "create" as const,
        target: targetOf(`/many/${from + at}`),
        mode: 0o644,
        uid: 0,
        gid: 0,
      }));
      await cluster.fileSystem.transact(operations);
    }
    assert.equal((await ok("ls", "/many")).split("\n").length - 1, 10_000);
    assert.equal((await ok("ls", "--limit", "7", "/many")).split("\n").length - 1, 7);
    const [usage] = jsonLines(await ok("du", "-s", "--json", "/many"));
    assert.deepEqual([usage?.["files"], usage?.["directories"]], [10_000, 1]);
  });

  it("puts, draws, gets and removes a tree that is 500 levels deep", async () => {
    const deep = `/deep${"/d".repeat(500)}`;
    await ok("mkdir", "-p", deep);
    assert.equal((await withInput("x", "put", "-", `${deep}/file`)).status, 0);
    assert.match(await ok("tree", "/deep"), /500 directories, 1 file\n$/);
    await ok("get", "-r", "/deep", "deep");
    assert.equal(await readFile(local(`deep${"/d".repeat(500)}/file`), "utf8"), "x");
    await ok("rm", "-r", "--yes", "/deep");
  });

  it("prints help on stdout, and wrong usage on stderr with status 2", async () => {
    const [help, topic, lss, bad, json, none] = await Promise.all([
      ashlar("help", "put"),
      ashlar("help", "exit-codes"),
      ashlar("lss"),
      ashlar("ls", "--nosuch"),
      ashlar("ls", "--json", "--limit", "x"),
      resultOf(start(["ls"], { ASHLAR_CLUSTER: "", ASHLAR_CONFIG: "/nonexistent" })),
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

  it("starts in any directory through a link on the PATH", async () => {
    await mkdir(local("bin"));
    await symlink(LAUNCHER, local("bin/ashlar"));
    const result = await bash('PATH="$PWD/bin:$PATH"; cd / && ashlar ls /j');
    assert.deepEqual([result.status, result.stdout], [0, "a\n"]);
  });
});
