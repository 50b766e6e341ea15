import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ChunkIndex } from "../../chunkserver/store/chunk-index.ts";
import { type CopiesPage, compareCopies } from "../../chunkserver/store/compare-copies.ts";
import type { StoreDeps } from "../../chunkserver/store/store-deps.ts";
import { CopyComparison } from "../../chunkserver/upkeep/copy-comparison.ts";
import { AshlarError } from "../../shared/base/errors.ts";
import type { ChunkId, LogIndex } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { type findCopies, listCopies } from "../../shared/protocol/fleet-api.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { hasCode, MemoryLog } from "../support/wire-fixture.ts";
import { logIndex, makeChunk } from "./support/chunks.ts";
import { assertHolds, openTestStore, putChunk } from "./support/store-fixture.ts";

const { signal } = new AbortController();
const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const PAGE_CHUNKS = 2;

type Store = Awaited<ReturnType<typeof openTestStore>>;

/** Returns a chunk id that no content has. The order of the ids is that of the numbers. */
const chunkId = (number: number) => number.toString(16).padStart(64, "0") as ChunkId;

/** Masters that record copies on one server, and the link of the server to them. */
class Masters {
  restoreId: Uint8Array | null = new Uint8Array(32).fill(1);
  intentFloor: LogIndex | null = logIndex(0);
  index = logIndex(100);
  readonly recorded = new Map<ChunkId, LogIndex>();
  /** The calls, with the number of chunks in a question. */
  readonly calls: string[] = [];
  /** Thrown by every call. */
  error: AshlarError | null = null;
  /** Called after the answer was made, before the server gets it. */
  beforeAnswer: () => Promise<void> = async () => {};

  readonly call = async (method: { readonly name: string }, request: unknown): Promise<never> => {
    if (this.error !== null) throw this.error;
    const answer =
      method.name === listCopies.name
        ? this.#page((request as { readonly after: ChunkId | null }).after)
        : this.#find((request as { readonly chunkIds: readonly ChunkId[] }).chunkIds);
    await this.beforeAnswer();
    return answer as never;
  };

  #page(after: ChunkId | null): ReturnType<(typeof listCopies)["parseResponse"]> {
    this.calls.push("page");
    const all = [...this.recorded.keys()].sort().filter((id) => after === null || id > after);
    const chunkIds = all.slice(0, PAGE_CHUNKS);
    return { chunkIds, hasMore: all.length > PAGE_CHUNKS, index: this.index, pauseMs: 0 };
  }

  #find(chunkIds: readonly ChunkId[]): ReturnType<(typeof findCopies)["parseResponse"]> {
    this.calls.push(`find ${chunkIds.length}`);
    const copies = chunkIds.flatMap((id) => {
      const intentIndex = this.recorded.get(id);
      return intentIndex === undefined ? [] : [{ chunkId: id, intentIndex }];
    });
    return { copies };
  }
}

/** A chunkserver that compares its copies with those of `masters`. */
async function makeServer(
  masters = new Masters(),
  storage = { disk: new MemoryDisk(), stores: new MemoryStores() },
  seed = 1,
) {
  const clock = new VirtualClock();
  const { disk, stores } = storage;
  const store = await openTestStore({ disk: disk.mount(), stores });
  const log = new MemoryLog();
  const comparison = new CopyComparison({
    ...{ store, link: masters, clock, random: new SeededRandom(seed), log },
  });
  /** Performs all steps of `durationMs`. @returns the calls in this time */
  const run = async (durationMs: number): Promise<string[]> => {
    const endMs = clock.monotonicMs() + durationMs;
    const first = masters.calls.length;
    while (clock.monotonicMs() < endMs) {
      const before = masters.calls.length;
      await comparison.step(signal);
      assert.ok(masters.calls.length <= before + 1, "a step is at most one call");
      await clock.advance(Math.min(comparison.delayMs, endMs - clock.monotonicMs()));
    }
    return masters.calls.slice(first);
  };
  const lost = () => store.lossReport(1_000).lost;
  /** Performs steps until the next call. @returns the time until then, in milliseconds */
  const untilCall = async (): Promise<number> => {
    const beginMs = clock.monotonicMs();
    const before = masters.calls.length;
    for (;;) {
      await comparison.step(signal);
      if (masters.calls.length > before) return clock.monotonicMs() - beginMs;
      await clock.advance(comparison.delayMs);
    }
  };
  return { masters, storage, clock, store, comparison, log, run, untilCall, lost };
}

