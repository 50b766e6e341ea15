import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { nodePaths } from "../../../client/cli/cluster/layout.ts";
import { LocalCluster } from "../../../client/cli/cluster/local-cluster.ts";
import { createClusterFiles } from "../../../client/cli/cluster/node-files.ts";
import { EXIT_STATUS } from "../../../client/cli/exit-status.ts";
import { Output } from "../../../client/cli/output.ts";
import { ProgressBar } from "../../../client/cli/progress.ts";
import { runCommand } from "../../../client/cli/run-command.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { MemoryCliEnv, type MemoryCliOptions, runCli } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { eventually, LoopbackCluster } from "../support/loopback-cluster.ts";

/** Longer than the 2 s after which a terminal says what a command waits for. */
const DEADLINE = ["--deadline", "5s"];
const SHOWN_AFTER_MS = 2_500;
const CHUNKED_BYTES = 100_000;
const TERMINAL = { columns: 200 };
const silent = (): Readable => new Readable({ read: () => {} });

/** A wait: the command and what a terminal shows. */
interface WaitCase {
  readonly command: readonly string[];
  readonly shown: RegExp;
  readonly options?: MemoryCliOptions;
}

const WAITS: readonly WaitCase[] = [
  { command: ["put", "local", "/new"], shown: /is waiting for chunkservers for \d+ s: .*chunk/i },
  { command: ["cat", "/big"], shown: /is waiting for chunkservers for \d+ s: / },
  { command: ["get", "/big", "got"], shown: /is waiting for chunkservers for \d+ s: / },
  {
    command: ["put", "-", "/stdin"],
    shown: /is waiting for standard input for \d+ s/,
    options: { input: silent() },
  },
  { command: ["put", "fifo", "/fifo"], shown: /is waiting for fifo for \d+ s/ },
  { command: ["get", "/small", "fifo2"], shown: /is waiting for fifo2 for \d+ s/ },
  { command: ["put", "--files-from", "fifo", "/"], shown: /is waiting for fifo for \d+ s/ },
  { command: ["txn", "fifo"], shown: /is waiting for fifo for \d+ s/ },
  {
    command: ["checksum", "--check", "-"],
    shown: /is waiting for standard input for \d+ s/,
    options: { input: silent() },
  },
  { command: ["watch", "/"], shown: /watch: no change for \d+ s/ },
];

