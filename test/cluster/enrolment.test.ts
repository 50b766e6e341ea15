import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { eventually } from "../client/support/loopback-cluster.ts";
import { LAUNCHER, StartedCluster } from "../support/started-cluster.ts";

describe("chunkservers that are started by hand", () => {
  let started: StartedCluster;
  before(async () => {
    started = await StartedCluster.start({ masters: 1, chunkservers: 1 });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  /** Starts a chunkserver on an empty or used directory. @returns its log when it has stopped */
  function startByHand(
    name: string,
    token?: string,
  ): { child: ChildProcess; log: Promise<string> } {
    const { work, cluster } = started;
    const flags = [
      ...["--data-dir", join(work, name), "--masters", cluster.masters.join(",")],
      ...["--listen", "127.0.0.1:0", "--http", "none", "--reserve-bytes", "0"],
    ];
    const { ASHLAR_JOIN_TOKEN: _, ...environment } = process.env;
    const env = token === undefined ? environment : { ...environment, ASHLAR_JOIN_TOKEN: token };
    const child = spawn(process.execPath, [LAUNCHER, "chunkserver", ...flags], { env });
    return { child, log: text(child.stdout) };
  }

  async function stop({ child, log }: ReturnType<typeof startByHand>): Promise<string> {
    child.kill("SIGTERM");
    if (child.exitCode === null) await once(child, "exit");
    return log;
  }

  async function untilLive(count: number): Promise<void> {
    await started.cluster.waitUntil(
      ({ chunkservers }) => {
        const live = chunkservers.filter(({ state }) => state === "live").length;
        return live === count ? null : `${live} of ${count} chunkservers are live`;
      },
      { timeoutMs: 60_000 },
    );
  }

  it("are refused without a token, join with one, and need none afterwards", async () => {
    const without = startByHand("x");
    let output = "";
    without.child.stdout?.on("data", (bytes: Buffer) => {
      output += bytes.toString();
    });
    await eventually("the refusal is logged", () => output.includes("NOT_ENROLLED"));
    const log = await stop(without);
    assert.match(log, /Run `ashlar server token`/);
    assert.equal((await started.fileSystem.status()).chunkservers.length, 1);

    const token = (await started.ok("server", "token", "--valid", "10m")).trim();
    const joined = startByHand("x", token);
    await untilLive(2);
    const joinedLog = await stop(joined);
    assert.ok(!joinedLog.includes(token), "the log has no secret");
    const again = startByHand("x");
    await untilLive(2);
    await stop(again);
  });

  it("get a token from `cluster up` that other users cannot see, and a file for the owner", async () => {
    const credential = join(started.dataDirectoryOf("c1"), "credential.json");
    assert.equal((await stat(credential)).mode & 0o777, 0o600);
    const state = (await started.cluster.states()).find(({ name }) => name === "c1");
    const commandLine = await readFile(`/proc/${state?.pid}/cmdline`, "utf8");
    assert.ok(!commandLine.includes("ashlar-join-"));
    const config = await readFile(join(started.cluster.directory, "c1", "config.toml"), "utf8");
    assert.ok(!config.includes("ashlar-join-"));
  });

  it("are not added while there are too many join tokens, which is said at once", async () => {
    const { enrolment } = started.fileSystem;
    const { tokens } = await enrolment.status();
    const missing = Array.from({ length: 64 - tokens.length }, () => enrolment.makeToken());
    await Promise.all(missing);
    const { status, stderr } = await started.run("cluster", "add", "chunkserver", "--json");
    assert.equal(status, 6, stderr);
    assert.match(stderr, /PRECONDITION_FAILED/);
    assert.match(
      stderr,
      /fewer than 64 valid tokens: current value is 64: revoke one \(ashlar server token revoke\)/,
    );
    assert.ok(!stderr.includes("TIMEOUT"), stderr);
    assert.equal(started.cluster.nodes.filter(({ role }) => role === "chunkserver").length, 1);
    await enrolment.revokeTokens("all");
  });

  it("see an open enrolment in `ashlar status`, until it is closed with a new key", async () => {
    assert.match(await started.ok("server", "enrolment", "open"), /^enrolment: open/);
    const { stdout } = await started.run("status");
    assert.match(stdout, /warning: chunkservers join without a token/);
    // The server of the first test is stopped: it is not live, so it does not prevent the closing.
    const closed = JSON.parse(await started.ok("server", "enrolment", "close", "--json"));
    assert.deepEqual([closed.is_open, closed.key_version], [false, 2]);
    await started.fileSystem.writeFile("/f", new Uint8Array(2 * 1024 * 1024));
    assert.ok(!(await started.run("status")).stdout.includes("join without a token"));
  });
});
