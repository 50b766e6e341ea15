import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect } from "../../../client/connect.ts";
import type { FileSystem } from "../../../client/file-system.ts";
import type { ConnectOptions } from "../../../client/options.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import type { ClusterId } from "../../../shared/base/ids.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import { MemoryLog } from "../../support/wire-fixture.ts";
import { CutNetwork } from "../support/cut-network.ts";
import { makeEnv } from "../support/loopback-cluster.ts";
import { type RealMaster, type RealMasters, startRealMasters } from "../support/real-masters.ts";

const ROUNDS = 40;

describe("read modes at followers (G2)", () => {
  const networks: CutNetwork[] = [];
  const clients: FileSystem[] = [];
  let masters: RealMasters;
  let fs: FileSystem;
  let follower: RealMaster;
  before(async () => {
    masters = await startRealMasters({
      count: 3,
      clusterId: "c".repeat(32) as ClusterId,
      makeEnv: () => {
        const network = new CutNetwork();
        networks.push(network);
        return { ...makeEnv(new MemoryLog()), network };
      },
      settings: {},
    });
    fs = await client(masters.members.map((member) => member.address));
    await fs.create("/first");
    const leader = masters.leader();
    follower = masters.members.find((member) => member !== leader) as RealMaster;
  });
  after(async () => {
    for (const each of clients) await each[Symbol.asyncDispose]();
    await masters[Symbol.asyncDispose]();
  });

  async function client(
    addresses: readonly string[],
    options: Partial<ConnectOptions> = {},
  ): Promise<FileSystem> {
    const connected = await connect({ masters: addresses, ...options });
    clients.push(connected);
    return connected;
  }

  /** Cuts the follower off from the other masters. Clients still reach it. */
  function isolate(): void {
    for (const [position, network] of networks.entries()) {
      const isFollower = masters.members[position] === follower;
      network.cut((address) => isFollower || address === follower.address);
    }
  }

  function heal(): void {
    for (const network of networks) network.cut(() => false);
  }

  async function contentOf(fileSystem: FileSystem, options = {}): Promise<string> {
    return new TextDecoder().decode(await fileSystem.readFile("/f", options));
  }

  async function untilContentIs(reader: FileSystem, content: string): Promise<void> {
    const clock = new SystemClock();
    const endMs = clock.monotonicMs() + 10_000;
    while ((await contentOf(reader, { readMode: "stale" })) !== content) {
      assert.ok(clock.monotonicMs() < endMs, "the follower catches up");
      await clock.sleep(20);
    }
  }

  it("shows every acknowledged write in a linearizable read at a follower", async () => {
    const reader = await client([follower.address]);
    for (let round = 0; round < ROUNDS; round += 1) {
      const { index } = await fs.writeFile("/f", `linearizable ${round}`, { replace: true });
      assert.equal(await contentOf(reader), `linearizable ${round}`);
      assert.ok(reader.lastIndex >= index, "the response carries its index");
    }
  });

  it("shows in a session read at any master everything that the session has seen", async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { index } = await fs.writeFile("/f", `session ${round}`, { replace: true });
      const member = masters.members[round % 3] as RealMaster;
      const reader = await client([member.address], { readMode: "session", seenIndex: index });
      assert.equal(await contentOf(reader), `session ${round}`);
    }
  });

  it("never answers a session read from a master that lags behind the session", async () => {
    await fs.writeFile("/f", "before", { replace: true });
    const old = await client([follower.address], { readMode: "session", seenIndex: fs.lastIndex });
    assert.equal(await contentOf(old), "before");
    isolate();
    try {
      await fs.writeFile("/f", "after", { replace: true });
      // The session has not seen a newer state, so the follower may answer.
      assert.equal(await contentOf(old), "before");
      const seenIndex = fs.lastIndex;
      const behind = { readMode: "session", seenIndex } as const;
      const only = await client([follower.address], behind);
      await assert.rejects(only.stat("/f", { timeoutMs: 1_500 }), (error) =>
        isAshlarError(error, "DEADLINE_EXCEEDED"),
      );
      const any = await client([follower.address, ...fsAddresses()], behind);
      assert.equal(await contentOf(any), "after");
      assert.ok(any.lastIndex >= seenIndex);
    } finally {
      heal();
    }
  });

  it("shows an old state in a stale read, and the current state in a linearizable read", async () => {
    await fs.writeFile("/f", "old", { replace: true });
    const reader = await client([follower.address], { readMode: "stale" });
    await untilContentIs(reader, "old");
    const seen = reader.lastIndex;
    isolate();
    try {
      await fs.writeFile("/f", "new", { replace: true });
      assert.equal(await contentOf(reader), "old");
      assert.equal(reader.lastIndex, seen, "the response carries the old index");
      // The follower cannot reach the leader; its error names the other masters.
      assert.equal(await contentOf(reader, { readMode: "linearizable" }), "new");
    } finally {
      heal();
    }
    await untilContentIs(reader, "new");
  });

  it("lists and walks in every mode, and rejects an unknown mode", async () => {
    await fs.mkdir("/d/e", { parents: true });
    const options = { readMode: "session", seenIndex: fs.lastIndex } as const;
    const reader = await client([follower.address], options);
    const names: string[] = [];
    for await (const entry of reader.walk("/d")) names.push(entry.displayName);
    for await (const entry of reader.list("/d", { readMode: "stale" }))
      names.push(entry.displayName);
    assert.deepEqual(names, ["e", "e"]);
    await assert.rejects(reader.stat("/d", { readMode: "eventual" as never }), (error) =>
      isAshlarError(error, "INVALID_ARGUMENT"),
    );
  });

  function fsAddresses(): string[] {
    return masters.members.map((member) => member.address);
  }
});
