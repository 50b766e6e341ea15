import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type ContentId, inodeKey, textToBytes } from "../../../master/namespace/keys.ts";
import { makeFileInode } from "../../../master/namespace/records.ts";
import { RowReader, RowWriter } from "../../../master/namespace/row-bytes.ts";
import { ENTRIES, INODES } from "../../../master/namespace/tree-tables.ts";
import type { InodeId, LogIndex } from "../../../shared/base/ids.ts";

/** Like `fc.record`, with the prototype of an object literal. */
const record = <Fields>(fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> }) =>
  fc.record<Fields>(fields, { noNullPrototype: true });

const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
/** Includes integers at the boundaries of the encoded lengths. */
const integer = fc.oneof(id, fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31));
const time = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0), // -0 becomes 0.
  integer,
);
const byteText = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .map((bytes) => String.fromCharCode(...bytes));

const common = record({
  id: id as fc.Arbitrary<InodeId>,
  parent: fc.option(id as fc.Arbitrary<InodeId>),
  name: byteText,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  gid: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  atimeMs: time,
  ctimeMs: time,
  version: id as fc.Arbitrary<LogIndex>,
  storageClass: fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
});
const content = fc.oneof(
  record({ kind: fc.constant("inline" as const), bytes: fc.uint8Array({ maxLength: 9_000 }) }),
  record({
    kind: fc.constant("chunks" as const),
    contentId: id as fc.Arbitrary<ContentId>,
    chunkCount: integer,
  }),
);
const inode = fc.oneof(
  common.map((fields) => ({ kind: "directory" as const, ...fields })),
  fc
    .tuple(
      common,
      record({
        mtimeMs: time,
        copiesWanted: fc.integer({ min: 1, max: 9 }),
        sizeBytes: integer,
        chunkSizeBytes: integer,
        contentRoot: fc.uint8Array({ minLength: 32, maxLength: 32 }),
        content,
      }),
    )
    .map(([fields, own]) => makeFileInode(fields, { atimeMs: fields.atimeMs, ...own })),
);

describe("a row of the tree's tables", () => {
  it("decodes to the encoded inode, without views of the row's memory", () => {
    fc.assert(
      fc.property(inode, (made) => {
        const key = inodeKey(made.id);
        const bytes = INODES.encode(made, key);
        const copy = bytes.slice();
        const back = INODES.decode(bytes, key);
        bytes.fill(0xee);
        assert.deepEqual(back, made);
        assert.deepEqual(INODES.encode(back, key), copy);
      }),
    );
  });

  it("decodes to the encoded entry", () => {
    const entry = record({
      inode: id as fc.Arbitrary<InodeId>,
      version: id as fc.Arbitrary<LogIndex>,
      isDirectory: fc.boolean(),
    });
    const key = inodeKey(1 as InodeId);
    fc.assert(
      fc.property(entry, (made) => {
        assert.deepEqual(ENTRIES.decode(ENTRIES.encode(made, key), key), made);
      }),
    );
  });

  it("is rejected if it is truncated", () => {
    const key = inodeKey(7 as InodeId);
    fc.assert(
      fc.property(inode, fc.nat(), (made, cut) => {
        const bytes = INODES.encode(made, key);
        const short = bytes.subarray(0, cut % bytes.length);
        assert.throws(() => INODES.decode(short, key), { name: "AssertionError" });
      }),
    );
  });
});

it("RowWriter writes the documented encoding, and RowReader reads it", () => {
  const row = new RowWriter();
  row.begin();
  row.byte(1);
  row.integer(300);
  row.integer(2 ** 35);
  row.number(1.5);
  row.bytes(Uint8Array.of(9, 8));
  row.text("é");
  const bytes = row.finish();
  const expected = [
    ...[1, 0xac, 0x02],
    ...[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    ...[0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
    ...[2, 9, 8],
    ...[1, ...textToBytes("é")],
  ];
  assert.deepEqual(Array.from(bytes), expected);
  const reader = new RowReader(bytes);
  assert.deepEqual(
    [reader.byte(), reader.integer(), reader.integer(), reader.number()],
    [1, 300, 2 ** 35, 1.5],
  );
  assert.deepEqual([reader.bytes(), reader.text()], [Uint8Array.of(9, 8), "é"]);
  assert.ok(reader.isAtEnd);
});
