import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeldKeys } from "../../chunkserver/pipeline/held-keys.ts";
import { Credential } from "../../chunkserver/store/credential.ts";
import type { CopyComparison } from "../../chunkserver/upkeep/copy-comparison.ts";
import { MasterLink, type MasterLinkDeps } from "../../chunkserver/upkeep/master-link.ts";
import { OrderResults } from "../../chunkserver/upkeep/order-results.ts";
import type { Orders } from "../../chunkserver/upkeep/orders.ts";
import { runUpkeep } from "../../chunkserver/upkeep/upkeep.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import * as fleet from "../../shared/protocol/fleet-api.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { CLUSTER_A, MemoryLog } from "../support/wire-fixture.ts";
import { hasher, makeChunk } from "./support/chunks.ts";
import { CHUNK_KEY } from "./support/fake-master.ts";
import { openTestStore, putChunk, readAll } from "./support/store-fixture.ts";

const { signal } = new AbortController();
const NO_ORDERS = { accept: () => {} } as unknown as Orders;
const RESTORED_KEY = new Uint8Array(32).fill(9);

type Store = Awaited<ReturnType<typeof openTestStore>>;

/** A leader that gives the same answer about every chunk. */
class Leader {
  verdict = "known";
  chunkKey = CHUNK_KEY;
  readonly asked: ChunkId[] = [];

  /** Returns the link of a started server that has registered. */
  async linkOf(store: Store): Promise<MasterLink> {
    const call = async (method: { readonly name: string }, request: unknown) => ({
      release: () => {},
      head: this.#answer(method.name, request),
    });
    const channel = { call, leaderAddress: "m1:1" } as unknown as MasterLinkDeps["channel"];
    const location = { serverId: store.serverId, address: "c1:1", host: "c1", rack: "r" };
    const log = new MemoryLog();
    const clock = new VirtualClock();
    const credential = await Credential.open(new MemoryDisk().mount(), log);
    const link = new MasterLink({
      ...{ store, channel, location, results: new OrderResults(), activeWrites: () => 0 },
      ...{ keys: new HeldKeys(clock), credential, joinToken: null, hasher, log },
    });
    await link.heartbeat(NO_ORDERS, signal);
    return link;
  }

  #answer(name: string, request: unknown): unknown {
    if (name === fleet.register.name) {
      return { clusterId: CLUSTER_A, chunkKey: this.chunkKey, heartbeatIntervalMs: 20 };
    }
    if (name === fleet.heartbeat.name) return { orders: [], enrol: false };
    const { chunks } = request as ReturnType<(typeof fleet.confirmChunks)["parseRequest"]>;
    this.asked.push(...chunks.map(({ chunkId }) => chunkId));
    return { verdicts: chunks.map(() => this.verdict) };
  }
}

async function confirmAll(link: MasterLink): Promise<void> {
  while ((await link.confirm(signal)) > 0);
}

describe("the confirmation of many chunks", () => {
  it("pauses between its steps, each of which is a turn of the leader", async () => {
    const clock = new VirtualClock();
    const stop = new AbortController();
    let steps = 0;
    const link = {
      heartbeatIntervalMs: 500,
      heartbeat: async () => {},
      // With 1,000 chunks in a step: a server with 50,000 chunks.
      confirm: async () => (++steps <= 50 ? 1_000 : 0),
    } as unknown as MasterLink;
    const running = runUpkeep({
      ...{ clock, random: new SeededRandom(1), log: new MemoryLog(), link, scrub: null },
      store: { sweep: async () => "done" } as unknown as Store,
      comparison: { delayMs: 5_000, step: async () => {} } as unknown as CopyComparison,
      orders: { idle: async () => {} } as unknown as Orders,
      signal: stop.signal,
    });
    const perSecond: number[] = [];
    for (let second = 0; second < 15; second += 1) {
      const before = steps;
      await clock.advance(1_000);
      perSecond.push(steps - before);
    }
    assert.ok(Math.max(...perSecond) <= 10, `steps in each second: ${perSecond.join(", ")}`);
    assert.ok(steps > 50, "all chunks are done");
    stop.abort();
    await clock.advance(1);
    await running;
  });
});

describe("a chunkserver after a restore of the masters", () => {
  it("asks about every chunk again, once, although earlier masters have confirmed it", async () => {
    const [disk, stores] = [new MemoryDisk(), new MemoryStores()];
    const leader = new Leader();
    const store = await openTestStore({ disk: disk.mount(), stores });
    const chunks = [1, 2, 3].map((seed) => makeChunk(5000, seed));
    for (const chunk of chunks) await putChunk(store, chunk, { lifetimeMs: 0 });
    const all = chunks.map(({ chunkId }) => chunkId).sort();
    await confirmAll(await leader.linkOf(store));
    assert.deepEqual(leader.asked.splice(0).sort(), all);
    await confirmAll(await leader.linkOf(store));
    assert.deepEqual(leader.asked, [], "a registration with the same masters asks nothing");
    leader.chunkKey = RESTORED_KEY;
    await confirmAll(await leader.linkOf(store));
    assert.deepEqual(leader.asked.splice(0).sort(), all);
    await store[Symbol.asyncDispose]();
    const again = await openTestStore({ disk: disk.mount(), stores });
    await confirmAll(await leader.linkOf(again));
    assert.deepEqual(leader.asked, []);
  });

  it("keeps each copy that it had then, although the masters take its intent for one of their own", async () => {
    const [disk, stores] = [new MemoryDisk(), new MemoryStores()];
    const leader = new Leader();
    const store = await openTestStore({ disk: disk.mount(), stores });
    const [earlier, later] = [makeChunk(5000, 1), makeChunk(5000, 2)];
    await putChunk(store, earlier, { lifetimeMs: 0, intentIndex: 900 });
    await confirmAll(await leader.linkOf(store));
    // A clock was wrong at this restore: the masters begin at a lower index, and have now passed 900.
    leader.chunkKey = RESTORED_KEY;
    leader.verdict = "unknown";
    const link = await leader.linkOf(store);
    await putChunk(store, later, { lifetimeMs: 0, intentIndex: 901 });
    await confirmAll(link);
    await store[Symbol.asyncDispose]();
    const again = await openTestStore({ disk: disk.mount(), stores });
    await confirmAll(await leader.linkOf(again));
    assert.equal((await readAll(again, earlier.chunkId)).length, 5000);
    await assert.rejects(again.openChunk(later.chunkId), { code: "CHUNK_NOT_FOUND" });
    const asked = leader.asked.filter((chunkId) => chunkId === later.chunkId);
    assert.equal(asked.length, 1);
  });

  it("continues after a restart with the chunks that are not marked yet", async () => {
    const [disk, stores] = [new MemoryDisk(), new MemoryStores()];
    const leader = new Leader();
    const store = await openTestStore({ disk: disk.mount(), stores });
    for (const seed of [1, 2, 3]) await putChunk(store, makeChunk(5000, seed), { lifetimeMs: 0 });
    await confirmAll(await leader.linkOf(store));
    leader.asked.length = 0;
    assert.equal(await store.confirmAgain(RESTORED_KEY, 2), 2);
    await store[Symbol.asyncDispose]();
    const again = await openTestStore({ disk: disk.mount(), stores });
    assert.equal(again.unconfirmed(10).length, 2);
    assert.equal(await again.confirmAgain(RESTORED_KEY, 2), 1);
    assert.equal(again.unconfirmed(10).length, 3);
    assert.equal(await again.confirmAgain(RESTORED_KEY, 2), 0);
  });
});
