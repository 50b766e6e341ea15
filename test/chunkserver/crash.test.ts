import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ChunkStore } from "../../chunkserver/store/chunk-store.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { SystemClock } from "../../shared/platform/system-clock.ts";
import { FRAME_BYTES_MAX } from "../../shared/protocol/chunk-api.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { logIndex, makeChunk, randomLength, type TestChunk } from "./support/chunks.ts";
import { groupOf } from "./support/groups.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

/** Number of seeds. For a longer run: ASHLAR_SEEDS=500. */
const SEEDS = Number(process.env["ASHLAR_SEEDS"] ?? 8);
const CRASHES = 4;
const CHUNK_COUNT = 12;
const CHUNK_BYTES_MAX = 1_300_000;

/** A disk and an index that lose power together after a number of operations. */
class Machine {
  readonly #random: SeededRandom;
  readonly #clock = new SystemClock();
  readonly disk: MemoryDisk;
  readonly stores: MemoryStores;
  #stepsLeft = -1;
  isDown = false;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.disk = new MemoryDisk({ delay: () => this.#step() });
    this.stores = new MemoryStores({ beforeCommit: () => this.#step() });
  }

  /** Restores the power, until it fails again after `steps` operations of disk or index. */
  start(steps: number): Promise<ChunkStore> {
    this.isDown = false;
    this.#stepsLeft = steps;
    return openTestStore(this.deps());
  }

  deps() {
    return { disk: this.disk.mount(), stores: this.stores };
  }

  /** Restores the power permanently. */
  restorePower(): void {
    this.isDown = false;
    this.#stepsLeft = -1;
  }

  crash(): void {
    if (this.isDown) return;
    this.isDown = true;
    this.disk.crash(this.#random);
    this.stores.crash();
  }

  async #step(): Promise<void> {
    this.#stepsLeft -= 1;
    if (this.#stepsLeft === 0) this.crash();
    // The seed decides the order in which concurrent operations run.
    if (this.#random.fraction() < 0.3) await this.#clock.yieldTurn();
  }
}

/** Results that the store has reported to its callers. */
interface Reported {
  readonly sealed: Map<ChunkId, TestChunk>;
  /** Purges of each chunk that were started and completed since the power returned. */
  readonly purged: Map<ChunkId, { begun: number; ended: number }>;
}

async function useStore(
  store: ChunkStore,
  random: SeededRandom,
  chunks: readonly TestChunk[],
  reported: Reported,
): Promise<void> {
  const workers = Array.from({ length: 5 }, async () => {
    for (let step = 0; step < 12; step += 1) {
      const chunk = chunks[random.integer(chunks.length)];
      assert.ok(chunk !== undefined);
      await useChunk({ store, random, chunks, reported }, chunk);
    }
  });
  const outcomes = await Promise.allSettled(workers);
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") continue;
    assert.ok(outcome.reason instanceof AshlarError, outcome.reason);
  }
}

interface Use {
  readonly store: ChunkStore;
  readonly random: SeededRandom;
  readonly chunks: readonly TestChunk[];
  readonly reported: Reported;
}

async function useChunk(use: Use, chunk: TestChunk): Promise<void> {
  const { store, random, reported } = use;
  const kind = random.integer(13);
  if (kind >= 10) {
    await useGroup(use);
    return;
  }
  const purges = reported.purged.get(chunk.chunkId) ?? { begun: 0, ended: 0 };
  reported.purged.set(chunk.chunkId, purges);
  if (kind < 7) {
    const sizeHintBytes = random.fraction() < 0.3 ? null : chunk.bytes.length;
    const { begun, ended } = purges;
    await putChunk(store, chunk, { sizeHintBytes });
    // A purge that ran at the same time may have deleted the chunk after its seal.
    if (begun === ended && purges.begun === begun) reported.sealed.set(chunk.chunkId, chunk);
  } else if (kind < 9) {
    reported.sealed.delete(chunk.chunkId);
    purges.begun += 1;
    await store.purge(chunk.chunkId, logIndex(2));
    purges.ended += 1;
  } else {
    await store.sweep();
  }
}

/** Stores some small chunks with one call. A chunk may occur twice. */
async function useGroup({ store, random, chunks, reported }: Use): Promise<void> {
  const small = chunks.filter(({ bytes }) => bytes.length <= 300_000);
  if (small.length === 0) return;
  const group = Array.from({ length: 1 + random.integer(5) }, () => {
    return small[random.integer(small.length)] as TestChunk;
  });
  const purgesOf = ({ chunkId }: TestChunk) => {
    const purges = reported.purged.get(chunkId) ?? { begun: 0, ended: 0 };
    reported.purged.set(chunkId, purges);
    return purges;
  };
  const before = group.map((chunk) => ({ chunk, ...purgesOf(chunk) }));
  await store.putMany(groupOf(group), { intentIndex: logIndex(1), lifetimeMs: 60_000 });
  for (const { chunk, begun, ended } of before) {
    // A purge that ran at the same time may have deleted the chunk after its commit.
    if (begun === ended && purgesOf(chunk).begun === begun) {
      reported.sealed.set(chunk.chunkId, chunk);
    }
  }
}

describe("a crash of a chunkserver at any moment", () => {
  it("loses no chunk whose seal was acknowledged, and leaves only complete chunks", async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const random = new SeededRandom(seed);
      const chunks = Array.from({ length: CHUNK_COUNT }, (_, number) =>
        makeChunk(randomLength(random, CHUNK_BYTES_MAX), number),
      );
      const machine = new Machine(random);
      const reported: Reported = { sealed: new Map(), purged: new Map() };
      for (let round = 0; round < CRASHES; round += 1) {
        try {
          const store = await machine.start(20 + random.integer(400));
          await useStore(store, random, chunks, reported);
        } catch (error) {
          assert.ok(error instanceof AshlarError, `${error}: repeat with seed ${seed}`);
        }
        machine.crash();
        machine.restorePower();
        await checkStore(machine, reported, `round ${round}, repeat with seed ${seed}`);
      }
    }
  });
});

async function checkStore(machine: Machine, reported: Reported, where: string): Promise<void> {
  const store = await openTestStore(machine.deps());
  for (const chunk of reported.sealed.values()) {
    await assertHolds(store, chunk).catch((error: Error) => {
      throw new Error(`a sealed chunk of ${chunk.bytes.length} bytes: ${error}: ${where}`);
    });
  }
  const buffer = new Uint8Array(FRAME_BYTES_MAX);
  for (const chunkId of store.chunkIdsAfter(null, 1000)) {
    assert.equal(await store.verify(chunkId, buffer), "intact", `a visible chunk: ${where}`);
  }
  assert.deepEqual(store.lossReport(10).lost, [], `no replica is lost in a crash: ${where}`);
  reported.purged.clear();
  const { chunkCount } = store.totals;
  const files = (await machine.disk.mount().list("extents")).length;
  assert.ok(files <= chunkCount, `${files} extent files for ${chunkCount} chunks: ${where}`);
  await store[Symbol.asyncDispose]();
}
