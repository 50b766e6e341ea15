import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { isAshlarError } from "../../shared/base/errors.ts";
import { jsonLines } from "../support/memory-cli-env.ts";
import { ROOT } from "../support/repository.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import { LAUNCHER, type StartedCluster } from "../support/started-cluster.ts";
import { TempDirectory } from "../support/temp-directory.ts";

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let cluster: StartedCluster;

async function resultOf(child: ChildProcess): Promise<Result> {
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr, status] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    ended,
  ]);
  return { status, stdout, stderr };
}

/** Runs a command as a process, with `input` in a pipe on standard input. */
function launch(input: string | Uint8Array, ...commandArguments: string[]): Promise<Result> {
  const child = cluster.start(...commandArguments);
  child.stdin.on("error", () => {}); // The command can exit without reading its input.
  child.stdin.end(input);
  return resultOf(child);
}

/** Runs a shell script. Only a shell can pass names that are not UTF-8. */
function bash(script: string): Promise<Result> {
  return resultOf(
    spawn("bash", ["-c", script], {
      cwd: cluster.work,
      env: { ...process.env, ...cluster.variables, A: LAUNCHER },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
}

async function isMissing(path: string): Promise<boolean> {
  try {
    await cluster.fileSystem.stat(path);
    return false;
  } catch (error) {
    assert.ok(isAshlarError(error, "NOT_FOUND"), String(error));
    return true;
  }
}

describe("a process of the CLI", () => {
  before(async () => {
    cluster = await shareCluster();
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it("puts and gets a tree with names of every kind unchanged", async () => {
    const made = await bash(String.raw`
      mkdir -p names/$'\xff\xfe dir' names/empty
      printf 1 > names/$'line\nend'; printf 2 > names/$'\xff\xfe dir/\x80'
      printf 3 > names/'q"'\''\'; printf 4 > names/-dash; : > names/zero; printf 5 > names/' '
      printf 6 > 'names/[a]*?{b}'; printf 7 > names/ü
      $A put -r names /names && $A get -r /names names.back && diff -r names names.back
      $A put names/$'\xff\xfe dir/' -r /names2 && $A cat /names2/$'\x80'
      $A rm /names/$'\xff\xfe dir'/$'\x80'`);
    assert.deepEqual([made.status, made.stdout], [0, "2"], made.stderr);
    // U+DC00 + byte is the text of a byte that is not UTF-8.
    await cluster.ok("rmdir", "/names/\udcff\udcfe dir");
    assert.equal(await cluster.ok("cat", "/names/[a]*?{b}"), "6");
    const listed = jsonLines(await cluster.ok("ls", "--json", "/names"));
    assert.ok(listed.some(({ path }) => path === "/names/line\nend"));
    assert.match(await cluster.ok("ls", "/names"), /^line\\nend$/m);
  });

  it("reads from standard input and writes to standard output", async () => {
    const bytes = Buffer.alloc(3_000_000, "stream of bytes ");
    const put = await launch(bytes, "put", "-", "/stdin");
    assert.equal(put.status, 0, put.stderr);
    assert.equal((await launch("", "get", "/stdin", "-")).stdout.length, bytes.length);
    const piped = await bash("set -o pipefail; $A cat /stdin | head -c 4");
    assert.deepEqual([piped.status, piped.stdout, piped.stderr], [0, "stre", ""]);
    const full = await bash("$A cat /stdin > /dev/full");
    assert.equal(full.status, 6, full.stderr); // NO_SPACE
  });

  it("exits with the status of the error, and does not wait for standard input", async () => {
    const missing = cluster.start("stat", "/missing/below");
    const { status, stdout, stderr } = await resultOf(missing);
    assert.deepEqual(
      [status, stdout, stderr],
      [3, "", "ashlar: No such file or directory: /missing\n"],
    );
  });

  it("does not publish a put that is interrupted or exceeds its deadline", async () => {
    for (const [signal, status] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const child = cluster.start("put", "-", "/interrupted");
      child.stdin.on("error", () => {});
      // More than a pipe buffers: when the write is done, the command is reading.
      await new Promise((resolve) => child.stdin.write(Buffer.alloc(3_000_000), resolve));
      child.kill(signal);
      assert.equal((await resultOf(child)).status, status);
    }
    const slow = cluster.start("put", "--deadline", "500ms", "-", "/interrupted");
    slow.stdin.on("error", () => {});
    slow.stdin.write("x");
    assert.equal((await resultOf(slow)).status, 124);
    assert.ok(await isMissing("/interrupted"));
  });

  it("publishes whole files in a sync that is killed, and the next sync completes it", async () => {
    const made = await bash(
      "mkdir -p big/d && for i in 1 2 3 4 5 6; do head -c 3000000 /dev/urandom > big/d/$i; done",
    );
    assert.equal(made.status, 0, made.stderr);
    const sides = [
      {
        source: "big",
        target: "ashlar:/big",
        compare: "$A get -q -r /big seen && diff -r big seen",
      },
      { source: "ashlar:/big", target: "big.back", compare: "diff -r big big.back" },
    ];
    for (const { source, target, compare } of sides) {
      const line = ["sync", "--json", "--parallel", "2", "--delete", "--yes", source, target];
      const child = cluster.start(...line);
      let stdout = "";
      for await (const piece of child.stdout.setEncoding("utf8")) {
        stdout += piece;
        if (stdout.includes('"kind":"file"')) child.kill("SIGKILL");
      }
      const { status } = await resultOf(child);
      assert.ok(status === null || status === 0, stdout); // It can end before the signal.
      // Every file that is visible is whole.
      const partial = await bash(`${compare}; rm -rf seen`);
      assert.doesNotMatch(partial.stdout, /differ/);
      const completed = jsonLines(await cluster.ok(...line)).at(-1);
      assert.ok(Number(completed?.["unchanged_count"]) >= 3, "what was published is kept");
      const whole = await bash(compare);
      assert.deepEqual([whole.status, whole.stdout], [0, ""], whole.stderr);
      assert.match(await cluster.ok("sync", "--dry-run", "-c", source, target), /^$/);
    }
  });

  it("does not remove a tree without a terminal to ask on", async () => {
    await cluster.fileSystem.mkdir("/rm/d", { parents: true });
    const { status, stderr } = await launch("y\n", "rm", "-r", "/rm");
    assert.equal(status, 2);
    assert.match(stderr, /standard input is not a terminal\n {2}hint: Pass --yes/);
    assert.equal(await isMissing("/rm/d"), false);
  });

  it("starts in any directory through a link on the PATH", async () => {
    await cluster.fileSystem.create("/linked");
    await mkdir(join(cluster.work, "bin"));
    await symlink(LAUNCHER, join(cluster.work, "bin/ashlar"));
    const result = await bash('PATH="$PWD/bin:$PATH"; cd / && ashlar ls /linked');
    assert.deepEqual([result.status, result.stdout], [0, "/linked\n"]);
  });

  it("keeps the state of a cluster through `cluster down` and `cluster up`", async () => {
    await cluster.fileSystem.writeFile("/over-night", "still here");
    await symlink(cluster.cluster.directory, join(cluster.work, "my $(touch x) cluster"));
    const up = `$A cluster up --dir "$PWD/my "'$(touch x)'" cluster"`;
    const restarted = await bash(
      `$A cluster down && line=$(${up}) && eval "$line" && $A cat /over-night && ! test -e x`,
    );
    assert.equal(restarted.stdout, "still here", restarted.stderr);
    const states = await cluster.cluster.states();
    assert.ok(states.every(({ pid }) => pid !== null));
  });
});

/** Modules that --help must not load: each adds tens of milliseconds to the start. */
const HEAVY =
  /node_modules\/(?:pino|prom-client|koa|lmdb|msgpackr|valibot|cli-table3|@opentelemetry)\//;

/** Returns the URLs of the modules that `ashlar` loads, from the V8 coverage (NODE_V8_COVERAGE). */
function modulesLoadedBy(...commandArguments: string[]): Promise<readonly string[]> {
  return modulesLoadedByNode(LAUNCHER, ...commandArguments);
}

async function modulesLoadedByNode(...nodeArguments: string[]): Promise<readonly string[]> {
  await using directory = await TempDirectory.make();
  const { status } = spawnSync(process.execPath, nodeArguments, {
    env: { ...process.env, ...cluster.variables, NODE_V8_COVERAGE: directory.path },
  });
  assert.equal(status, 0);
  const [name] = await readdir(directory.path);
  assert.ok(name !== undefined, "a coverage file");
  const coverage = JSON.parse(await readFile(join(directory.path, name), "utf8"));
  return coverage.result.map((script: { readonly url: string }) => script.url);
}

/** Modules that a daemon loads only when it starts: most of its modules depend on them. */
const HEAVY_OF_DAEMONS = /node_modules\/(?:prom-client|koa|lmdb|msgpackr|@opentelemetry)\//;

/** The compiled modules of the CLI, one file each, instead of the bundle. */
const MODULE_PROGRAM = `
const { main } = await import(${JSON.stringify(join(ROOT, "dist/client/cli/main.js"))});
process.exitCode = await main(process.argv.slice(1));
`;

/** Returns the paths of modules that are not part of Node. */
function filesOf(urls: readonly string[]): string[] {
  const files = urls.filter((url) => url.includes("/dist/") || url.includes("/node_modules/"));
  return files.map((url) => url.slice(url.search(/(?:dist|node_modules)\//)));
}

describe("the launcher", () => {
  it("loads no module to print the version", async () => {
    assert.deepEqual(filesOf(await modulesLoadedBy("--version")), []);
  });

  it("shows the help of a daemon with `help`", () => {
    const { stdout } = spawnSync(process.execPath, [LAUNCHER, "help", "gateway"], {
      encoding: "utf8",
    });
    assert.match(stdout, /^Usage: ashlar gateway /);
  });

  for (const command of [["--help"], ["stat", "/"], ["ls", "/"], ["mkdir", "-p", "/d"]]) {
    it(`loads one file to run \`${command.join(" ")}\``, async () => {
      assert.deepEqual(filesOf(await modulesLoadedBy(...command)), ["dist/client/cli/ashlar.cjs"]);
    });
  }

  it("loads no heavy module to print the help", async () => {
    const loaded = await modulesLoadedByNode(
      "--input-type=module",
      "-e",
      MODULE_PROGRAM,
      "--",
      "--help",
    );
    assert.ok(
      loaded.some((url) => url.includes("/dist/client/cli/")),
      "the CLI is loaded",
    );
    assert.deepEqual(
      loaded.filter((url) => HEAVY.test(url)),
      [],
    );
  });

  for (const role of ["master", "chunkserver", "gateway"]) {
    it(`loads no heavy module to print the help of ${role}`, async () => {
      const loaded = await modulesLoadedBy(role, "--help");
      assert.ok(loaded.some((url) => url.includes("/daemon-process.js")));
      assert.deepEqual(
        loaded.filter((url) => HEAVY_OF_DAEMONS.test(url)),
        [],
      );
    });
  }
});
