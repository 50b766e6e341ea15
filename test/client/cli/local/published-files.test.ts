import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { chmod, lstat, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { nodePaths } from "../../../../client/cli/cluster/layout.ts";
import { createClusterFiles } from "../../../../client/cli/cluster/node-files.ts";
import type { CommandContext } from "../../../../client/cli/command.ts";
import { run as runBackup } from "../../../../client/cli/commands/backup.ts";
import { Output } from "../../../../client/cli/output.ts";
import type { FileSystem } from "../../../../client/file-system.ts";
import { isAshlarError } from "../../../../shared/base/errors.ts";
import { publishFile } from "../../../../shared/platform/publish-file.ts";
import { jsonLines, MemoryCliEnv, runCli } from "../../../support/memory-cli-env.ts";
import { TempDirectory } from "../../../support/temp-directory.ts";
import { hasCode } from "../../../support/wire-fixture.ts";
import { LoopbackCluster } from "../../support/loopback-cluster.ts";

const MINE = "the only copy";

let directory: TempDirectory;
beforeEach(async () => {
  directory = await TempDirectory.make();
});
afterEach(() => directory[Symbol.asyncDispose]());

describe("a backup", () => {
  let cluster: LoopbackCluster;
  let fileSystem: FileSystem;
  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fileSystem = await cluster.connect();
    await fileSystem.writeFile("/file", "content");
  });
  after(() => cluster[Symbol.asyncDispose]());

  const backup = (...line: string[]) =>
    runCli(["backup", ...line], {
      variables: { ASHLAR_CLUSTER: cluster.masterAddresses.join(",") },
      workingDirectory: directory.path,
    });

  it("never replaces a file that appears while it is written", async () => {
    const path = join(directory.path, "masters.backup");
    const env = new MemoryCliEnv({ workingDirectory: directory.path });
    const output = new Output(env, {
      json: false,
      quiet: false,
      verbosity: 0,
      color: "never",
      progress: "never",
      onClosed: "continue",
    });
    const late: Partial<FileSystem> = {
      async *backup(options) {
        writeFileSync(path, MINE);
        yield* fileSystem.backup(options);
      },
    };
    const { signal } = new AbortController();
    const context = { env, output, signal, fileSystem: async () => late };
    await assert.rejects(
      () => runBackup(context as unknown as CommandContext, ["masters.backup"], {}),
      hasCode("ALREADY_EXISTS"),
    );
    assert.equal(await readFile(path, "utf8"), MINE);
    assert.deepEqual(await readdir(directory.path), ["masters.backup"]);
  });

  it("refuses an existing file, with --force keeps its mode and the links to it", async () => {
    const path = join(directory.path, "b");
    const link = join(directory.path, "link");
    await writeFile(path, MINE);
    await chmod(path, 0o640);
    await symlink("b", link);
    for (const name of ["b", "link"]) {
      const { status, stderr } = await backup(name);
      assert.equal(status, 6, stderr);
      assert.match(stderr, /--force/);
    }
    assert.equal(await readFile(path, "utf8"), MINE);
    const forced = await backup("--force", "link");
    assert.equal(forced.status, 0, forced.stderr);
    assert.ok((await lstat(link)).isSymbolicLink());
    assert.equal((await stat(path)).mode & 0o7777, 0o640);
    assert.equal((await backup("--verify", "b")).status, 0);
    assert.equal((await backup("new")).status, 0);
    assert.equal((await stat(join(directory.path, "new"))).mode & 0o7777, 0o600);
  });

  it("refuses --force with --verify, which writes no file", async () => {
    assert.equal((await backup("b")).status, 0);
    const { status, stderr } = await backup("--verify", "--force", "b");
    assert.equal(status, 2);
    assert.match(
      stderr,
      /Cannot use --force with --verify: expected one of them: --verify writes no file/,
    );
  });

  it("replaces no device, FIFO or directory, also with --force", async () => {
    execFileSync("mkfifo", [join(directory.path, "fifo")]);
    await symlink("/dev/null", join(directory.path, "device"));
    for (const [name, message] of [
      ["fifo", /not a regular file/],
      ["device", /not a regular file/],
      [".", /is a directory/],
    ] as const) {
      const { status, stderr } = await backup("--force", name);
      assert.notEqual(status, 0, name);
      assert.match(stderr, message);
    }
    assert.ok((await lstat(join(directory.path, "fifo"))).isFIFO());
    assert.ok((await stat("/dev/null")).isCharacterDevice());
    assert.deepEqual((await readdir(directory.path)).sort(), ["device", "fifo"]);
  });

  it("has a name of any bytes", async () => {
    const { status, stdout, stderr } = await backup("--json", "b\udcff");
    assert.equal(status, 0, stderr);
    const names = await readdir(directory.path, { encoding: "buffer" });
    assert.deepEqual(names, [Buffer.from("b\xff", "latin1")]);
    assert.equal(
      jsonLines(stdout)[0]?.["path_base64"],
      Buffer.from("b\xff", "latin1").toString("base64"),
    );
    assert.equal((await backup("--verify", "b\udcff")).status, 0);
  });
});

describe("publishFile", () => {
  it("keeps a file that has the name, and both names", async () => {
    const [temporary, path] = [join(directory.path, "temporary"), join(directory.path, "final")];
    await writeFile(temporary, "new");
    await writeFile(path, MINE);
    await assert.rejects(publishFile(temporary, path, { replace: false }), { code: "EEXIST" });
    assert.deepEqual(
      [await readFile(path, "utf8"), await readFile(temporary, "utf8")],
      [MINE, "new"],
    );
    await publishFile(temporary, path, { replace: true });
    assert.equal(await readFile(path, "utf8"), "new");
  });
});

describe("changes of one local file at the same time", () => {
  it("keep the names that every `cluster use` has given", async () => {
    const config = join(directory.path, "etc", "config.toml");
    const names = ["a", "b", "c"];
    const results = await Promise.all(
      names.map((name) =>
        runCli(["cluster", "use", name, "127.0.0.1:1"], { variables: { ASHLAR_CONFIG: config } }),
      ),
    );
    for (const { status, stderr } of results) assert.equal(status, 0, stderr);
    const text = await readFile(config, "utf8");
    for (const name of names) assert.match(text, new RegExp(`^${name} = `, "m"));
  });

  it("keep the configuration of a node that has no cluster.json", async () => {
    const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
    const settings = { masterSettings: {}, chunkserverSettings: {} };
    const plan = { masters: 1, chunkservers: 1, addresses, ...settings };
    await createClusterFiles(directory.path, plan);
    const { config } = nodePaths(directory.path, "m1");
    await writeFile(config, MINE);
    const hintOf = async (): Promise<string> => {
      const error = await createClusterFiles(directory.path, plan).catch(
        (thrown: unknown) => thrown,
      );
      assert.ok(isAshlarError(error, "ALREADY_EXISTS"));
      return error.hint ?? "";
    };
    assert.match(
      await hintOf(),
      /^m1 is not in cluster\.json and does not run\. Move .*\/m1 to another place$/,
    );
    assert.equal(await readFile(config, "utf8"), MINE);
    // The files of a node that runs are not moved.
    const record = JSON.stringify({ pid: process.pid, startTicks: null });
    await writeFile(nodePaths(directory.path, "m1").process, record);
    assert.match(
      await hintOf(),
      /^m1 is not in cluster\.json and runs: restore its entry there, or stop/,
    );
  });
});
