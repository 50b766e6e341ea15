import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createClusterFiles } from "../../../client/cli/cluster/node-files.ts";
import type { OptionValues } from "../../../client/cli/command.ts";
import { COMMANDS } from "../../../client/cli/command-table.ts";
import { runCli } from "../../support/memory-cli-env.ts";
import { CliCluster } from "../support/cli-cluster.ts";

/** Commands that only print: `ashlar ls | head` ends them early, and that is a success. */
const PRINTING = [
  "cat",
  "checksum",
  "cluster list",
  "cluster logs",
  "completion",
  "config show",
  "df",
  "du",
  "find",
  "head",
  "history",
  "ls",
  "master status",
  "stat",
  "tail",
  "tree",
  "version",
  "watch",
];

let cluster: CliCluster;

before(async () => {
  cluster = await CliCluster.start();
});
after(() => cluster[Symbol.asyncDispose]());

/** Runs a command whose stdout is closed from the first byte on. */
const closed = (...line: string[]) =>
  cluster.run(line, "", { stdoutEnd: { afterBytes: 0, errno: "EPIPE" } });

const onClosedOf = (name: string, options: OptionValues): string => {
  const found = COMMANDS.find((each) => each.name === name)?.onClosedOutput;
  return typeof found === "function" ? found(options) : String(found);
};

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `f${index}`);

/** Makes 12 files. @returns their paths */
async function makeFiles(top: string): Promise<string[]> {
  const paths = names(12).map((name) => `${top}/${name}`);
  await cluster.make(...paths);
  return paths;
}

const countBelow = async (path: string): Promise<number> => (await cluster.files(path)).length;

/** Commands that change something: how they run with 12 items, and how many items are done. */
const CHANGING: Readonly<
  Record<string, (top: string) => Promise<{ line: string[]; done: () => Promise<number> }>>
> = {
  put: async (top) => {
    await mkdir(join(cluster.work, top), { recursive: true });
    await Promise.all(names(12).map((name) => writeFile(join(cluster.work, top, name), name)));
    return { line: ["put", "-r", `.${top}`, top], done: () => countBelow(top) };
  },
  sync: async (top) => {
    await mkdir(join(cluster.work, top), { recursive: true });
    await Promise.all(names(12).map((name) => writeFile(join(cluster.work, top, name), name)));
    return { line: ["sync", `.${top}`, `ashlar:${top}`], done: () => countBelow(top) };
  },
  get: async (top) => {
    await makeFiles(top);
    const target = join(cluster.work, `got${top.slice(1)}`);
    return {
      line: ["get", "-r", top, target],
      done: async () => (await readdir(target)).length,
    };
  },
  mkdir: async (top) => ({
    line: ["mkdir", "-p", ...names(12).map((name) => `${top}/${name}`)],
    done: async () => (await listed(top)).length,
  }),
  rmdir: async (top) => {
    const paths = names(12).map((name) => `${top}/${name}`);
    await cluster.make(...paths.map((path) => `${path}/`));
    return { line: ["rmdir", ...paths], done: async () => 12 - (await listed(top)).length };
  },
  rm: async (top) => ({
    line: ["rm", ...(await makeFiles(top))],
    done: async () => 12 - (await countBelow(top)),
  }),
  mv: async (top) => {
    const paths = await makeFiles(top);
    await cluster.make(`${top}-to/`);
    return { line: ["mv", ...paths, `${top}-to`], done: () => countBelow(`${top}-to`) };
  },
  cp: async (top) => {
    await makeFiles(top);
    return { line: ["cp", "-r", top, `${top}-to`], done: () => countBelow(`${top}-to`) };
  },
  chmod: async (top) => ({
    line: ["chmod", "600", ...(await makeFiles(top))],
    done: async () => (await listed(top)).filter(({ mode }) => mode === 0o600).length,
  }),
  touch: async (top) => {
    await cluster.make(`${top}/`);
    const paths = names(12).map((name) => `${top}/${name}`);
    return { line: ["touch", ...paths], done: () => countBelow(top) };
  },
  chown: async (top) => ({
    line: ["chown", "7:7", ...(await makeFiles(top))],
    done: async () => (await listed(top)).filter(({ uid }) => uid === 7).length,
  }),
};

async function listed(directory: string): Promise<Array<{ mode: number; uid: number }>> {
  const found: Array<{ mode: number; uid: number }> = [];
  for await (const { attributes } of cluster.fs.list(directory)) found.push(attributes);
  return found;
}

