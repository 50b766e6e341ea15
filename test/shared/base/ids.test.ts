import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assert as check, present, unreachable } from "../../../shared/base/assert.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";
import { parseChunkId, parseClusterId, parseServerId } from "../../../shared/base/ids.ts";

describe("ids", () => {
  const parsers = [
    { parse: parseChunkId, digits: 64 },
    { parse: parseServerId, digits: 32 },
    { parse: parseClusterId, digits: 32 },
  ];

  it("consist of lower-case hex digits, in their exact length", () => {
    for (const { parse, digits } of parsers) {
      const good = "0123456789abcdef".repeat(4).slice(0, digits);
      assert.equal(parse(good), good);
      const bad = [
        "",
        good.slice(1),
        `${good}0`,
        good.toUpperCase(),
        `${good}\n`,
        ` ${good.slice(1)}`,
      ];
      for (const text of [...bad, `g${good.slice(1)}`]) {
        assert.throws(
          () => parse(text),
          (error) => isAshlarError(error, "INVALID_ARGUMENT"),
          JSON.stringify(text),
        );
      }
    }
  });

  it("are cut in the error message if they are too long", () => {
    assert.throws(
      () => parseChunkId("x".repeat(1_000_000)),
      (error: Error) => error.message.length < 200,
    );
  });
});

describe("assertions", () => {
  it("throw an AssertionError with the invariant as the message", () => {
    check(true, "unused");
    assert.throws(() => check(false, "the root exists"), {
      name: "AssertionError",
      message: "the root exists",
    });
    assert.equal(present(0, "a number"), 0);
    assert.throws(() => present(null, "a leader"), { name: "AssertionError" });
    assert.throws(() => present(undefined, "a leader"), { name: "AssertionError" });
    assert.throws(() => unreachable({ kind: "new" } as never), { message: /"kind":"new"/ });
  });
});