/** Stores chunks that the masters record. */
async function putRecorded(store: Store, masters: Masters, seeds: readonly number[], intent = 5) {
  const chunks = seeds.map((seed) => makeChunk(5_000, seed));
  for (const chunk of chunks) {
    await putChunk(store, chunk, { intentIndex: intent });
    masters.recorded.set(chunk.chunkId, logIndex(intent));
  }
  return chunks;
}

describe("a chunkserver whose disk was set back to an older image", () => {
  it("reports the chunks that it has sealed since, with the intents of the masters", async () => {
    const first = await makeServer();
    const { masters, storage, store } = first;
    const old = await putRecorded(store, masters, [1, 2, 3]);
    const image = { disk: storage.disk.image(), stores: storage.stores.image() };
    const gone = await putRecorded(store, masters, [4, 5, 6, 7], 9);
    await first.run(20 * SECOND_MS);
    assert.deepEqual(first.lost(), [], "nothing is lost before");
    const stores = new MemoryStores({ image: image.stores });
    const again = await makeServer(masters, { disk: image.disk, stores });
    await again.run(20 * SECOND_MS);
    const lost = again.lost();
    assert.deepEqual(lost.map((loss) => loss.chunkId).sort(), gone.map((c) => c.chunkId).sort());
    assert.ok(lost.every((loss) => loss.intentIndex === 9));
    const logged = again.log.lines.map(({ fields }) => fields["chunkIds"] as ChunkId[]);
    assert.deepEqual(logged.flat().sort(), gone.map((c) => c.chunkId).sort());
    for (const chunk of old) await assertHolds(again.store, chunk);
  });

  it("asks the masters about copies that they no longer record", async () => {
    const { masters, store, run } = await makeServer();
    const [kept, dropped] = await putRecorded(store, masters, [1, 2]);
    assert.ok(kept && dropped);
    const all = [kept, dropped].map((chunk) => ({ ...chunk, intentIndex: logIndex(5) }));
    await store.applyConfirmations(
      all.map((chunk) => ({ ...chunk, verdict: "known" })),
      0,
    );
    masters.recorded.delete(dropped.chunkId);
    await run(20 * SECOND_MS);
    const due = store.unconfirmed(10).map((each) => each.chunkId);
    assert.deepEqual(due, [dropped.chunkId]);
  });
});

