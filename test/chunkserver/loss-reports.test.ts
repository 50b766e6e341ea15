import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ChunkIndex } from "../../chunkserver/store/chunk-index.ts";
import { lostKeysAfter } from "../../chunkserver/store/index-keys.ts";
import { type LossReport, LossReports } from "../../chunkserver/store/loss-reports.ts";
import type { ChunkId } from "../../shared/base/ids.ts";
import { MemoryStores } from "../../shared/platform/memory-store.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { logIndex } from "./support/chunks.ts";

const MINUTE_MS = 60_000;

/** Returns a chunk id. The order of the ids is that of the numbers. */
const chunkId = (number: number) => number.toString(16).padStart(64, "0") as ChunkId;

/** A chunk index with the losses in it. */
async function makeLosses(stores = new MemoryStores()) {
  const clock = new VirtualClock();
  const store = await stores.open("index");
  const index: ChunkIndex = new ChunkIndex(store, {
    runCommit: (commit) => commit(),
    requireWritable: () => {},
    onCommitted: () => {},
    onLost: (id, intentIndex) => losses.note(id, intentIndex),
    onFailed: (error) => assert.fail(String(error)),
    onFull: (error) => assert.fail(error),
  });
  const losses: LossReports = new LossReports(index, clock);
  const lose = (first: number, last: number, intent: number): Promise<void> =>
    index.change((operation) => {
      for (let number = first; number <= last; number += 1) {
        const lost = { chunkId: chunkId(number), intentIndex: logIndex(intent) };
        operation.noteLost({ ...lost, reason: "corrupt" });
      }
    });
  const answer = (report: LossReport, floor?: number): Promise<void> =>
    losses.answered(report, { intentFloor: floor === undefined ? undefined : logIndex(floor) });
  const report = async (floor?: number, limit = 10): Promise<readonly ChunkId[]> => {
    const next = losses.next(limit);
    await answer(next, floor);
    return next.lost.map((loss) => loss.chunkId);
  };
  const seal = (number: number): Promise<void> =>
    index.change((operation) => operation.forgetLost(chunkId(number)));
  return { clock, stores, index, losses, lose, answer, report, seal };
}

describe("the losses of a chunkserver", () => {
  it("are reported at once, and once a minute until no commit can record the replica", async () => {
    const { clock, lose, report } = await makeLosses();
    await lose(1, 1, 137);
    assert.deepEqual(await report(137), [chunkId(1)]);
    await clock.advance(MINUTE_MS - 1);
    assert.deepEqual(await report(138), []);
    await clock.advance(1);
    assert.deepEqual(await report(137), [chunkId(1)], "the intent of the floor is not below it");
    await clock.advance(MINUTE_MS);
    assert.deepEqual(await report(138), [chunkId(1)]);
    await clock.advance(MINUTE_MS);
    assert.deepEqual(await report(138), []);
  });

  it("are reported once to a leader that states no floor", async () => {
    const { clock, lose, report } = await makeLosses();
    await lose(1, 1, 137);
    assert.deepEqual(await report(), [chunkId(1)]);
    await clock.advance(MINUTE_MS);
    assert.deepEqual(await report(), []);
  });

  it("of older versions, which have no intent, are reported once", async () => {
    const { index, report, clock } = await makeLosses();
    const key = Uint8Array.of(...lostKeysAfter(null).start, ...new Uint8Array(32));
    const value = new TextEncoder().encode("its extent file is missing");
    await index.change((operation) => operation.set(key, value));
    assert.deepEqual(await report(1), [chunkId(0)]);
    await clock.advance(MINUTE_MS);
    assert.deepEqual(await report(1), []);
  });

  it("stay if the heartbeat is not answered, and after a restart", async () => {
    const { losses, lose, report, stores, index } = await makeLosses();
    await lose(1, 2, 5);
    assert.equal(losses.next(10).lost.length, 2);
    assert.deepEqual(await report(1), [chunkId(1), chunkId(2)]);
    await index.close();
    const again = await makeLosses(stores);
    assert.deepEqual(await again.report(6), [chunkId(1), chunkId(2)]);
  });

  it("stay if the chunk was sealed and lost again while the report was answered", async () => {
    const { losses, lose, answer, report, seal } = await makeLosses();
    await lose(1, 1, 5);
    const first = losses.next(10);
    // In one commit with the answer.
    await Promise.all([seal(1), lose(1, 1, 9), answer(first, 6)]);
    assert.deepEqual(await report(10), [chunkId(1)]);
    assert.deepEqual(await report(10), []);
  });

  it("are not reported after the chunk was sealed again", async () => {
    const { lose, report, seal } = await makeLosses();
    await lose(1, 2, 5);
    await seal(1);
    assert.deepEqual(await report(5), [chunkId(2)]);
  });

  it("above one report follow in the next ones, while a new one comes first", async () => {
    const { stores, lose, index } = await makeLosses();
    await lose(1, 2_500, 5);
    await index.close();
    const { clock, report, lose: loseAgain } = await makeLosses(stores);
    assert.equal((await report(1, 1_000)).length, 1_000);
    await loseAgain(3_000, 3_000, 7);
    const second = await report(1, 1_000);
    assert.equal(second[0], chunkId(3_000));
    assert.equal(second[999], chunkId(1_999));
    assert.equal((await report(1, 1_000)).length, 502, "to the end of the table");
    assert.deepEqual(await report(1, 1_000), []);
    await clock.advance(MINUTE_MS);
    assert.equal((await report(1, 1_000)).length, 1_000);
  });

  it("are all reported at once if more are noted than one report has room for", async () => {
    const { lose, report } = await makeLosses();
    await report(1);
    await lose(1, 2_500, 5);
    const reported = new Set<ChunkId>();
    for (let count = 0; count < 8; count += 1) {
      for (const id of await report(1, 1_000)) reported.add(id);
    }
    assert.equal(reported.size, 2_500);
    assert.deepEqual(await report(1, 1_000), [], "and then after a pause");
  });
});
