import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr";
import type { FeedRecord } from "../../../master/namespace/feed-records.ts";
import { FEED, FEED_SIZES, feedKey, storedBytes } from "../../../master/namespace/feed-table.ts";
import { bytesToText } from "../../../master/namespace/keys.ts";
import { MsgpackArray } from "../../../master/namespace/msgpack-array.ts";
import type { LogIndex } from "../../../shared/base/ids.ts";

const packr = new Packr({ useRecords: false });
const key = feedKey({ index: 1 as LogIndex, sequence: 0 });

const name = fc.uint8Array({ minLength: 1, maxLength: 255 }).map(bytesToText);
const number = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.integer({ min: -1_000, max: -1 }),
  fc.double({ noNaN: true }),
);
const root = fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }));
const text = fc.oneof(fc.string({ maxLength: 300 }), fc.string({ minLength: 256, maxLength: 400 }));
const common = { timeMs: number, inode: fc.maxSafeNat(), parent: fc.maxSafeNat(), name };
const kinds: Record<FeedRecord["kind"], Record<string, fc.Arbitrary<unknown>>> = {
  created: {
    ...{ mode: number, uid: number, gid: number, mtimeMs: number, storageClass: text },
    ...{ sizeBytes: fc.maxSafeNat(), contentRoot: root },
  },
  content: { mtimeMs: number, sizeBytes: fc.maxSafeNat(), contentRoot: root },
  removed: { isTree: fc.boolean() },
  renamed: { from: fc.record({ parent: fc.maxSafeNat(), name }) },
  attributes: { mode: number, uid: number, gid: number, mtimeMs: number, atimeMs: number },
  "storage-class": { storageClass: text },
};
const event = fc.oneof(
  ...Object.entries(kinds).map(([kind, fields]) =>
    fc.record({
      ...{ kind: fc.constant(kind), inodeKind: fc.constantFrom("file", "directory") },
      ...{ ...common, ...fields },
    }),
  ),
) as unknown as fc.Arbitrary<FeedRecord>;

describe("a row of the feed that is read for its size", () => {
  it("has the size of its event, for events of every kind", () => {
    fc.assert(
      fc.property(event, (record) => {
        const row = FEED_SIZES.decode(FEED.encode(record, key), key);
        assert.deepEqual(row, { storedBytes: storedBytes(record) });
      }),
      { numRuns: 2_000 },
    );
  });

  it("is refused if it is truncated or is no array", () => {
    const record = { kind: "removed", inodeKind: "file", isTree: false } as const;
    const rest = { timeMs: 1, inode: 2, parent: 1, name: "name" };
    const row = FEED.encode({ ...record, ...rest } as unknown as FeedRecord, key);
    FEED_SIZES.decode(row, key);
    // The last field is not read.
    for (let length = 0; length < row.length - 6; length += 1) {
      assert.throws(() => FEED_SIZES.decode(row.subarray(0, length), key), `${length} bytes`);
    }
    assert.throws(() => FEED_SIZES.decode(packr.pack({ name: 1 }), key));
  });
});

describe("MsgpackArray", () => {
  it("skips values of every fixed length, and strings and bytes of up to 64 KiB", () => {
    const values = [null, true, false, -1, -200, 1, 300, 70_000, 2 ** 40, 0.5, "", "x".repeat(400)];
    for (const value of [...values, new Uint8Array(300), -(2 ** 20), -(2 ** 40)]) {
      const array = new MsgpackArray(packr.pack([value, 7, new Uint8Array(9), null]));
      assert.equal(array.byteOf(1), 7);
      assert.equal(array.lengthOf(2), 9);
      assert.ok(array.isNull(3));
    }
  });

  it("refuses nested values and fields that are not in order", () => {
    assert.throws(() => new MsgpackArray(packr.pack([[1], 2])).byteOf(1));
    const array = new MsgpackArray(packr.pack([1, 2]));
    array.byteOf(1);
    assert.throws(() => array.byteOf(0));
    assert.throws(() => array.byteOf(2));
  });
});
