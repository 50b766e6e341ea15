import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../client/connect.ts";
import type { FileSystem } from "../../client/file-system.ts";
import { randomBytes } from "../../scripts/sample-tree.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import { HEAL_TIMEOUT_MS, runAshlar, type StartedCluster } from "../support/started-cluster.ts";

const CALLERS = 4;
/** Time between two operations of a caller: a full load would only use more CPU. */
const PAUSE_MS = 20;
/** Time between two attempts of an action that the cluster is not ready for yet. */
const POLL_MS = 50;
/** Larger than an inline file, so that the writes need the chunkservers. */
const FILE_BYTES = 40_000;

/** Callers that make directories and put files until `end`, and record what was acknowledged. */
class BackgroundLoad {
  readonly #fileSystem: FileSystem;
  readonly #running: Promise<unknown>;
  readonly directories: string[] = [];
  readonly files: string[] = [];
  #isEnded = false;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    this.#running = Promise.all(Array.from({ length: CALLERS }, (_, caller) => this.#run(caller)));
  }

  /** Number of acknowledged operations. */
  get count(): number {
    return this.directories.length + this.files.length;
  }

  /**
   * Resolves when `more` further operations are acknowledged, which proves that the cluster serves.
   */
  async waitForMore(more: number): Promise<void> {
    const goal = this.count + more;
    const untilMs = performance.now() + HEAL_TIMEOUT_MS;
    while (this.count < goal) {
      assert.ok(
        performance.now() < untilMs,
        `the cluster acknowledges operations: ${this.count} of ${goal}`,
      );
      await Promise.race([sleep(20), this.#running]);
    }
  }

  /** Stops the callers. Rejects if an operation failed. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#running;
  }

  async #run(caller: number): Promise<void> {
    for (let number = 0; !this.#isEnded; number += 1) {
      const name = `/load/${caller}-${number}`;
      // No operation fails: the client retries at the next leader, under the same Raft client
      // session.
      if (number % 4 === 3) {
        await this.#fileSystem.writeFile(`${name}.bin`, contentOf(name));
        this.files.push(name);
      } else {
        await this.#fileSystem.mkdir(name);
        this.directories.push(name);
      }
      await sleep(PAUSE_MS);
    }
  }
}

/** Returns the content of the file `name`. Different files have different contents. */
function contentOf(name: string): Uint8Array {
  const [caller = 0, number = 0] = name.slice("/load/".length).split("-").map(Number);
  return randomBytes(FILE_BYTES, caller * 100_000 + number + 1);
}

describe("changing the masters of a cluster under load", () => {
  let started: StartedCluster;
  before(async () => {
    started = await shareCluster({ masters: 3 });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  async function mastersNow(): Promise<{ readonly ids: number[]; readonly leader: number }> {
    const { masters } = await started.fileSystem.masters.status();
    const leader = masters.find((master) => master.isLeader);
    const voters = masters.filter((master) => master.vote === "voter");
    assert.ok(leader !== undefined);
    return { ids: voters.map((master) => master.memberId), leader: leader.memberId };
  }

  it("keeps every acknowledged change (G1) through add, transfer, SIGKILL and removal of the leader", async () => {
    const { cluster, fileSystem } = started;
    await fileSystem.mkdir("/load");
    const load = new BackgroundLoad(fileSystem);
    await load.waitForMore(40);

    await cluster.add("master", { basePort: 0, timeoutMs: HEAL_TIMEOUT_MS });
    assert.deepEqual((await mastersNow()).ids, [1, 2, 3, 4]);
    const { leader: first } = await mastersNow();
    await started.ok("master", "transfer", "4");
    assert.equal((await mastersNow()).leader, 4);
    await load.waitForMore(20);

    // The new leader is killed at once. The other masters continue, and later remove a master.
    await cluster.kill("m4", "SIGKILL");
    await load.waitForMore(20);
    await cluster.start("m4");
    await started.ok("master", "transfer", String(first));
    await started.ok("master", "remove", String(first));
    const afterRemoval = await mastersNow();
    assert.deepEqual(
      afterRemoval.ids,
      [1, 2, 3, 4].filter((id) => id !== first),
    );
    await cluster.kill(`m${first}`, "SIGKILL");
    await load.waitForMore(20);
    await load.end();

    await using fresh = await connect({
      masters: afterRemoval.ids.map((id) => cluster.node(`m${id}`).address).slice(-1),
    });
    const names = new Set<string>();
    for await (const { displayName } of fresh.list("/load")) names.add(`/load/${displayName}`);
    for (const name of load.directories) assert.ok(names.has(name), `${name} exists`);
    for (const name of load.files) {
      assert.deepEqual(Buffer.from(await fresh.readFile(`${name}.bin`)), contentOf(name));
    }
    assert.ok(load.files.length > 10 && load.directories.length > 50);
  });

  it("adds a removed master again with its directory, and refuses a master that is not running", async () => {
    const { cluster } = started;
    const { ids } = await mastersNow();
    const removedId = [1, 2, 3, 4].find((id) => !ids.includes(id));
    const node = cluster.node(`m${removedId}`);
    const refused = await started.run("--json", "master", "add", `${removedId}=${node.address}`);
    assert.equal(refused.status, 5, refused.stderr);
    assert.equal(JSON.parse(refused.stderr).error.code, "MEMBER_UNREACHABLE");
    await cluster.start(node.name);
    const untilMs = performance.now() + HEAL_TIMEOUT_MS;
    // Repeats until the master listens and has caught up. Each attempt continues the previous
    // attempt.
    for (;;) {
      const added = await started.run("master", "add", `${removedId}=${node.address}`);
      if (added.status === 0) break;
      assert.ok(performance.now() < untilMs, `the removed master can be added: ${added.stderr}`);
      await sleep(POLL_MS);
    }
    assert.deepEqual((await mastersNow()).ids, [1, 2, 3, 4]);
    const status = JSON.parse(await started.ok("master", "status", "--json"));
    assert.deepEqual(
      status.masters.map((master: { member_id: number }) => master.member_id),
      [1, 2, 3, 4],
    );
    await started.ok("master", "remove", String(removedId));
    await cluster.kill(node.name, "SIGTERM");
  });

  it("reports the removal to a client that knows only removed masters", async () => {
    const { ids } = await mastersNow();
    const [removed] = [1, 2, 3, 4].filter((id) => !ids.includes(id));
    const masters = [started.cluster.node(`m${removed}`).address];
    await assert.rejects(connect({ masters, timeoutMs: 1_000 }), (error: unknown) => {
      assert.ok(isAshlarError(error, "UNAVAILABLE"));
      assert.match(error.hint ?? "", /removed/);
      return true;
    });
    // While its process runs, a removed master returns the addresses of the members.
    await started.cluster.start(`m${removed}`);
    await using fileSystem = await connect({ masters });
    assert.equal((await fileSystem.stat("/load")).kind, "directory");
  });

  it("lists the masters that are not members when a local cluster starts", async () => {
    const { cluster } = started;
    const { ids } = await mastersNow();
    const outside = [1, 2, 3, 4].filter((id) => !ids.includes(id)).map((id) => `m${id}`);
    const { stderr } = await runAshlar(["cluster", "up", "--dir", cluster.directory]);
    assert.match(stderr, new RegExp(`3 masters .*\\n${outside} is running but is not a member`));
    const report = JSON.parse(
      await started.ok("cluster", "up", "--json", "--dir", cluster.directory),
    );
    assert.deepEqual(report.outsiders, outside);
  });
});
