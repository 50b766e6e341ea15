import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Registry } from "../../../master/fleet/registry.ts";
import { Repair } from "../../../master/fleet/repair.ts";
import type { RepairChunk, RepairState } from "../../../master/fleet-view.ts";
import { present } from "../../../shared/base/assert.ts";
import type { ChunkId, LogIndex, ServerId } from "../../../shared/base/ids.ts";
import type { ServerLocation } from "../../../shared/protocol/intent.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const SPACE = { totalBytes: 1e12, availableBytes: 1e12, usedBytes: 0 };
const TIMES = {
  suspectMs: 2_000,
  deadMs: 10_000,
  repairDelayMs: 20_000,
  repairDelayStoppedMs: 600_000,
};
const SILENT_LOG = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => SILENT_LOG,
};

function serverId(number: number): ServerId {
  return number.toString(16).padStart(32, "0") as ServerId;
}

function location(number: number): ServerLocation {
  const [host, address] = [`host-${number}`, `127.0.0.1:${number}`];
  return { serverId: serverId(number), address, host, rack: "default" };
}

function chunkId(number: number): ChunkId {
  return number.toString(16).padStart(64, "0") as ChunkId;
}

/** The replicated state: chunks and the servers of their recorded replicas. */
class RecordedChunks implements RepairState {
  readonly appliedIndex = 7 as LogIndex;
  readonly #chunks = new Map<ChunkId, { copiesWanted: number; servers: Set<number> }>();

  add(number: number, servers: readonly number[], copiesWanted = 3): void {
    this.#chunks.set(chunkId(number), { copiesWanted, servers: new Set(servers) });
  }

  record(id: ChunkId, number: number): void {
    this.#chunks.get(id)?.servers.add(number);
  }

  chunk(id: ChunkId): RepairChunk | undefined {
    const chunk = this.#chunks.get(id);
    if (chunk === undefined) return undefined;
    const replicas = [...chunk.servers].map((number) => ({ serverId: serverId(number) }));
    return { lengthBytes: 1000, copiesWanted: chunk.copiesWanted, replicas };
  }

  chunksOfServer(server: ServerId, after: ChunkId | null, limit: number): ChunkId[] {
    return this.#page(after, limit, (chunk) =>
      [...chunk.servers].some((each) => serverId(each) === server),
    );
  }

  underReplicated(after: ChunkId | null, limit: number): ChunkId[] {
    return this.#page(after, limit, (chunk) => chunk.servers.size < chunk.copiesWanted);
  }

  #page(
    after: ChunkId | null,
    limit: number,
    wanted: (chunk: { copiesWanted: number; servers: Set<number> }) => boolean,
  ): ChunkId[] {
    return [...this.#chunks]
      .filter(([id, chunk]) => (after === null || id > after) && wanted(chunk))
      .map(([id]) => id)
      .sort()
      .slice(0, limit);
  }
}

/** The repair of a leader over servers 1 to `serverCount`, on a virtual clock. */
class RepairFixture {
  readonly clock = new VirtualClock();
  readonly state = new RecordedChunks();
  readonly registry = new Registry({
    clock: this.clock,
    random: new SeededRandom(1),
    times: TIMES,
  });
  readonly repair: Repair;
  readonly #silent = new Set<number>();
  readonly #serverCount: number;

  constructor(
    serverCount: number,
    limits: { copiesPerTarget?: number; copiesTotal?: number } = {},
  ) {
    this.#serverCount = serverCount;
    this.repair = new Repair({
      registry: this.registry,
      clock: this.clock,
      log: SILENT_LOG,
      limits: {
        copiesPerTarget: 4,
        copiesTotal: 64,
        orderTimeoutMs: 60_000,
        massLossShare: 0.5,
        racksMin: 1,
        ...limits,
      },
    });
    this.#registerLive();
  }

  silence(...numbers: number[]): void {
    for (const number of numbers) this.#silent.add(number);
  }

  revive(number: number): void {
    this.#silent.delete(number);
  }

