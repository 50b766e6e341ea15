import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { addNodeFiles } from "../../client/cli/cluster/node-files.ts";
import { runningPid, stopNode } from "../../client/cli/cluster/node-process.ts";
import { addFailure, undoAdd } from "../../client/cli/cluster/undo-add.ts";
import { main } from "../../client/cli/main.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import { type LocalNode, requireClusterFile } from "../../shared/platform/local-cluster-file.ts";
import type { ClusterStatus } from "../../shared/protocol/fleet-api.ts";
import { eventually } from "../client/support/loopback-cluster.ts";
import { MemoryCliEnv, runCli } from "../support/memory-cli-env.ts";
import { HEAL_TIMEOUT_MS, StartedCluster } from "../support/started-cluster.ts";

const ROLES = [
  { role: "chunkserver", name: "c2" },
  { role: "master", name: "m2" },
] as const;

/** Returns a call that answers `status` once and then fails. */
function firstThen(status: ClusterStatus, error: Error): () => Promise<ClusterStatus> {
  let calls = 0;
  return async () => {
    calls += 1;
    if (calls > 1) throw error;
    return status;
  };
}

describe("`cluster add` that fails", () => {
  let started: StartedCluster;
  before(async () => {
    started = await StartedCluster.start({ masters: 1, chunkservers: 1 });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  const filePath = (): string => join(started.cluster.directory, "cluster.json");
  const start = (name: string): Promise<number> => started.cluster.start(name);
  const add = (...words: string[]) =>
    runCli(["cluster", "add", "--dir", started.cluster.directory, ...words]);

  /** Checks that neither the file nor the directory has the node, and that it does not run. */
  async function assertGone(name: string, file: string): Promise<void> {
    assert.equal(await readFile(filePath(), "utf8"), file);
    assert.equal(existsSync(join(started.cluster.directory, name)), false, name);
    const node = { name } as LocalNode;
    assert.equal(await runningPid(started.cluster.directory, node), null, name);
  }

  for (const { role, name } of ROLES) {
    it(`leaves the directory as before: a ${role} that does not serve in time`, async () => {
      const file = await readFile(filePath(), "utf8");
      const { status, stderr } = await add(role, "--wait", "1ms");
      assert.ok(status === 124 || status === 5, `${status}: ${stderr}`);
      assert.match(stderr, /; [cm]2 was removed again: the cluster is as before\n/);
      await assertGone(name, file);
    });

    it(`leaves the directory as before: Ctrl-C while a ${role} starts`, async () => {
      const file = await readFile(filePath(), "utf8");
      const env = new MemoryCliEnv();
      const ended = main(["cluster", "add", "--dir", started.cluster.directory, role], env);
      const log = join(started.cluster.directory, name, "process.json");
      await eventually("the node is starting", () => existsSync(log));
      env.signals.emit("SIGINT");
      assert.equal(await ended, 130, env.stderr.text());
      assert.match(env.stderr.text(), /^[cm]2 was removed again: the cluster is as before\n/);
      await assertGone(name, file);
    });
  }

  for (const { role, name } of ROLES) {
    it(`fails as soon as the process of a ${role} exits, with its status and the end of its log`, async () => {
      const file = await readFile(filePath(), "utf8");
      // The process cannot make its data directory.
      await mkdir(join(started.cluster.directory, name));
      await writeFile(join(started.cluster.directory, name, "data"), "");
      const { status, stderr } = await add(role, "--wait", "30s");
      assert.equal(status, 5, stderr);
      const text = `^ashlar: ${name} exited with status 6 while it was starting; the end of its log:\n  `;
      assert.match(stderr, new RegExp(text));
      assert.match(stderr, /\/data/);
      assert.match(stderr, /; [cm]2 was removed again: the cluster is as before\n/);
      await assertGone(name, file);
    });
  }

  it("keeps a node that the masters know or can know, and names the command that continues", async () => {
    const { directory } = started.cluster;
    const [, server] = started.cluster.nodes;
    assert.ok(server?.role === "chunkserver");
    const file = await readFile(filePath(), "utf8");
    const status = await started.cluster.status(5_000);
    const silent = (): Promise<ClusterStatus> =>
      Promise.reject(new AshlarError("UNAVAILABLE", "Cannot reach any master"));
    for (const answer of [() => Promise.resolve(status), silent]) {
      const undone = await undoAdd({ directory, status: answer, start }, server);
      assert.ok(undone.kind === "kept");
      assert.match(undone.reason, /^the masters (know it|do not answer)/);
      assert.equal(await readFile(filePath(), "utf8"), file);
      const details = { limit: "members" };
      const failure = new AshlarError("UNAVAILABLE", "x", { details });
      const error = addFailure(server, { directory, error: failure, undone });
      assert.ok(error instanceof AshlarError);
      assert.equal(error.message, `x; c1 stays in the cluster: ${undone.reason}`);
      assert.equal(error.hint, `ashlar cluster up --dir ${directory}`);
      const outcome = `c1 stays in the cluster: ${undone.reason}`;
      assert.deepEqual(error.details, { ...details, outcome });
    }
    assert.notEqual(await runningPid(directory, server), null);
  });

  it("starts a node again that it has stopped and cannot remove", async () => {
    const { directory } = started.cluster;
    const [, server] = started.cluster.nodes;
    assert.ok(server?.role === "chunkserver");
    const file = await readFile(filePath(), "utf8");
    const pid = await runningPid(directory, server);
    const status = { ...(await started.cluster.status(5_000)), chunkservers: [] };
    const later = [new AshlarError("UNAVAILABLE", "Cannot reach any master"), new Error("a bug")];
    for (const error of later) {
      const answer = firstThen(status, error);
      const undone = await undoAdd({ directory, status: answer, start }, server);
      assert.equal(undone.kind, "kept");
    }
    assert.equal(await readFile(filePath(), "utf8"), file);
    const restarted = await runningPid(directory, server);
    assert.ok(restarted !== null && restarted !== pid, `${restarted}`);
  });

  it("reports why a node was not started again", async () => {
    const { directory } = started.cluster;
    const server = started.cluster.node("c1");
    const status = { ...(await started.cluster.status(5_000)), chunkservers: [] };
    const answer = firstThen(status, new Error("a bug"));
    const refuse = (): Promise<number> => Promise.reject(new Error("no process"));
    const undone = await undoAdd({ directory, status: answer, start: refuse }, server);
    assert.deepEqual(undone, { kind: "kept", reason: "a bug; it does not run: no process" });
    await start(server.name);
  });

  it("lets a process that SIGSTOP has stopped end in good order", async () => {
    const { directory } = started.cluster;
    const server = started.cluster.node("c1");
    await started.cluster.kill("c1", "SIGSTOP");
    assert.equal(await stopNode(directory, server), "stopped");
    await start(server.name);
  });

  it("removes the files of a node that cannot be recorded", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ashlar-test-"));
    try {
      const before = await requireClusterFile(started.cluster.directory);
      // The rename of the new cluster.json fails.
      await mkdir(join(directory, "cluster.json"));
      const added = { role: "chunkserver", addresses: ["127.0.0.1:1", "127.0.0.1:2"] } as const;
      await assert.rejects(addNodeFiles(directory, before, added), { code: "EISDIR" });
      assert.equal(existsSync(join(directory, "c2")), false);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("gives a master of a cluster without chunkservers a config that it accepts", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ashlar-test-"));
    try {
      const cluster = await requireClusterFile(started.cluster.directory);
      const before = { ...cluster, nodes: cluster.nodes.filter(({ role }) => role === "master") };
      const added = { role: "master", addresses: ["127.0.0.1:1", "127.0.0.1:2"] } as const;
      const { node } = await addNodeFiles(directory, before, added);
      const config = await readFile(join(directory, node.name, "config.toml"), "utf8");
      assert.match(config, /^defaultCopies = 1$/m);
      assert.match(config, /^defaultCopiesMin = 1$/m);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("makes nothing if the cluster does not serve", async () => {
    await started.cluster.kill("m1", "SIGTERM");
    const file = await readFile(filePath(), "utf8");
    for (const { role, name } of ROLES) {
      const { status, stderr } = await add(role);
      assert.equal(status, 5, stderr);
      assert.match(
        stderr,
        new RegExp(`^ashlar: Cannot add a ${role}: the cluster does not serve: `),
      );
      assert.match(stderr, /hint: ashlar cluster up --dir /);
      await assertGone(name, file);
    }
    await started.cluster.start("m1");
    await started.waitUntilHealthy();
  });
});

describe("`cluster add` to a cluster with a dead chunkserver", () => {
  it("waits only for the new node, which can replace the dead one", async () => {
    await using started = await StartedCluster.start({ masters: 1, chunkservers: 1 });
    await started.cluster.kill("c1", "SIGKILL");
    const { role, name } = await started.cluster.add("chunkserver", {
      basePort: 0,
      timeoutMs: HEAL_TIMEOUT_MS,
    });
    assert.deepEqual([role, name], ["chunkserver", "c2"]);
  });
});