describe("the comparison with the masters", () => {
  it("notes no loss of a chunk that is sealed while they answer", async () => {
    const { masters, store, run, lost } = await makeServer();
    const chunk = makeChunk(5_000, 1);
    masters.recorded.set(chunk.chunkId, logIndex(5));
    masters.beforeAnswer = async () => {
      if (masters.calls.at(-1) === "find 1") await putChunk(store, chunk, { intentIndex: 5 });
    };
    assert.ok((await run(20 * SECOND_MS)).includes("find 1"));
    assert.deepEqual(lost(), []);
  });

  it("leaves a chunk that is sealed after its loss due for confirmation", async () => {
    const { masters, store, run, lost } = await makeServer();
    const chunk = makeChunk(5_000, 1);
    masters.recorded.set(chunk.chunkId, logIndex(5));
    await run(20 * SECOND_MS);
    assert.equal(lost().length, 1);
    await putChunk(store, chunk, { intentIndex: 5, lifetimeMs: 0 });
    assert.deepEqual(lost(), []);
    assert.equal(store.unconfirmed(10).length, 1);
  });

  it("begins within seconds, and runs again after the floor, a day, and a restore", async () => {
    const { masters, store, run } = await makeServer();
    await putRecorded(store, masters, [1, 2, 3]);
    assert.deepEqual(await run(20 * SECOND_MS), ["page", "page"]);
    masters.intentFloor = logIndex(100);
    assert.deepEqual(await run(60 * SECOND_MS), [], "a commit may still use an old receipt");
    masters.intentFloor = logIndex(101);
    assert.deepEqual(await run(20 * SECOND_MS), ["page", "page"]);
    assert.deepEqual(await run(DAY_MS - 60 * SECOND_MS), []);
    assert.deepEqual(await run(60 * SECOND_MS), ["page", "page"]);
    masters.restoreId = new Uint8Array(32).fill(2);
    masters.index = logIndex(1_000);
    assert.deepEqual(await run(20 * SECOND_MS), ["page", "page"]);
  });

  it("spreads the passes of servers that start together over ten seconds", async () => {
    const firstMs: number[] = [];
    const repeatedMs: number[] = [];
    for (let seed = 1; seed <= 100; seed += 1) {
      const server = await makeServer(new Masters(), undefined, seed);
      const { masters, run, untilCall } = server;
      firstMs.push(await untilCall());
      await run(60 * SECOND_MS);
      masters.intentFloor = logIndex(101);
      repeatedMs.push(await untilCall());
    }
    for (const timesMs of [firstMs, repeatedMs]) {
      const counts = new Array<number>(11).fill(0);
      for (const timeMs of timesMs) {
        const second = Math.min(10, Math.floor(timeMs / SECOND_MS));
        counts[second] = (counts[second] ?? 0) + 1;
      }
      assert.ok(Math.max(...counts) <= 25, counts.join(", "));
    }
  });

  it("continues with its page after a failed call, and needs a registration", async () => {
    const { masters, store, run, comparison, clock } = await makeServer();
    await putRecorded(store, masters, [1, 2, 3, 4, 5]);
    const { restoreId } = masters;
    masters.restoreId = null;
    assert.deepEqual(await run(20 * SECOND_MS), []);
    masters.restoreId = restoreId;
    while (masters.calls.length < 1) {
      await comparison.step(signal);
      await clock.advance(comparison.delayMs);
    }
    masters.error = new AshlarError("NO_LEADER", "there is none");
    await assert.rejects(comparison.step(signal), hasCode("NO_LEADER"));
    masters.error = null;
    assert.deepEqual(await run(20 * SECOND_MS), ["page", "page"]);
  });

  it("asks masters of a version without these calls again after an hour", async () => {
    const { masters, store, run } = await makeServer();
    await putRecorded(store, masters, [1]);
    masters.error = new AshlarError("UNSUPPORTED", "This server has no call fleet.list-copies");
    assert.deepEqual(await run(60 * SECOND_MS), []);
    masters.error = null;
    assert.deepEqual(await run(50 * 60 * SECOND_MS), []);
    assert.deepEqual(await run(20 * 60 * SECOND_MS), ["page"]);
  });
});

describe("a chunk that was requested and not found", () => {
  it("is noted as lost within seconds if the masters record it", async () => {
    const { masters, store, run, lost } = await makeServer();
    await run(20 * SECOND_MS);
    const ids = [1, 2, 3].map(chunkId);
    for (const id of ids) masters.recorded.set(id, logIndex(7));
    const [read, verified, described] = ids;
    assert.ok(read && verified && described);
    await assert.rejects(store.openChunk(read), hasCode("CHUNK_NOT_FOUND"));
    assert.equal(await store.verify(verified, new Uint8Array(65_536)), "absent");
    assert.throws(() => store.manifest(described), hasCode("CHUNK_NOT_FOUND"));
    assert.deepEqual(await run(6 * SECOND_MS), ["find 3"]);
    assert.deepEqual(
      lost().map((loss) => loss.chunkId),
      ids,
    );
  });

  it("costs the masters one bounded call in 5 s, however many are requested", async () => {
    const { masters, store, run, lost } = await makeServer();
    await run(20 * SECOND_MS);
    const calls: string[] = [];
    for (let second = 0; second < 30; second += 1) {
      for (let number = 0; number < 500; number += 1) {
        const id = chunkId(1_000 * second + number);
        await assert.rejects(store.openChunk(id), hasCode("CHUNK_NOT_FOUND"));
      }
      calls.push(...(await run(SECOND_MS)));
    }
    assert.ok(calls.length <= 7 && calls.every((call) => call === "find 200"), calls.join());
    assert.equal(masters.calls.length, 1 + calls.length);
    assert.deepEqual(lost(), []);
  });

  it("waits while there is no leader, with a bounded number of others", async () => {
    const { masters, store, run, comparison, clock } = await makeServer();
    await run(20 * SECOND_MS);
    masters.error = new AshlarError("NO_LEADER", "there is none");
    for (let round = 0; round < 10; round += 1) {
      for (let number = 0; number < 200; number += 1) {
        const id = chunkId(200 * round + number);
        await assert.rejects(store.openChunk(id), hasCode("CHUNK_NOT_FOUND"));
      }
      await assert.rejects(comparison.step(signal), hasCode("NO_LEADER"));
      await clock.advance(5 * SECOND_MS);
    }
    masters.error = null;
    const first = await run(SECOND_MS);
    const calls = [...first, ...(await run(10 * SECOND_MS))];
    assert.deepEqual(calls, ["find 200", "find 200"], "the kept ones, and the next ones");
  });
});