  /** Advances the clock by `durationMs`. Each second all servers that are not silent register. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 1_000) {
      await this.clock.advance(1_000);
      this.#registerLive();
      this.repair.step(this.state);
    }
  }

  /** Returns the pending orders. */
  orders(): Array<{ target: number; chunkId: ChunkId; sources: number[] }> {
    const numbers = Array.from({ length: this.#serverCount }, (_, index) => index + 1);
    return numbers.flatMap((target) =>
      this.repair.ordersFor(serverId(target)).map((order) => {
        assert.ok(order.kind === "copy");
        const sources = order.sources.map((source) => Number(source.address.split(":")[1]));
        return { target, chunkId: order.chunkId, sources };
      }),
    );
  }

  finish(target: number, id: ChunkId): void {
    this.state.record(id, target);
    this.repair.recordCopyResult(serverId(target), id);
  }

  #registerLive(): void {
    for (let number = 1; number <= this.#serverCount; number += 1) {
      if (!this.#silent.has(number)) this.registry.recordRegistration(location(number), SPACE);
    }
  }
}

describe("repair of under-replicated chunks", () => {
  it("waits for the repair delay, then orders a copy from the live servers", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(29_000);
    assert.deepEqual(fixture.orders(), []);
    await fixture.pass(3_000);
    assert.deepEqual(fixture.orders(), [{ target: 4, chunkId: chunkId(1), sources: [1, 2] }]);
  });

  it("repairs a chunk with one live replica as soon as the other servers are dead", async () => {
    const fixture = new RepairFixture(6);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(2, 3);
    await fixture.pass(12_000);
    const orders = fixture.orders();
    assert.equal(orders.length, 2);
    for (const order of orders) assert.deepEqual(order.sources, [1]);
    assert.equal(new Set(orders.map((order) => order.target)).size, 2);
  });

  it("repairs the chunks with the fewest live replicas first", async () => {
    const fixture = new RepairFixture(6, { copiesTotal: 2 });
    for (let number = 1; number <= 20; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.state.add(100, [1, 4, 3], 3);
    fixture.silence(3, 4);
    await fixture.pass(60_000);
    assert.deepEqual(
      new Set(fixture.orders().map((order) => order.chunkId)),
      new Set([chunkId(100)]),
    );
  });

  it("never orders more copies from one server than its limit", async () => {
    const fixture = new RepairFixture(4, { copiesPerTarget: 2 });
    for (let number = 1; number <= 50; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(60_000);
    assert.equal(fixture.orders().length, 2);
  });

  it("continues until every chunk has its replicas, and then orders nothing", async () => {
    const fixture = new RepairFixture(5);
    for (let number = 1; number <= 30; number += 1) fixture.state.add(number, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(31_000);
    for (let round = 0; round < 40 && fixture.orders().length > 0; round += 1) {
      for (const { target, chunkId: id } of fixture.orders()) fixture.finish(target, id);
      await fixture.pass(1_000);
    }
    assert.deepEqual(fixture.orders(), []);
    assert.deepEqual(fixture.repair.counts, { underReplicated: 0, lost: 0 });
    for (let number = 1; number <= 30; number += 1) {
      const replicas = present(
        fixture.state.chunk(chunkId(number)),
        "the chunk is recorded",
      ).replicas;
      assert.equal(replicas.length, 4, "the replica on the dead server stays recorded");
    }
  });

  it("orders nothing if the dead server returns before the repair delay ends", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(15_000);
    assert.equal(fixture.repair.counts.underReplicated, 1);
    fixture.revive(3);
    await fixture.pass(30_000);
    assert.deepEqual(fixture.orders(), []);
    assert.equal(fixture.repair.counts.underReplicated, 0);
  });

  it("repairs a chunk that was committed with too few replicas without delay", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2]);
    await fixture.pass(2_000);
    assert.equal(fixture.orders().length, 1);
  });

  it("orders a copy from another server if the first one does not report", async () => {
    const fixture = new RepairFixture(5);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(3);
    await fixture.pass(32_000);
    const [first] = fixture.orders();
    fixture.silence(present(first, "one order is pending").target);
    await fixture.pass(15_000);
    const [second] = fixture.orders();
    assert.notEqual(second?.target, first?.target);
  });

  it("counts a chunk without a live replica as lost and orders no copy", async () => {
    const fixture = new RepairFixture(7);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(1, 2, 3);
    await fixture.pass(60_000);
    assert.deepEqual(fixture.repair.counts, { underReplicated: 1, lost: 1 });
    assert.deepEqual(fixture.orders(), []);
  });

  it("halts when more than the allowed share of servers is dead", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    fixture.silence(2, 3, 4);
    await fixture.pass(60_000);
    assert.equal(fixture.repair.isHalted, true);
    assert.deepEqual(fixture.orders(), []);
  });
});

describe("a copy that the state does not record", () => {
  it("is wanted if too few recorded copies are on live servers, and its server verifies it", async () => {
    const fixture = new RepairFixture(4);
    fixture.state.add(1, [1, 2, 3]);
    const adopt = (): boolean => fixture.repair.adoptCopy(fixture.state, serverId(4), chunkId(1));
    await fixture.pass(1_000);
    assert.equal(adopt(), false);
    assert.deepEqual(fixture.orders(), []);
    fixture.silence(2, 3);
    await fixture.pass(11_000);
    assert.equal(adopt(), true);
    assert.equal(adopt(), true);
    assert.deepEqual(
      fixture.orders().filter(({ target }) => target === 4),
      [{ target: 4, chunkId: chunkId(1), sources: [1] }],
    );
    fixture.finish(4, chunkId(1));
    assert.equal(adopt(), true, "one more copy is missing");
    assert.deepEqual(fixture.orders(), [], "its server has reported the copy");
  });

  it("is wanted even if no recorded copy is left", async () => {
    const fixture = new RepairFixture(2);
    fixture.state.add(1, []);
    await fixture.pass(1_000);
    assert.equal(fixture.repair.adoptCopy(fixture.state, serverId(2), chunkId(1)), true);
    assert.deepEqual(fixture.orders(), [{ target: 2, chunkId: chunkId(1), sources: [] }]);
  });

  it("is not wanted if no file refers to the chunk", () => {
    const fixture = new RepairFixture(2);
    assert.equal(fixture.repair.adoptCopy(fixture.state, serverId(2), chunkId(1)), false);
  });
});
