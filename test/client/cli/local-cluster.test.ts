import assert from "node:assert/strict";
import { readdir, readlink, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { createClusterFiles, nodePaths } from "../../../client/cli/cluster/layout.ts";
import { startNode } from "../../../client/cli/cluster/node-process.ts";
import type { CommandContext } from "../../../client/cli/command.ts";
import { run } from "../../../client/cli/commands/cluster-logs.ts";
import type { ClusterFile } from "../../../shared/platform/local-cluster-file.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";

function makeFiles(directory: string): Promise<ClusterFile> {
  const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
  const settings = { masterSettings: {}, chunkserverSettings: {} };
  return createClusterFiles(directory, { masters: 1, chunkservers: 1, addresses, ...settings });
}

/** Returns whether this process has the file open: /proc/self/fd in proc(5). */
async function isOpen(path: string): Promise<boolean> {
  const descriptors = await readdir("/proc/self/fd");
  const targets = descriptors.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ""));
  return (await Promise.all(targets)).includes(path);
}

describe("a local cluster", () => {
  it("ends `cluster logs --follow` and closes all logs when one log does not exist", async () => {
    await using directory = await TempDirectory.make();
    await makeFiles(directory.path);
    const { log } = nodePaths(directory.path, "m1");
    await writeFile(log, "ready\n");
    const output = { line: async () => {} };
    const { signal } = new AbortController();
    const context = { env: new MemoryCliEnv(), output, signal } as unknown as CommandContext;
    const options = { dir: directory.path, lines: 10, follow: true };
    await assert.rejects(async () => run(context, [], options), /ENOENT/);
    const endMs = performance.now() + 5_000;
    while (await isOpen(log)) assert.ok(performance.now() < endMs, "the other logs are closed");
  });

  it("reports a process that cannot be started", async () => {
    await using directory = await TempDirectory.make();
    const [node] = (await makeFiles(directory.path)).nodes;
    assert.ok(node !== undefined);
    const { execPath } = process;
    process.execPath = `${directory.path}/no-such-program`;
    try {
      await assert.rejects(startNode(directory.path, node), hasCode("INTERNAL"));
      await new Promise(setImmediate); // The child emits its error event in this turn.
    } finally {
      process.execPath = execPath;
    }
  });
});