describe("a closed stdout", () => {
  it("stops the commands that only print, and no other", () => {
    const stopped = COMMANDS.filter(({ name }) => onClosedOf(name, {}) === "stop");
    assert.deepEqual(stopped.map(({ name }) => name).sort(), PRINTING);
    assert.equal(onClosedOf("checksum", { check: "SUMS" }), "continue");
  });

  for (const [name, prepare] of Object.entries(CHANGING)) {
    it(`does not stop ${name}`, async () => {
      const { line, done } = await prepare(`/closed-${name}`);
      const { status, stderr } = await closed("-v", ...line, "--json");
      assert.deepEqual([status, await done()], [0, 12], stderr);
    });
  }

  it("does not change the status of failed items", async () => {
    const [first = "", second = ""] = await makeFiles("/closed-failed");
    const { status } = await closed("rm", "--json", first, "/closed-failed/none", second);
    assert.equal(status, 8);
    assert.equal(await countBelow("/closed-failed"), 10);
    assert.equal((await closed("mkdir", "--json", "/closed-failed")).status, 6);
    assert.equal((await closed("cat", "/closed-failed/none")).status, 3);
    assert.equal((await closed("cat", "/closed-failed/none", "/closed-failed/f9")).status, 8);
  });

  it("is a success of commands that print", async () => {
    const paths = await makeFiles("/closed-print");
    const lines = [
      ["ls", "-l", "/closed-print"],
      ["stat", ...paths],
      ["cat", ...paths],
      ["get", "-q", ...paths.slice(0, 1), "-"],
      ["du", "/closed-print"],
      ["find", "/closed-print"],
      ["head", ...paths],
      ["tail", ...paths],
      ["tree", "/closed-print"],
      ["history", ...paths],
      ["checksum", ...paths],
      ["df"],
      ["master", "status"],
      ["completion", "bash"],
      ["version"],
      ["config", "show"],
    ];
    for (const line of lines) {
      const { status, stderr } = await closed(...line);
      assert.deepEqual([status, stderr], [0, ""], line.join(" "));
    }
  });

  it("lets a watch continue at the event that was not written", async () => {
    const { index } = await cluster.fs.writeFile("/closed-watch", "x");
    const { status, stderr } = await closed("watch", "--from", String(index), "/");
    assert.deepEqual(
      [status, stderr.split("\n").at(-2)],
      [0, `To continue from here: --from ${index}:0`],
    );
  });

  it("does not hide the damage that checksum --check finds, first or last", async () => {
    await makeFiles("/closed-sums");
    const { stdout } = await cluster.exits(0, "checksum", "/closed-sums/*");
    for (const position of [0, 11]) {
      const lines = stdout.trimEnd().split("\n");
      lines[position] = `${"0".repeat(64)}${lines[position]?.slice(64)}`;
      const input = lines.join("\n");
      for (const afterBytes of [0, 30, 100]) {
        const options = { stdoutEnd: { afterBytes, errno: "EPIPE" } };
        const { status } = await cluster.run(["checksum", "--check", "-"], input, options);
        assert.equal(status, 7);
      }
    }
    // A missing file does not hide it either.
    const input = `${"0".repeat(64)}  /closed-sums/f1\n${"0".repeat(64)}  /closed-sums/none\n`;
    assert.equal((await cluster.run(["checksum", "--check", "-"], input)).status, 7);
  });

  it("does not hide that a node is down from cluster status", async () => {
    const directory = join(cluster.work, "down");
    const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
    const settings = { masterSettings: {}, chunkserverSettings: {} };
    await createClusterFiles(directory, { masters: 1, chunkservers: 1, addresses, ...settings });
    assert.equal((await closed("cluster", "status", "--dir", directory)).status, 1);
  });

  it("is no error of the help", async () => {
    const stdoutEnd = { afterBytes: 0, errno: "EPIPE" };
    for (const line of [["--help"], ["ls", "--help"], ["help", "exit-codes"], ["--version"]]) {
      const { status, stderr } = await runCli(line, { stdoutEnd });
      assert.deepEqual([status, stderr], [0, ""], line.join(" "));
    }
  });
});

describe("a stdout that cannot be written", () => {
  it("is an error of every command, after the work of one that changes something", async () => {
    const options = { stdoutEnd: { afterBytes: 0, errno: "ENOSPC" } };
    const paths = await makeFiles("/full");
    for (const line of [
      ["ls", "/full"],
      ["cat", ...paths],
      ["rm", "--json", ...paths],
    ]) {
      const { status, stderr } = await cluster.run(line, "", options);
      assert.equal(status, 6, line.join(" "));
      assert.equal(stderr, stderr.slice(0, stderr.indexOf("\n") + 1), "one error");
      assert.match(stderr, /Cannot write standard output: no space left on device/);
    }
    assert.equal(await countBelow("/full"), 0);
  });
});

describe("a closed stderr", () => {
  const isStderrClosed = true;

  it("changes no status", async () => {
    const statuses = [
      [3, "cat", "/none"],
      [3, "rm", "/none"],
      [8, "rm", "/none", "/none2"],
      [2, "mkdir", "relative"],
      [2, "mkdir"],
      [2, "--wrong"],
      [2, "help", "nothing"],
      [0, "mkdir", "-v", "-p", "/err"],
    ] as const;
    for (const [expected, ...line] of statuses) {
      const { status } = await cluster.run([...line], "", { isStderrClosed });
      assert.equal(status, expected, line.join(" "));
    }
  });

  it("does not stop put -v and get -v", async () => {
    for (const name of ["put", "get"]) {
      const prepared = await CHANGING[name]?.(`/err-${name}`);
      assert.ok(prepared !== undefined);
      const line = ["-v", "--progress", "always", ...prepared.line];
      const { status } = await cluster.run(line, "", { isStderrClosed });
      assert.deepEqual([status, await prepared.done()], [0, 12]);
    }
  });
});
