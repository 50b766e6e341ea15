import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import type { CommandContext } from "../../../../client/cli/command.ts";
import { EXIT_STATUS } from "../../../../client/cli/exit-status.ts";
import { makeDirectories } from "../../../../client/cli/local/make-directories.ts";
import { remotePath } from "../../../../client/cli/remote-paths.ts";
import type { FileSystem } from "../../../../client/file-system.ts";
import { runCli } from "../../../support/memory-cli-env.ts";
import { TempDirectory } from "../../../support/temp-directory.ts";
import { LoopbackCluster } from "../../support/loopback-cluster.ts";
import { Relay } from "../../support/relay.ts";

const pathOf = (text: string) => remotePath(Buffer.from(text));

describe("the directories of put -r", () => {
  let cluster: LoopbackCluster;
  let fileSystem: FileSystem;
  let relay: Relay;
  let work: TempDirectory;

  before(async () => {
    cluster = await LoopbackCluster.start(0);
    fileSystem = await cluster.connect();
    await fileSystem.mkdir("/first");
    relay = await Relay.start(cluster.masterAddresses[0] as string);
  });
  after(async () => {
    await relay[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
    await work[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await work?.[Symbol.asyncDispose]();
    work = await TempDirectory.make();
    for await (const { name } of fileSystem.list("/")) {
      await fileSystem.removeTree(Buffer.concat([Buffer.from("/"), name]));
    }
    relay.methods.length = 0;
  });

  const put = (...words: string[]) =>
    runCli(["put", "-r", ...words], {
      workingDirectory: work.path,
      variables: { ASHLAR_CLUSTER: relay.address },
    });

  async function pathsBelow(path: string): Promise<string[]> {
    const found: string[] = [];
    for await (const entry of fileSystem.walk(path)) found.push(entry.path);
    return found;
  }

  const context = (): CommandContext =>
    ({
      fileSystem: async () => fileSystem,
      signal: new AbortController().signal,
    }) as unknown as CommandContext;

  it("are made together: 400 of them take a few transactions", async () => {
    const expected: string[] = [];
    for (let outer = 0; outer < 20; outer += 1) {
      expected.push(`/t/d${outer}`);
      for (let inner = 0; inner < 19; inner += 1) {
        await mkdir(join(work.path, `t/d${outer}/e${inner}`), { recursive: true });
        expected.push(`/t/d${outer}/e${inner}`);
      }
    }
    const { status, stderr } = await put("t", "/t");
    assert.equal(status, 0, stderr);
    assert.deepEqual((await pathsBelow("/t")).sort(), expected.sort());
    const count = relay.methods.filter((name) => name === "namespace.transact").length;
    assert.ok(count <= 30, `${count} transactions`);
  });

  it("are made around one that exists and a file in the way, whose entries are left out", async () => {
    for (const name of ["a/x", "b/x", "c/x/y", "d"]) {
      await mkdir(join(work.path, "t", name), { recursive: true });
      await writeFile(join(work.path, "t", name, "f"), name);
    }
    await fileSystem.mkdir("/t/b", { parents: true, mode: 0o711 });
    await fileSystem.writeFile("/t/c", "in the way");
    const { status, stderr } = await put("-T", "t", "/t");
    assert.equal(status, EXIT_STATUS.partial, stderr);
    assert.deepEqual(
      stderr.split("\n").filter((line) => line.startsWith("ashlar:")),
      ["ashlar: Not a directory: /t/c"],
    );
    const expected = ["/t/a", "/t/a/x", "/t/a/x/f", "/t/b", "/t/b/x", "/t/b/x/f", "/t/c"];
    assert.deepEqual(await pathsBelow("/t"), [...expected, "/t/d", "/t/d/f"]);
    const { mode } = await fileSystem.stat("/t/b");
    assert.equal(mode, 0o711, "a directory that exists keeps its mode");
  });

  it("are reported one by one if their parent disappears meanwhile", async () => {
    await fileSystem.mkdir("/here");
    const directories = ["/gone/a", "/here/b", "/here/b/c", "/gone/a/d"].map((text) => ({
      target: pathOf(text),
      mode: 0o755,
    }));
    const results = await makeDirectories(context(), directories);
    assert.deepEqual(
      results.map(({ kind }) => kind),
      ["failed", "made", "made", "failed"],
    );
    assert.deepEqual(await pathsBelow("/here"), ["/here/b", "/here/b/c"]);
  });

  it("exist for each of two puts of one tree at the same time", async () => {
    for (let count = 0; count < 50; count += 1) {
      await mkdir(join(work.path, `t/d${count}/e`), { recursive: true });
    }
    await fileSystem.mkdir("/t");
    const results = await Promise.all([put("-T", "t", "/t"), put("-T", "t", "/t")]);
    for (const { status, stderr } of results) assert.equal(status, 0, stderr);
    assert.equal((await pathsBelow("/t")).length, 100);
  });

  it("are not made after a stop", async () => {
    const stop = new AbortController();
    const stopped = { ...context(), signal: stop.signal };
    stop.abort(new Error("stopped"));
    const directories = [
      { target: pathOf("/a"), mode: 0o755 },
      { target: pathOf("/b"), mode: 0o755 },
    ];
    await assert.rejects(makeDirectories(stopped, directories));
    assert.deepEqual(await pathsBelow("/"), []);
  });
});
