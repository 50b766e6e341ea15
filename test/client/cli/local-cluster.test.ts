import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { NodeExits, whileAllRun } from "../../../client/cli/cluster/exited-node.ts";
import { nodePaths } from "../../../client/cli/cluster/layout.ts";
import { createClusterFiles } from "../../../client/cli/cluster/node-files.ts";
import { startNode } from "../../../client/cli/cluster/node-process.ts";
import { main } from "../../../client/cli/main.ts";
import type { ClusterFile } from "../../../shared/platform/local-cluster-file.ts";
import { MemoryCliEnv } from "../../support/memory-cli-env.ts";
import { TempDirectory } from "../../support/temp-directory.ts";
import { hasCode } from "../../support/wire-fixture.ts";
import { eventually } from "../support/loopback-cluster.ts";

function makeFiles(directory: string): Promise<ClusterFile> {
  const addresses = [1, 2, 3, 4].map((port) => `127.0.0.1:${port}`);
  const settings = { masterSettings: {}, chunkserverSettings: {} };
  return createClusterFiles(directory, { masters: 1, chunkservers: 1, addresses, ...settings });
}

describe("a local cluster", () => {
  it("is not waited for after Ctrl-C", async () => {
    await using directory = await TempDirectory.make();
    const { nodes } = await makeFiles(directory.path);
    // The nodes run, as far as their files say, and never serve.
    const record = JSON.stringify({ pid: process.pid, startTicks: null });
    for (const { name } of nodes) await writeFile(nodePaths(directory.path, name).process, record);
    const env = new MemoryCliEnv();
    const line = ["cluster", "up", "--dir", directory.path, "--wait", "1h"];
    const status = main(line, env);
    await eventually("the command waits", () => env.stderr.text() !== "");
    env.signals.emit("SIGINT");
    assert.equal(await status, 130);
    assert.match(
      env.stderr.text(),
      /the nodes that were started run; to stop them: ashlar cluster/,
    );
  });

  it("ends a task that waits for a node whose process exits, however long the task would wait", async () => {
    await using directory = await TempDirectory.make();
    const { nodes } = await makeFiles(directory.path);
    const [node] = nodes;
    assert.ok(node !== undefined);
    const paths = nodePaths(directory.path, node.name);
    await writeFile(paths.log, "first\nlast words\n");
    const exits = new NodeExits();
    const child = spawn(process.execPath, ["-e", "process.stdin.resume()"]);
    exits.watch(node.name, child);
    await writeFile(paths.process, JSON.stringify({ pid: child.pid, startTicks: null }));
    const task = (signal: AbortSignal): Promise<never> => {
      child.kill("SIGKILL");
      return new Promise((_, reject) => {
        // The error of a cancelled call does not say why.
        signal.addEventListener("abort", () => reject(new Error("cancelled")));
      });
    };
    await assert.rejects(whileAllRun({ directory: directory.path, nodes: [node], exits }, task), {
      code: "UNAVAILABLE",
      message:
        "m1 was ended by SIGKILL while it was starting; the end of its log:\n  first\n  last words",
    });
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
