import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LoadedEntries } from "../../../master/driver/loaded-entries.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";
import { entries, hardState, makeFixture, openLog } from "../storage/log-fixture.ts";

const range = (from: number, to: number) => ({
  fromIndex: from as LogIndex,
  toIndex: to as LogIndex,
});

describe("entries that were read from disk", () => {
  it("are not used after the log has replaced them", async () => {
    const fixture = Object.assign(makeFixture(), { cacheBytes: 1_000, segmentBytes: 2_000 });
    const log = await openLog(fixture);
    // Nothing is committed. A log that is opened has most of these entries on disk only.
    for (let index = 1; index <= 60; index += 10) {
      await log.append({
        hardState: hardState(1, 1, 0),
        entries: entries(index, index + 9, 1, 100),
      });
    }
    await log.close();
    const reopened = await openLog(fixture);
    const loaded = new LoadedEntries(reopened, 1_000_000);
    let loadedCount = 0;
    const onFailure = (_first: LogIndex, error: Error): never => assert.fail(error);
    loaded.listen({ onFailure, onLoaded: () => (loadedCount += 1) });
    const read = async (from: number) => {
      const before = loadedCount;
      const found = loaded.read(range(from, 61), 1_000_000);
      if (found !== null) return found;
      while (loadedCount === before) await new Promise(setImmediate);
      return loaded.read(range(from, 61), 1_000_000) ?? assert.fail("the entries are loaded");
    };
    const first = await read(5);
    assert.equal(first[0]?.term, 1);
    await reopened.append({
      hardState: hardState(2, 0, 0),
      entries: entries(5, 70, 2, 100),
    });
    const second = reopened.entries.slice(5 as LogIndex, 61 as LogIndex, 1e9) ?? (await read(5));
    assert.deepEqual([...new Set(second.map(({ term }) => Number(term)))], [2]);
    // The page of the old entries is not used, although it contains the index.
    assert.equal(loaded.read(range(5, 61), 1_000_000), null);
    await loaded.close();
    await reopened.close();
  });
});
