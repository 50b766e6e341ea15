import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serveBackup } from "../../../master/driver/serve-backup.ts";
import { sendParts } from "../../../master/driver/snapshot-parts.ts";
import type { Digest, LogIndex } from "../../../shared/base/ids.ts";
import { MemoryStores } from "../../../shared/platform/memory-store.ts";
import type { KeyValue, OrderedReader, RangeOptions } from "../../../shared/ports/ordered-store.ts";
import { encodePairs } from "../../../shared/protocol/pairs.ts";
import { StateHash } from "../../../shared/protocol/state-hash.ts";
import { CallContexts } from "../../support/call-contexts.ts";
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
  /** Time of the read of a row, by which this clock is ahead. */
  rowMs = 0;
  /** Called for each row that is read. */
  onRead = (_bytes: number): void => {};
  #bytes = 0;

  override yieldTurn(): Promise<void> {
    this.#bytes = 0;
    return super.yieldTurn();
  }

  /** Returns `reader`, whose reads are counted. */
  counted(reader: OrderedReader): OrderedReader {
    const count = ({ key, value }: KeyValue): void => {
      this.skip(this.rowMs);
      this.onRead(key.length + value.length);
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
      const turn = (): Promise<void> => clock.yieldTurn();
      const options = { turn, hasher, partBytes: PART_BYTES, onDamage: () => {} };
      const snapshot = { reader, stateHash: null, index: 1 as LogIndex };
      await sendParts(snapshot, options, send, isHeld ? held : undefined);
      assert.deepEqual(Buffer.concat(parts), Buffer.from(encodePairs(rows)));
      assert.ok(clock.largestBytes <= TURN_BYTES_MAX, `${clock.largestBytes} bytes in one turn`);
      assert.equal(parts.length, Math.ceil(encodePairs(rows).length / PART_BYTES));
    });
  }
});

describe("the backups that clients read at the same time", () => {
  it("take a slice of each turn, as the calls of clients do", async () => {
    const store = await new MemoryStores().open("sender");
    const rows = Array.from({ length: 200 }, (_, number) => ({
      ...{ key: keyOf(number), value: new Uint8Array(1_000).fill(number) },
    }));
    await store.commit(rows);
    const stateHash = new StateHash();
    for (const { key, value } of rows) stateHash.add(key, value);
    const clock = new TurnReads();
    clock.rowMs = 0.05;
    const bytesOfTurns = [0];
    clock.onRead = (bytes) => {
      bytesOfTurns.push((bytesOfTurns.pop() ?? 0) + bytes);
    };
    let isDone = false;
    const counting = (async () => {
      while (!isDone) {
        await clock.yieldTurn();
        bytesOfTurns.push(0);
      }
    })();
    const contexts = new CallContexts(clock);
    const backups = Array.from({ length: 16 }, async () => {
      const snapshot = {
        ...{ index: 1 as LogIndex, term: 1, stateHash: stateHash.bytes(), release: () => {} },
        reader: clock.counted(store.snapshot()),
      };
      const context = contexts.make();
      const options = {
        ...{ clock, hasher, partBytes: PART_BYTES, stallMs: 1e6, onDamage: assert.fail },
        ...{ machine: { openSnapshot: () => snapshot }, turn: () => context.turn() },
        headFields: { clusterId: "c".repeat(32), featureLevel: 1 },
      };
      const stream = { send: async () => {}, end: () => {}, cancel: assert.fail };
      await context.turn();
      await serveBackup(stream as never, options as never);
    });
    await Promise.all(backups);
    isDone = true;
    await counting;
    const largestBytes = Math.max(...bytesOfTurns);
    assert.ok(largestBytes <= 3 * TURN_BYTES_MAX, `${largestBytes} bytes in one turn`);
  });
});
