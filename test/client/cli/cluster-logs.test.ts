import assert from "node:assert/strict";
import { appendFile, readdir, readlink, truncate, writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { nodePaths } from "../../../client/cli/cluster/layout.ts";
import { createClusterFiles } from "../../../client/cli/cluster/node-files.ts";
import type { CommandContext } from "../../../client/cli/command.ts";
import { run } from "../../../client/cli/commands/cluster-logs.ts";
import { main } from "../../../client/cli/main.ts";
import { MemoryCliEnv, runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { eventually } from "../support/loopback-cluster.ts";

let directory: TempDirectory;

before(async () => {
  directory = await TempDirectory.make();
  const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
  const settings = { masterSettings: {}, chunkserverSettings: {} };
  const plan = { masters: 1, chunkservers: 1, addresses, ...settings };
  await createClusterFiles(directory.path, plan);
});
after(() => directory[Symbol.asyncDispose]());

const logOf = (node: string): string => nodePaths(directory.path, node).log;

/** Prints logs. @returns the lines */
async function logs(...line: string[]): Promise<string[]> {
  const result = await runCli(["cluster", "logs", "--dir", directory.path, ...line]);
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.split("\n").slice(0, -1);
}

/** Returns whether this process has the file open: /proc/self/fd in proc(5). */
async function isOpen(path: string): Promise<boolean> {
  const descriptors = await readdir("/proc/self/fd");
  const targets = descriptors.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ""));
  return (await Promise.all(targets)).includes(path);
}

describe("cluster logs", () => {
  it("prints the last lines, none for 0, and nothing of a node without a log", async () => {
    await writeFile(logOf("m1"), "1\n2\n\n4\nnot ended");
    assert.deepEqual(await logs(), ["m1: 1", "m1: 2", "m1: ", "m1: 4", "m1: not ended"]);
    assert.deepEqual(await logs("m1", "-n", "3"), ["", "4", "not ended"]);
    assert.deepEqual(await logs("m1", "-n", "0"), []);
    assert.deepEqual(await logs("c1"), []);
  });

  it("reads only the end of a log of any size", async () => {
    await writeFile(logOf("m1"), "first\n");
    await truncate(logOf("m1"), 2 ** 40);
    await appendFile(logOf("m1"), "\nnext to last\nlast\n");
    assert.deepEqual(await logs("m1", "-n", "2"), ["next to last", "last"]);
  });

  it("--follow loses no line that is added while the last lines are printed", async () => {
    await writeFile(logOf("m1"), "ready\n");
    const long = `${"a".repeat(64 * 1024 - 1)}ü`; // Longer than one read, which splits the ü.
    const stop = new AbortController();
    const lines: string[] = [];
    const line = async (text: string): Promise<void> => {
      lines.push(text);
      if (text === "ready") await appendFile(logOf("m1"), `late\n${long}\n`);
      if (text === long) stop.abort();
    };
    const { signal } = stop;
    const context = { env: new MemoryCliEnv(), output: { line }, signal };
    const options = { dir: directory.path, lines: 10, follow: true };
    const running = run(context as unknown as CommandContext, ["m1"], options).catch(() => {});
    await eventually("the last line is printed", () => lines.length === 3);
    await running;
    assert.deepEqual(lines, ["ready", "late", long]);
  });

  it("--follow ends with status 130 at Ctrl-C", async () => {
    await writeFile(logOf("m1"), "ready\n");
    const env = new MemoryCliEnv();
    const status = main(["cluster", "logs", "--dir", directory.path, "m1", "--follow"], env);
    await eventually("a line is printed", () => env.stdout.text() === "ready\n");
    env.signals.emit("SIGINT");
    assert.deepEqual([await status, env.stderr.text()], [130, ""]);
  });

  it("--follow fails and closes all logs when one log does not exist", async () => {
    await writeFile(logOf("m1"), "ready\n");
    const output = { line: async () => {} };
    const { signal } = new AbortController();
    const context = { env: new MemoryCliEnv(), output, signal } as unknown as CommandContext;
    const options = { dir: directory.path, lines: 10, follow: true };
    await assert.rejects(async () => run(context, [], options), hasCode("NOT_FOUND"));
    assert.equal(await isOpen(logOf("m1")), false);
  });
});