describe("compareCopies", () => {
  it("finds exactly the differences, with pages and indexes of any size", async () => {
    const numbers = fc.uniqueArray(fc.nat(4_000), { maxLength: 60 });
    const many = fc.boolean();
    await fc.assert(
      fc.asyncProperty(
        numbers,
        numbers,
        many,
        fc.integer({ min: 1, max: 30 }),
        async (...drawn) => {
          const [recorded, held, isLarge, pageChunks] = drawn;
          // More records than one page compares.
          const all = isLarge ? [...new Set([...held, ...range(1_000, 2_050)])] : held;
          const index = await indexWith(all);
          const found = await compareAll(index, recorded, pageChunks);
          const expected = recorded.filter((number) => !all.includes(number));
          assert.deepEqual(found, expected.map(chunkId).sort());
          const due = index.unconfirmedUntil(Number.MAX_SAFE_INTEGER - 1, 10_000);
          const unrecorded = all.filter((number) => !recorded.includes(number));
          assert.deepEqual([...due].sort(), unrecorded.map(chunkId).sort());
        },
      ),
      { numRuns: 15 },
    );
  });
});

const range = (start: number, end: number): number[] =>
  Array.from({ length: end - start }, (_, offset) => start + offset);

/** Returns an index with confirmed records. */
async function indexWith(numbers: readonly number[]): Promise<ChunkIndex> {
  const store = await new MemoryStores().open("index");
  const ignore = () => {};
  const index = new ChunkIndex(store, {
    runCommit: (commit) => commit(),
    requireWritable: ignore,
    onCommitted: ignore,
    onLost: ignore,
    onFailed: ignore,
    onFull: ignore,
  });
  const extents = [{ file: "large-000000000001" as never, offsetBytes: 0, lengthBytes: 1 }];
  await index.change((operation) => {
    for (const number of numbers) {
      const record = { lengthBytes: 1, extents, intentIndex: logIndex(1), confirmDueMs: 0 };
      operation.put(chunkId(number), record, new Uint8Array(32));
    }
  });
  return index;
}

/** Compares all pages. Returns the missing chunks. */
async function compareAll(
  index: ChunkIndex,
  recorded: readonly number[],
  pageChunks: number,
): Promise<ChunkId[]> {
  const deps = { index, clock: new VirtualClock() } as unknown as StoreDeps;
  const all = recorded.map(chunkId).sort();
  const missing: ChunkId[] = [];
  for (let after: ChunkId | null = null; ; ) {
    const rest = all.filter((id) => after === null || id > after);
    const chunkIds = rest.slice(0, pageChunks);
    const page: CopiesPage = { after, chunkIds, hasMore: rest.length > pageChunks };
    const compared = await compareCopies(deps, page);
    missing.push(...compared.missing);
    if (compared.comparedTo === null) return missing;
    after = compared.comparedTo;
  }
}
