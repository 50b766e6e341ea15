import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sendParts } from "../../../master/driver/snapshot-parts.ts";
import type { Digest, LogIndex } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { KeyValue, OrderedReader, RangeOptions } from "../../../shared/ports/ordered-store.ts";
import { encodePairs } from "../../../shared/protocol/pairs.ts";
import { SkippingClock } from "../../support/skipping-clock.ts";
import { hasher } from "../namespace/harness.ts";

const ROWS = 8_000;
const VALUE_BYTES = 100;
const PART_BYTES = 512 * 1024;
/** Bytes of the rows that one turn may read, with the row that shows the end of a slice. */
const TURN_BYTES_MAX = 64 * 1024 + 200;

/** Counts the bytes of the rows that are read in one turn of the event loop. */
class TurnReads extends SkippingClock {
  largestBytes = 0;
  #bytes = 0;

  override yieldTurn(): Promise<void> {
    this.#bytes = 0;
    return super.yieldTurn();
  }

  /** Returns `reader`, whose reads are counted. */
  counted(reader: OrderedReader): OrderedReader {
    const count = ({ key, value }: KeyValue): void => {
      this.#bytes += key.length + value.length;
      this.largestBytes = Math.max(this.largestBytes, this.#bytes);
    };
    return {
      get: (key) => reader.get(key),
      *range(options: RangeOptions) {
        for (const row of reader.range(options)) {
          count(row);
          yield row;
        }
      },
    };
  }
}

function keyOf(number: number): Uint8Array {
  return Buffer.from(`k${String(number).padStart(6, "0")}`);
}

describe("the transfer of a whole state", () => {
  for (const isHeld of [false, true]) {
    it(`reads few rows in each turn and sends full parts, ${isHeld ? "with changed ranges of the receiver" : "from the beginning"}`, async () => {
      const store = await new MemoryStores().open("sender");
      const rows = Array.from({ length: ROWS }, (_, number) => ({
        key: keyOf(number),
        value: new Uint8Array(VALUE_BYTES).fill(number),
      }));
      await store.commit(rows);
      const clock = new TurnReads();
      const reader = clock.counted(store.snapshot());
      const parts: Uint8Array[] = [];
      const send = async (_head: unknown, body?: Uint8Array): Promise<void> => {
        if (body !== undefined) parts.push(body);
      };
      // The receiver has all rows in one range, of which one has another value.
      const range = {
        end: keyOf(ROWS - 1),
        digest: new Uint8Array(32) as Digest,
      };
      const held = { ranges: [range], keep: async () => {}, drop: async () => {} };
      const options = { clock, hasher, partBytes: PART_BYTES, onDamage: () => {} };
      const snapshot = { reader, stateHash: null, index: 1 as LogIndex };
      await sendParts(snapshot, options, send, isHeld ? held : undefined);
      assert.deepEqual(Buffer.concat(parts), Buffer.from(encodePairs(rows)));
      assert.ok(clock.largestBytes <= TURN_BYTES_MAX, `${clock.largestBytes} bytes in one turn`);
      assert.equal(parts.length, Math.ceil(encodePairs(rows).length / PART_BYTES));
    });
  }
});
