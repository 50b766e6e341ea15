import assert from "node:assert/strict";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../client/connect.ts";
import { shareCluster } from "../support/shared-cluster.ts";
import type { StartedCluster } from "../support/started-cluster.ts";

const WRITERS = 4;
/** Time between two changes of a writer: a full load would only use more CPU. */
const PAUSE_MS = 20;

/** An event of the watch or a commit of a writer: the log index and the path. */
type Line = readonly [index: number, path: string];

/** A running `ashlar watch` with its output. */
class WatchCommand {
  readonly lines: Line[] = [];
  readonly #child;
  readonly #exited: Promise<unknown[]>;
  stderr = "";
  #wake: () => void = () => {};

  constructor(cluster: StartedCluster, ...flags: string[]) {
    const child = cluster.start("watch", "--json", ...flags, "/work");
    this.#child = child;
    this.#exited = once(child, "exit");
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      this.stderr += part;
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = JSON.parse(line) as { schema: string; index: number; path: string };
      assert.equal(event.schema, "ashlar.watch/1");
      this.lines.push([event.index, event.path ?? ""]);
      this.#wake();
    });
  }

  /** Resolves when at least `count` lines were printed. */
  async waitForLines(count: number): Promise<void> {
    while (this.lines.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Sends SIGINT, as Ctrl-C does. @returns the exit status */
  async interrupt(): Promise<unknown> {
    this.#child.kill("SIGINT");
    const [status] = await this.#exited;
    return status;
  }
}

describe("a watch over a cluster whose masters are killed (G15)", () => {
  let started: StartedCluster;
  before(async () => {
    started = await shareCluster({ masters: 3 });
  });
  after(async () => {
    await started[Symbol.asyncDispose]();
  });

  it("prints every change once, in log order, while each master is killed in turn", async () => {
    const { cluster, fileSystem } = started;
    const { index: from } = await fileSystem.mkdir("/work");
    const command = new WatchCommand(started, "--from", String(from));
    const { masters, clusterId } = cluster;
    await using watcher = await connect({ masters, clusterId });
    const seen: Line[] = [];
    const watching = (async () => {
      for await (const event of watcher.watch("/work", { from, timeoutMs: 60_000 })) {
        seen.push([event.index, event.path ?? ""]);
        if (event.path === "/work/last") return;
      }
    })();

    const committed: Line[] = [[from, "/work"]];
    let isDone = false;
    const write = async (writer: number): Promise<void> => {
      for (let file = 0; !isDone; file += 1) {
        const path = `/work/${writer}-${file}`;
        const { index } = await fileSystem.create(path);
        committed.push([index, path]);
        await sleep(PAUSE_MS);
      }
    };
    const writing = Array.from({ length: WRITERS }, (_, writer) => write(writer));
    const leader = await started.leaderName();
    const names = cluster.nodes.filter((node) => node.role === "master").map(({ name }) => name);
    // The leader first; the next leader is among the others.
    for (const name of [leader, ...names.filter((each) => each !== leader)]) {
      const before = seen.length;
      await cluster.kill(name, "SIGKILL");
      while (seen.length < before + 20) await sleep(20);
      await cluster.start(name);
      await cluster.waitUntil(
        (status) =>
          status.masters.every((master) => master.role !== "unreachable")
            ? null
            : "a master is unreachable",
        { timeoutMs: 30_000 },
      );
    }
    isDone = true;
    await Promise.all(writing);
    const last = await fileSystem.create("/work/last");
    committed.push([last.index, "/work/last"]);
    await watching;
    await command.waitForLines(committed.length);

    const expected = committed.sort(([left], [right]) => left - right);
    assert.deepEqual(seen, expected);
    assert.deepEqual(command.lines, expected);
    assert.equal(await command.interrupt(), 130);
    assert.match(command.stderr, /^To continue from here: --from \d+:\d+$/m);
    assert.doesNotMatch(command.stderr, /CANCELLED|interrupted/);

    // Each master serves the same feed from its own store.
    for (const address of masters) {
      await using single = await connect({ masters: [address], clusterId });
      const lines: Line[] = [];
      for await (const event of single.watch("/work", { from })) {
        lines.push([event.index, event.path ?? ""]);
        if (lines.length === expected.length) break;
      }
      assert.deepEqual(lines, expected);
    }
  });

  it("refuses a position beyond the end of the log with the status of wrong usage", async () => {
    const stderr = await started.fails(2, "watch", "--json", "--from", "99999999999", "/");
    assert.match(stderr, /INVALID_ARGUMENT/);
  });
});
