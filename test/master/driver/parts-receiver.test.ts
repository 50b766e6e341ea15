import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PartsReceiver } from "../../../master/driver/parts-receiver.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import { encodePairs } from "../../../shared/protocol/pairs.ts";
import { SkippingClock } from "../../support/skipping-clock.ts";
import { hasher } from "../namespace/harness.ts";

describe("the receiver of the parts of a state", () => {
  it("hashes the rows once if no later transfer continues with them", async () => {
    const rows = Array.from({ length: 20 }, (_, number) => {
      return { key: Uint8Array.of(1, number), value: new Uint8Array(20) };
    });
    /** Returns the number of hashes of rows that a receiver computes. */
    const hashCount = async (ranges: [] | null): Promise<number> => {
      let count = 0;
      const stream = () => {
        count += 1;
        return hasher.stream();
      };
      const store = await new MemoryStores().open("receiver");
      const options = { clock: new SkippingClock(), ranges, rangeBytesMin: 20 };
      const parts = new PartsReceiver(store, { ...options, hasher: { ...hasher, stream } });
      const body = encodePairs(rows);
      await parts.receive({ kind: "part", entryCount: 20 }, { body, release: () => {} });
      assert.equal(parts.rowCount, 20);
      return count;
    };
    // One for all rows, and one for each range.
    assert.equal(await hashCount([]), 21);
    assert.equal(await hashCount(null), 1);
  });
});
