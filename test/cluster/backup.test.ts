import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { LocalCluster } from "../../client/cli/cluster/local-cluster.ts";
import { connect } from "../../client/connect.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { randomBytes } from "../../scripts/sample-tree.ts";
import { equalBytes } from "../../shared/base/bytes.ts";
import { runCli } from "../support/memory-cli-env.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import { runAshlar, type StartedCluster } from "../support/started-cluster.ts";

const MIB = 1024 * 1024;
/** Larger than an inline file. */
const CHUNKED_BYTES = 200_000;
const UP_TIMEOUT_MS = 60_000;

/** Writes inline files and files with chunks until `stop`, and records what was acknowledged. */
class FileLoad {
  /** Content by path. */
  readonly files = new Map<string, Uint8Array>();
  readonly #fileSystem: FileSystem;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let number = 1; !this.#isStopped; number += 1) {
      const bytes = randomBytes(number % 8 === 0 ? CHUNKED_BYTES : 100 + number, number);
      const path = `/load/f${number}`;
      await this.#fileSystem.writeFile(path, bytes);
      this.files.set(path, bytes);
    }
  }
}

describe("a backup of the masters", () => {
  let started: StartedCluster;
  before(async () => {
    started = await shareCluster({ masters: 3 });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  it("restores a cluster that lost all masters, with every change acknowledged before the backup", async () => {
    const { fileSystem, cluster, work } = started;
    const configOf = (node: string): string => join(cluster.directory, node, "config.toml");
    const backup = join(work, "masters.backup");
    await fileSystem.mkdir("/load");
    const load = new FileLoad(fileSystem);
    load.start();
    await waitFor(() => load.files.size >= 24);
    const before = new Map(load.files);
    const written = await started.run("backup", backup, "--json");
    assert.equal(written.status, 0, written.stderr);
    const sizeAfter = load.files.size;
    await waitFor(() => load.files.size >= sizeAfter + 10);
    await load.stop();

    await cluster.down();
    const masters = cluster.nodes.filter((node) => node.role === "master");
    assert.equal(masters.length, 3);
    for (const { name } of masters) await rm(started.dataDirectoryOf(name), { recursive: true });
    let flags: string[] = [];
    for (const { name } of masters) {
      const parameters = ["restore-cluster", backup, "--config", configOf(name), ...flags];
      const restored = await runAshlar(parameters);
      assert.equal(restored.status, 0, restored.stderr);
      // The first one draws the id of the restore, and prints the command for the others.
      if (flags.length > 0) continue;
      const restoreId = /--restore-id ([0-9a-f]{32})$/m.exec(restored.stdout)?.[1] ?? "";
      flags = ["--restore-id", restoreId];
    }
    // A second restore would overwrite the first.
    const again = await runAshlar(["restore-cluster", backup, "--config", configOf("m1")]);
    assert.equal(again.status, 6, again.stderr);

    const { directory } = cluster;
    const up = { directory, masters: 3, chunkservers: 1, basePort: 0, timeoutMs: UP_TIMEOUT_MS };
    await LocalCluster.up(up);
    const { masters: addresses, clusterId } = cluster;
    await using restored = await connect({ masters: addresses, clusterId });
    for (const [path, bytes] of before) {
      assert.ok(equalBytes(await restored.readFile(path), bytes), `${path} has its bytes`);
    }
    const verified = await started.run("verify", "/load");
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
    const fresh = randomBytes(3 * MIB, 99);
    await restored.writeFile("/after", fresh);
    assert.ok(equalBytes(await restored.readFile("/after"), fresh));
    const { index } = JSON.parse(written.stdout) as { index: number };
    assert.ok(
      (await restored.status()).index > 2 ** 40 + index,
      "the restored cluster begins at a higher index range",
    );
  });

  it("is verified without a cluster, and a damaged backup is refused", async () => {
    const backup = join(started.work, "second.backup");
    const written = await started.run("backup", backup);
    assert.equal(written.status, 0, written.stderr);
    const again = await started.run("backup", backup);
    assert.equal(again.status, 6, again.stderr);
    const whole = await runCli(["backup", backup, "--verify"]);
    assert.equal(whole.status, 0, whole.stderr);

    const bytes = await readFile(backup);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    await writeFile(backup, bytes);
    const damaged = await runCli(["backup", backup, "--verify"]);
    assert.equal(damaged.status, 7, damaged.stdout);
    assert.match(damaged.stderr, /damaged at byte \d+/);

    const config = join(started.cluster.directory, "m1", "config.toml");
    const data = join(started.work, "elsewhere");
    const flags = ["--config", config, "--data-dir", data];
    const refused = await runAshlar(["restore-cluster", backup, ...flags]);
    assert.equal(refused.status, 7, refused.stderr);
    // The directory of the failed restore is not a member: a master refuses to start on it.
    const master = await runAshlar(["master", ...flags, "--listen", "127.0.0.1:0"]);
    assert.equal(master.status, 2, master.stderr);
    assert.match(master.stderr, /was interrupted/);
  });
});

async function waitFor(isTrue: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 60_000;
  while (!isTrue()) {
    assert.ok(Date.now() < deadlineMs, "the condition becomes true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
