import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  BATCH_BYTES_MAX,
  BATCH_ITEMS_MAX,
  CallBatcher,
} from "../../../client/masters/call-batcher.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { InodeId, LogIndex } from "../../../shared/base/ids.ts";
import type { Attributes } from "../../../shared/protocol/attributes.ts";
import type { Target } from "../../../shared/protocol/namespace-api.ts";
import { type StatRequest, type StatResponse, stat } from "../../../shared/protocol/stat-api.ts";
import { ConnectionPool } from "../../../shared/wire/connection-pool.ts";
import { LeaderChannel } from "../../../shared/wire/leader-channel.ts";
import { RpcServer } from "../../../shared/wire/rpc-server.ts";
import { MemoryNetwork } from "../../support/memory-network.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { CLIENT, CLUSTER_A, hasCode, makeWireDeps } from "../../support/wire-fixture.ts";

type Verdict = AshlarError | null;

/** A directory of this inode. */
function attributesOf(inode: number): Attributes {
  const times = { mtimeMs: 0, atimeMs: 0, ctimeMs: 0 };
  const common = { mode: 0o755, uid: 0, gid: 0, version: 1 as LogIndex, storageClass: "default" };
  return { kind: "directory", inode: inode as InodeId, ...times, ...common, entryCount: 0 };
}

/** One master over a network in memory, and a batcher of stats through a real channel. */
class World {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork({ clock: this.clock, delayMs: () => 1 });
  /** The inodes that each call asked for. */
  readonly calls: number[][] = [];
  readonly batcher: CallBatcher<Target, Attributes, StatRequest, StatResponse>;
  /** What becomes of one inode; default: it is there. */
  verdict: (inode: number, call: number) => Verdict = () => null;
  /** Before the master answers. Throws what the whole call fails with. */
  before: (call: number, inodes: readonly number[]) => Promise<void> = async () => {};
  readonly #pool: ConnectionPool;
  readonly #server: RpcServer;