describe("a wait of a command", () => {
  let cluster: LoopbackCluster;
  let directory: TempDirectory;
  before(async () => {
    directory = await TempDirectory.make();
    cluster = await LoopbackCluster.start(1, {
      defaultCopies: 1,
      defaultCopiesMin: 1,
      defaultRacksMin: 1,
    });
    const fileSystem = await cluster.connect();
    const bytes = Buffer.alloc(CHUNKED_BYTES, 1);
    await fileSystem.writeFile("/big", bytes);
    await fileSystem.writeFile("/small", "small");
    await writeFile(join(directory.path, "local"), bytes);
    for (const name of ["fifo", "fifo2"]) execFileSync("mkfifo", [join(directory.path, name)]);
    await cluster.servers[0]?.stop();
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  it("is named on a terminal within 2 s", async () => {
    const variables = { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") };
    const where = { variables, workingDirectory: directory.path };
    await Promise.all(
      WAITS.map(async ({ command, shown, options }) => {
        const startMs = performance.now();
        const { stderr } = await runCli([...DEADLINE, ...command], {
          ...where,
          ...TERMINAL,
          ...options,
        });
        // A read of refused connections can fail earlier.
        if (performance.now() - startMs < SHOWN_AFTER_MS) return;
        assert.match(stderr, shown, `${command.join(" ")}: ${stderr}`);
      }),
    );
    const { stderr } = await runCli([...DEADLINE, "cat", "/big"], where);
    assert.doesNotMatch(stderr, /is waiting/);
  });
});

describe("the wait for a local cluster", () => {
  it("is named by cluster up and by cluster down", async () => {
    await using directory = await TempDirectory.make();
    const { path } = directory;
    const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
    const settings = { masterSettings: {}, chunkserverSettings: {} };
    await createClusterFiles(path, { masters: 1, chunkservers: 1, addresses, ...settings });
    const { execPath } = process;
    // A chunkserver without a credential waits for a join token of the masters.
    const { data } = nodePaths(path, "c1");
    await mkdir(data, { recursive: true });
    await writeFile(join(data, "credential.json"), "");
    const program = join(path, "never-serves");
    await writeFile(program, "#!/bin/sh\ntrap '' TERM\nexec sleep 600\n");
    await chmod(program, 0o755);
    process.execPath = program;
    const pids = async (): Promise<number[]> => {
      const states = await (await LocalCluster.open(path)).states();
      return states.flatMap(({ pid }) => pid ?? []);
    };
    const up = runCli(["cluster", "up", "--dir", path, "--wait", "3s"], TERMINAL);
    const { stderr } = await up.finally(() => {
      process.execPath = execPath;
    });
    await using _killed = {
      [Symbol.asyncDispose]: async () => {
        for (const pid of await pids()) process.kill(pid, "SIGKILL");
      },
    };
    assert.match(stderr, /is waiting for the cluster for \d+ s: /);
    assert.equal((await pids()).length, 2);
    const env = new MemoryCliEnv(TERMINAL);
    const { main } = await import("../../../client/cli/main.ts");
    const down = main(["cluster", "down", "--dir", path], env);
    for (const name of ["c1", "m1"]) {
      const text = new RegExp(`is waiting for the nodes to stop for \\d+ s: ${name}`);
      await eventually(`${name} is named`, () => text.test(env.stderr.text()));
      const record = JSON.parse(await readFile(nodePaths(path, name).process, "utf8"));
      process.kill((record as { pid: number }).pid, "SIGKILL");
    }
    assert.equal(await down, 0);
  });
});

describe("a command that is silent for another reason", () => {
  const clock = new SystemClock();
  const hang = (body: (signal: AbortSignal) => Promise<void>, options: MemoryCliOptions) => {
    const env = new MemoryCliEnv(options);
    const definition = {
      name: "hang",
      summary: "",
      examples: [],
      onClosedOutput: "continue" as const,
      load: () => Promise.resolve({ run: body as never }),
    };
    const globals = { json: false, quiet: false, verbosity: 0, verbose: 0, flags: {} };
    const invocation = { commandArguments: [], options: {}, globals };
    return { env, ended: runCommand(definition, invocation, { env, commands: [] }) };
  };

  it("says on a terminal that it works, and clears the line at its end", async () => {
    const sleep = () => clock.sleep(2_200);
    const shown = hang(sleep, TERMINAL);
    const hidden = hang(sleep, {});
    assert.deepEqual(await Promise.all([shown.ended, hidden.ended]), [
      EXIT_STATUS.done,
      EXIT_STATUS.done,
    ]);
    assert.match(shown.env.stderr.text(), /ashlar hang: working for \d+ s/);
    assert.ok(shown.env.stderr.text().endsWith("\r\x1b[K"));
    assert.equal(hidden.env.stderr.text(), "");
  });

  it("shows the reason in the progress bar, which has the line", async () => {
    const env = new MemoryCliEnv({ columns: 200 });
    const output = new Output(env, {
      json: false,
      quiet: false,
      verbosity: 0,
      color: "never",
      progress: "always",
      onClosed: "continue",
    });
    const bar = new ProgressBar({ env, output } as never, { title: "put", totalBytes: 100 });
    bar.update(10);
    output.showWait("is waiting for chunkservers");
    await clock.sleep(250); // The bar draws ten times a second.
    assert.match(env.stderr.text(), /put 10 B; is waiting for chunkservers/);
    const before = env.stderr.text().length;
    bar.update(20);
    await clock.sleep(250);
    assert.match(env.stderr.text().slice(before), /20 B\/100 B/);
    bar.end();
  });
});
