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

type ItemError = AshlarError | null;

/** Attributes of a directory with this inode. */
function attributesOf(inode: number): Attributes {
  const times = { mtimeMs: 0, atimeMs: 0, ctimeMs: 0 };
  const common = { mode: 0o755, uid: 0, gid: 0, version: 1 as LogIndex, storageClass: "default" };
  return { kind: "directory", inode: inode as InodeId, ...times, ...common, entryCount: 0 };
}

/** One master over a network in memory, and a batcher of stats through a real channel. */
class BatcherFixture {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork({ clock: this.clock, delayMs: () => 1 });
  /** The inodes of each call. */
  readonly calls: number[][] = [];
  readonly batcher: CallBatcher<Target, Attributes, StatRequest, StatResponse>;
  /** Returns the error of one item, or null for success. Default: success. */
  errorOf: (inode: number, call: number) => ItemError = () => null;
  /** Runs before the master answers. An error that it throws fails the whole call. */
  beforeResponse: (call: number, inodes: readonly number[]) => Promise<void> = async () => {};
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
      await this.beforeResponse(call, inodes);
      const results = inodes.map((inode) => this.errorOf(inode, call) ?? attributesOf(inode));
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

  async submit(
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

async function withFixture(test: (fixture: BatcherFixture) => Promise<void>): Promise<void> {
  const fixture = new BatcherFixture();
  await fixture.listen();
  try {
    await test(fixture);
  } finally {
    await fixture.close();
  }
}

const oneTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

describe("the calls of one turn", () => {
  it("are sent together, and every caller receives its own result", async () => {
    await withFixture(async (fixture) => {
      const all = Promise.all(oneTo(3).map((inode) => fixture.submit(inode)));
      assert.deepEqual(await fixture.settle(all), [1, 2, 3]);
      assert.deepEqual(fixture.calls, [[1, 2, 3]]);
      // The callers are resolved in the same turn, so their next items are combined again.
      const again = oneTo(3).map(async (inode) =>
        fixture.submit((await fixture.submit(inode)) + 10),
      );
      await fixture.settle(Promise.all(again));
      assert.deepEqual(fixture.calls.slice(1), [
        [1, 2, 3],
        [11, 12, 13],
      ]);
    });
  });

  it("are sent without a delay, also a single one", async () => {
    await withFixture(async (fixture) => {
      await fixture.settle(fixture.submit(1));
      const startMs = fixture.clock.monotonicMs();
      await fixture.settle(fixture.submit(2));
      assert.equal(fixture.clock.monotonicMs() - startMs, 2, "one round trip");
    });
  });

  it("are limited by number and by size", async () => {
    await withFixture(async (fixture) => {
      await fixture.settle(
        Promise.all(oneTo(2 * BATCH_ITEMS_MAX + 1).map((each) => fixture.submit(each))),
      );
      assert.deepEqual(
        fixture.calls.map((call) => call.length),
        [BATCH_ITEMS_MAX, BATCH_ITEMS_MAX, 1],
      );
      fixture.calls.length = 0;
      const pathBytes = BATCH_BYTES_MAX / 4;
      await fixture.settle(
        Promise.all(oneTo(6).map((each) => fixture.submit(each, { pathBytes }))),
      );
      assert.deepEqual(fixture.calls, [
        [1, 2, 3],
        [4, 5, 6],
      ]);
    });
  });

  it("fail individually", async () => {
    await withFixture(async (fixture) => {
      fixture.errorOf = (inode) =>
        inode === 2 ? new AshlarError("NOT_FOUND", "No inode 2") : null;
      const [first, second, third] = [fixture.submit(1), fixture.submit(2), fixture.submit(3)];
      const refused = assert.rejects(second, hasCode("NOT_FOUND"));
      assert.deepEqual(await fixture.settle(Promise.all([first, third])), [1, 3]);
      await refused;
      assert.equal(fixture.calls.length, 1);
    });
  });

  it("are repeated individually if the error is retryable", async () => {
    await withFixture(async (fixture) => {
      const overloaded = new AshlarError("OVERLOADED", "Too many calls are pending");
      fixture.errorOf = (inode, call) => (inode >= 2 && call === 1 ? overloaded : null);
      assert.deepEqual(
        await fixture.settle(Promise.all(oneTo(3).map((inode) => fixture.submit(inode)))),
        [1, 2, 3],
      );
      assert.deepEqual(fixture.calls, [
        [1, 2, 3],
        [2, 3],
      ]);
    });
  });

  it("report an uncertain outcome also if a later attempt had no effect", async () => {
    await withFixture(async (fixture) => {
      const unknown = new AshlarError("COMMIT_UNKNOWN", "Leadership was lost");
      const overloaded = new AshlarError("OVERLOADED", "Too many calls are pending");
      fixture.errorOf = (_, call) => (call === 1 ? unknown : overloaded);
      const submitted = fixture.submit(1, { timeoutMs: 2_000 });
      const failed = assert.rejects(submitted, hasCode("COMMIT_UNKNOWN"));
      await fixture.settle(submitted.catch(() => {}));
      await failed;
    });
  });

  it("are sent again one by one after an item made the whole call fail", async () => {
    await withFixture(async (fixture) => {
      fixture.beforeResponse = async (_, inodes) => {
        if (inodes.includes(2)) throw new AshlarError("TOO_LARGE", "Cannot read so much");
      };
      const [first, second, third] = [fixture.submit(1), fixture.submit(2), fixture.submit(3)];
      const refused = assert.rejects(second, hasCode("TOO_LARGE"));
      assert.deepEqual(await fixture.settle(Promise.all([first, third])), [1, 3]);
      await refused;
      assert.deepEqual(fixture.calls, [[1, 2, 3], [1], [2], [3]]);
    });
  });

  it("are cancelled and time out individually, without a delay", async () => {
    await withFixture(async (fixture) => {
      fixture.beforeResponse = () => fixture.clock.sleep(1_000);
      const controller = new AbortController();
      const cancelled = fixture.submit(1, { signal: controller.signal });
      const late = fixture.submit(2, { timeoutMs: 300 });
      const unlimited = fixture.submit(3);
      const codes: string[] = [];
      const note = (error: unknown): void => {
        codes.push(`${isAshlarError(error) ? error.code : error} ${fixture.clock.monotonicMs()}`);
      };
      cancelled.catch(note);
      late.catch(note);
      await fixture.clock.advance(100);
      controller.abort();
      assert.equal(await fixture.settle(unlimited), 3);
      assert.deepEqual(codes, ["CANCELLED 100", "DEADLINE_EXCEEDED 300"]);
      assert.deepEqual(fixture.calls, [[1, 2, 3]]);
    });
  });

  it("are not repeated for cancelled callers", async () => {
    await withFixture(async (fixture) => {
      const overloaded = new AshlarError("OVERLOADED", "Too many calls are pending");
      fixture.errorOf = (_, call) => (call < 3 ? overloaded : null);
      const controller = new AbortController();
      const cancelled = assert.rejects(
        fixture.submit(1, { signal: controller.signal }),
        hasCode("CANCELLED"),
      );
      const unlimited = fixture.submit(2);
      await fixture.clock.advanceUntil(
        () => fixture.calls.length === 1,
        "the first call has arrived",
      );
      controller.abort();
      assert.equal(await fixture.settle(unlimited), 2);
      await cancelled;
      assert.deepEqual(fixture.calls, [[1, 2], [2], [2]]);
    });
  });

  it("are not sent after all callers were cancelled or timed out", async () => {
    await withFixture(async (fixture) => {
      await fixture.settle(fixture.submit(9));
      const signal = AbortSignal.abort();
      await assert.rejects(fixture.submit(1, { signal }), hasCode("CANCELLED"));
      const submitted = fixture.submit(2, { timeoutMs: 0 });
      const failed = assert.rejects(submitted, hasCode("DEADLINE_EXCEEDED"));
      await fixture.settle(submitted.catch(() => {}));
      await failed;
      assert.deepEqual(fixture.calls, [[9]]);
    });
  });
});
