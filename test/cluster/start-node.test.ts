import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runningPid } from "../../client/cli/cluster/node-process.ts";
import { HEAL_TIMEOUT_MS, StartedCluster } from "../support/started-cluster.ts";

const MASTERS = ["m1", "m2", "m3"];

describe("`cluster start`", () => {
  let started: StartedCluster;
  before(async () => {
    started = await StartedCluster.start({ masters: 3, chunkservers: 1 });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  /** Checks that a node serves now, without a wait. */
  async function assertServes(name: string): Promise<void> {
    const response = await fetch(`http://${started.cluster.node(name).http}/readyz`);
    assert.equal(response.status, 200, await response.text());
  }

  it("returns when the node serves: a chunkserver is registered, a master knows the leader", async () => {
    for (const name of ["c1", "m1"]) {
      await started.ok("cluster", "kill", name);
      const answer = JSON.parse(await started.ok("cluster", "start", name, "--json"));
      await assertServes(name);
      const pid = await runningPid(started.cluster.directory, started.cluster.node(name));
      assert.deepEqual(answer, {
        schema: "ashlar.cluster-start/1",
        node: name,
        pid,
        is_serving: true,
      });
    }
  });

  it("fails as soon as the process exits, with its status and the end of its log", async () => {
    const path = join(started.cluster.directory, "c1", "config.toml");
    const config = await readFile(path, "utf8");
    await started.ok("cluster", "kill", "c1");
    await writeFile(path, `${config}\nunknownKey = 1\n`);
    const stderr = await started.fails(5, "cluster", "start", "c1", "--wait", "1m");
    await writeFile(path, config);
    const text =
      /^ashlar: c1 exited with status 2 while it was starting; the end of its log:\n {2}/;
    assert.match(stderr, text);
    assert.match(stderr, /unknownKey/);
    await started.ok("cluster", "start", "c1");
  });

  it("says at the deadline what the node lacks, and keeps it running", async () => {
    await started.ok("cluster", "kill", "c1");
    for (const name of MASTERS) await started.cluster.kill(name, "SIGSTOP");
    try {
      const stderr = await started.fails(124, "cluster", "start", "c1", "--wait", "500ms");
      assert.match(
        stderr,
        /^ashlar: Cannot start c1 in .* within 500 ms: \S.*; its process keeps running\n/,
      );
      assert.match(stderr, /hint: ashlar cluster logs --dir .* c1\n/);
    } finally {
      for (const name of MASTERS) await started.cluster.kill(name, "SIGCONT");
    }
    await started.cluster.waitUntilServing({ timeoutMs: HEAL_TIMEOUT_MS });
  });

  it("does not wait for masters that do not run, and names them", async () => {
    for (const name of MASTERS) await started.ok("cluster", "kill", name);
    const { status, stderr } = await started.run("cluster", "start", "m1");
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^m1 is running as process \d+\n/);
    assert.match(
      stderr,
      /\nm1 does not serve yet: the masters have no majority: m2, m3 do not run; to start them: ashlar cluster up --dir /,
    );
    await started.ok("cluster", "start", "m2");
    await assertServes("m2");
    await started.ok("cluster", "start", "m3");
    await assertServes("m3");
  });

  it("does not wait with --wait 0", async () => {
    for (const name of MASTERS) await started.cluster.kill(name, "SIGSTOP");
    try {
      await started.ok("cluster", "kill", "c1");
      const answer = JSON.parse(
        await started.ok("cluster", "start", "c1", "--wait", "0", "--json"),
      );
      assert.equal(answer.is_serving, false);
    } finally {
      for (const name of MASTERS) await started.cluster.kill(name, "SIGCONT");
    }
  });

  it("fails at once for a master that was removed from the cluster", async () => {
    await started.ok("master", "remove", "3");
    await started.ok("cluster", "kill", "m3");
    const stderr = await started.fails(5, "cluster", "start", "m3", "--wait", "10m");
    assert.match(
      stderr,
      /^ashlar: Cannot start m3 in .*: it was removed from the cluster; its process/,
    );
  });
});