  constructor() {
    const { clock, network } = this;
    const client = makeWireDeps({ network: network.host("client"), clock });
    this.#pool = new ConnectionPool(client, { identity: () => CLIENT, role: "master" });
    const identity = { role: "master", clusterId: CLUSTER_A, name: "m1" } as const;
    this.#server = new RpcServer(makeWireDeps({ network: network.host("m1"), clock }), {
      identity: () => identity,
    });
    this.#server.onCall(stat, async (request) => {
      request.release();
      const inodes = request.head.targets.map((target) => target.inode as number);
      const call = this.calls.push(inodes);
      await this.before(call, inodes);
      const results = inodes.map((inode) => this.verdict(inode, call) ?? attributesOf(inode));
      return { index: 7 as LogIndex, results };
    });
    const { random } = client;
    const addresses = (): string[] => ["m1:9000"];
    this.batcher = new CallBatcher({
      clock,
      channel: new LeaderChannel({ pool: this.#pool, clock, random, addresses }),
      method: stat,
      requestOf: (targets) => ({ read: { kind: "stale" }, targets }),
      resultsOf: (response) => response.results,
      sizeOf: (target) => 16 + (target.path?.length ?? 0),
    });
  }

  listen(): Promise<string> {
    return this.#server.listen("m1:9000");
  }

  async ask(
    inode: number,
    options: { timeoutMs?: number; signal?: AbortSignal; pathBytes?: number } = {},
  ): Promise<number> {
    const { timeoutMs = 10_000, signal, pathBytes = 0 } = options;
    const path = pathBytes === 0 ? {} : { path: new Uint8Array(pathBytes).fill(0x2f) };
    const target = { inode: inode as InodeId, ...path };
    return (await this.batcher.submit(target, { timeoutMs, signal })).inode;
  }

  settle<Result>(work: Promise<Result>): Promise<Result> {
    return this.clock.advanceFor(work, "the work of the test", 120_000);
  }

  async close(): Promise<void> {
    await this.settle(this.#pool.close(0));
    await this.settle(this.#server.close(0));
  }
}

async function withWorld(test: (world: World) => Promise<void>): Promise<void> {
  const world = new World();
  await world.listen();
  try {
    await test(world);
  } finally {
    await world.close();
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

describe("calls of one turn", () => {
  it("travel together, and every caller gets what it asked for", async () => {
    await withWorld(async (world) => {
      const all = Promise.all(upTo(3).map((inode) => world.ask(inode)));
      assert.deepEqual(await world.settle(all), [1, 2, 3]);
      assert.deepEqual(world.calls, [[1, 2, 3]]);
      // Answered in one go, they ask again in one go.
      const again = upTo(3).map(async (inode) => world.ask((await world.ask(inode)) + 10));
      await world.settle(Promise.all(again));
      assert.deepEqual(world.calls.slice(1), [
        [1, 2, 3],
        [11, 12, 13],
      ]);
    });
  });

  it("are sent without waiting for more: a lone one goes at once", async () => {
    await withWorld(async (world) => {
      await world.settle(world.ask(1));
      const startMs = world.clock.monotonicMs();
      await world.settle(world.ask(2));
      assert.equal(world.clock.monotonicMs() - startMs, 2, "there and back");
    });
  });

  it("are bounded by number and by size", async () => {
    await withWorld(async (world) => {
      await world.settle(Promise.all(upTo(2 * BATCH_ITEMS_MAX + 1).map((each) => world.ask(each))));
      assert.deepEqual(
        world.calls.map((call) => call.length),
        [BATCH_ITEMS_MAX, BATCH_ITEMS_MAX, 1],
      );
      world.calls.length = 0;
      const pathBytes = BATCH_BYTES_MAX / 4;
      await world.settle(Promise.all(upTo(6).map((each) => world.ask(each, { pathBytes }))));
      assert.deepEqual(world.calls, [
        [1, 2, 3],
        [4, 5, 6],
      ]);
    });
  });

  it("fail one by one: the others do not learn of it", async () => {
    await withWorld(async (world) => {
      world.verdict = (inode) => (inode === 2 ? new AshlarError("NOT_FOUND", "No inode 2") : null);
      const [first, second, third] = [world.ask(1), world.ask(2), world.ask(3)];
      const refused = assert.rejects(second, hasCode("NOT_FOUND"));
      assert.deepEqual(await world.settle(Promise.all([first, third])), [1, 3]);
      await refused;
      assert.equal(world.calls.length, 1);
    });
  });

  it("are asked for again one by one, where the error allows it", async () => {
    await withWorld(async (world) => {
      const overloaded = new AshlarError("OVERLOADED", "Too much is under way");
      world.verdict = (inode, call) => (inode >= 2 && call === 1 ? overloaded : null);
      assert.deepEqual(
        await world.settle(Promise.all(upTo(3).map((inode) => world.ask(inode)))),
        [1, 2, 3],
      );
      assert.deepEqual(world.calls, [
        [1, 2, 3],
        [2, 3],
      ]);
    });
  });

  it("say of what may have had its effect that it may, also if a later attempt had none", async () => {
    await withWorld(async (world) => {
      const unknown = new AshlarError("COMMIT_UNKNOWN", "Leadership was lost");
      const overloaded = new AshlarError("OVERLOADED", "Too much is under way");
      world.verdict = (_, call) => (call === 1 ? unknown : overloaded);
      const asked = world.ask(1, { timeoutMs: 2_000 });
      const failed = assert.rejects(asked, hasCode("COMMIT_UNKNOWN"));
      await world.settle(asked.catch(() => {}));
      await failed;
    });
  });

  it("do not suffer for one that makes the whole call fail", async () => {
    await withWorld(async (world) => {
      world.before = async (_, inodes) => {
        if (inodes.includes(2)) throw new AshlarError("TOO_LARGE", "Cannot read so much");
      };
      const [first, second, third] = [world.ask(1), world.ask(2), world.ask(3)];
      const refused = assert.rejects(second, hasCode("TOO_LARGE"));
      assert.deepEqual(await world.settle(Promise.all([first, third])), [1, 3]);
      await refused;
      assert.deepEqual(world.calls, [[1, 2, 3], [1], [2], [3]]);
    });
  });

  it("are given up one by one, at once", async () => {
    await withWorld(async (world) => {
      world.before = () => world.clock.sleep(1_000);
      const controller = new AbortController();
      const cancelled = world.ask(1, { signal: controller.signal });
      const late = world.ask(2, { timeoutMs: 300 });
      const patient = world.ask(3);
      const codes: string[] = [];
      const note = (error: unknown): void => {
        codes.push(`${isAshlarError(error) ? error.code : error} ${world.clock.monotonicMs()}`);
      };
      cancelled.catch(note);
      late.catch(note);
      await world.clock.advance(100);
      controller.abort();
      assert.equal(await world.settle(patient), 3);
      assert.deepEqual(codes, ["CANCELLED 100", "DEADLINE_EXCEEDED 300"]);
      assert.deepEqual(world.calls, [[1, 2, 3]]);
    });
  });

  it("are not repeated for callers who have given up", async () => {
    await withWorld(async (world) => {
      const overloaded = new AshlarError("OVERLOADED", "Too much is under way");
      world.verdict = (_, call) => (call < 3 ? overloaded : null);
      const controller = new AbortController();
      const cancelled = assert.rejects(
        world.ask(1, { signal: controller.signal }),
        hasCode("CANCELLED"),
      );
      const patient = world.ask(2);
      await world.clock.advanceUntil(() => world.calls.length === 1, "it was asked once");
      controller.abort();
      assert.equal(await world.settle(patient), 2);
      await cancelled;
      assert.deepEqual(world.calls, [[1, 2], [2], [2]]);
    });
  });

  it("are not sent when nobody waits for them any more", async () => {
    await withWorld(async (world) => {
      await world.settle(world.ask(9));
      const signal = AbortSignal.abort();
      await assert.rejects(world.ask(1, { signal }), hasCode("CANCELLED"));
      const asked = world.ask(2, { timeoutMs: 0 });
      const failed = assert.rejects(asked, hasCode("DEADLINE_EXCEEDED"));
      await world.settle(asked.catch(() => {}));
      await failed;
      assert.deepEqual(world.calls, [[9]]);
    });
  });
});
