import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { PARTS_MAX, parseRequestedRange } from "../../../client/gateway/requested-range.ts";

const everySecond = (count: number): string =>
  `bytes=${Array.from({ length: count }, (_, index) => `${2 * index}-${2 * index}`).join()}`;

describe("parseRequestedRange", () => {
  it("ignores what is not a list of byte ranges", () => {
    for (const header of [
      undefined,
      "",
      "bytes",
      "bytes=",
      "bytes=,",
      "bytes=-",
      "bytes=5-2",
      "bytes=0-1,5-2",
      "bytes=0-1;2-3",
      "bytes=a-1",
      "bytes=1-b",
      "bytes=+1-2",
      "bytes=0x1-2",
      "bytes=1 -2",
      "bytes=--1",
      "bytes=1-2-3",
      "bytes:1-2",
      "lines=1-2",
      "mybytes=1-2",
    ]) {
      assert.deepEqual(parseRequestedRange(header, 10), { kind: "whole" }, header);
    }
  });

  it("returns the parts of the file, joined where they overlap or touch", () => {
    const cases: ReadonlyArray<readonly [string, ReadonlyArray<readonly [number, number]>]> = [
      ["bytes=0-", [[0, 10]]],
      ["bytes=9-9", [[9, 10]]],
      ["bytes=0-99999999999999999999", [[0, 10]]],
      ["bytes=-99999999999999999999", [[0, 10]]],
      [
        "bytes= 1-2 ,\t4-5",
        [
          [1, 3],
          [4, 6],
        ],
      ],
      [
        "bytes=4-5,1-2",
        [
          [4, 6],
          [1, 3],
        ],
      ],
      ["bytes=4-5,1-3", [[1, 6]]],
      [
        "bytes=8-,-3,0-0",
        [
          [7, 10],
          [0, 1],
        ],
      ],
      ["bytes=0-1,0-1,0-1", [[0, 2]]],
    ];
    for (const [header, parts] of cases) {
      assert.deepEqual(
        parseRequestedRange(header, 10),
        { kind: "parts", parts: parts.map(([start, end]) => ({ start, end })) },
        header,
      );
    }
  });

  it("returns the whole file for more parts than one response may have", () => {
    const most = parseRequestedRange(everySecond(PARTS_MAX), 1_000);
    assert.equal(most.kind === "parts" ? most.parts.length : 0, PARTS_MAX);
    assert.equal(parseRequestedRange(everySecond(PARTS_MAX + 1), 1_000).kind, "whole");
    assert.equal(parseRequestedRange(`bytes=${"0-9,".repeat(3_000)}`, 1_000).kind, "parts");
  });

  it("knows ranges without a byte, also of an empty file", () => {
    for (const header of ["bytes=10-", "bytes=10-11,-0", "bytes=-0"]) {
      assert.equal(parseRequestedRange(header, 10).kind, "unsatisfiable", header);
    }
    assert.equal(parseRequestedRange("bytes=0-", 0).kind, "unsatisfiable");
    assert.equal(parseRequestedRange("bytes=-5", 0).kind, "whole");
  });

  it("returns exactly the bytes that are in one of the ranges", () => {
    const spec = fc.tuple(fc.nat(30), fc.nat(30)).map(([first, length]) => ({
      text: `${first}-${first + length}`,
      holds: (at: number) => at >= first && at <= first + length,
    }));
    fc.assert(
      fc.property(
        fc.array(spec, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 40 }),
        (specs, size) => {
          const range = parseRequestedRange(`bytes=${specs.map(({ text }) => text).join()}`, size);
          const parts = range.kind === "parts" ? range.parts : [];
          for (let at = 0; at < size; at += 1) {
            const count = parts.filter(({ start, end }) => at >= start && at < end).length;
            assert.equal(count, specs.some(({ holds }) => holds(at)) ? 1 : 0);
          }
        },
      ),
    );
  });
});
