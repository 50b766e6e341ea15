import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseTransaction } from "../../../client/cli/transaction-lines.ts";
import type { Transaction } from "../../../client/names/transaction.ts";
import { isAshlarError } from "../../../shared/base/errors.ts";

/** Returns the message for a file whose second line is `line`. */
function messageFor(line: string): string {
  try {
    parseTransaction(`# a comment\n${line}\n`, {} as Transaction);
  } catch (error) {
    assert.ok(isAshlarError(error, "INVALID_ARGUMENT"), String(error));
    return error.message;
  }
  throw new Error(`The line is accepted: ${line}`);
}

describe("a line of a transaction that cannot be used", () => {
  const ROOT = "64 lower-case hex digits";
  const cases: readonly (readonly [line: string, problem: string])[] = [
    ["{", "expected a JSON object: current value is {"],
    ["[1]", "expected a JSON object: current value is [1]"],
    ["null", "expected a JSON object: current value is null"],
    ["{}", 'expected the key "op" or "if"'],
    [
      '{"if":"gone","path":"/a"}',
      'expected one of absent, exists, version, content-root for "if": current value is "gone"',
    ],
    [
      '{"op":"create","path":"/a","mode":755}',
      'expected an octal mode in quotes such as "755" for "mode": current value is 755',
    ],
    [
      '{"op":"create","path":"/a","mode":"9"}',
      'expected an octal mode in quotes such as "755" for "mode": current value is "9"',
    ],
    ['{"op":"create","path":"/a","colour":"red"}', 'unknown key "colour"'],
    [
      '{"op":"create","path":"a"}',
      'expected a path that begins with "/" for "path": current value is "a"',
    ],
    ['{"op":"create"}', 'expected the key "path" or "path_base64"'],
    ['{"if":"version","path":"/a"}', 'expected the key "version"'],
    [
      '{"if":"version","path":"/a","version":-1}',
      'expected an integer of at least 0 for "version": current value is -1',
    ],
    [
      '{"if":"content-root","path":"/a","root":"AB"}',
      `expected ${ROOT} for "root": current value is "AB"`,
    ],
    [
      '{"op":"set-attributes","path":"/a","mtime":"soon"}',
      'expected a time in quotes such as 2026-11-21T09:00:00Z for "mtime": current value is "soon"',
    ],
    [
      '{"op":"set-attributes","path":"/a","mtime":"5"}', // Date.parse takes it for May 2001.
      'expected a time in quotes such as 2026-11-21T09:00:00Z for "mtime": current value is "5"',
    ],
    [
      '{"op":"put","path":"/a","replace":"yes"}',
      'expected true or false for "replace": current value is "yes"',
    ],
    [
      '{"op":"put","path":"/a","chunks":[{"id":5,"length_bytes":1}]}',
      `expected ${ROOT} for "chunks.0.id": current value is 5`,
    ],
    [
      '{"op":"put","path":"/a","chunks":[7]}',
      'expected an object for "chunks.0": current value is 7',
    ],
    [
      '{"op":"put","path":"/a","text":"a","base64":"YQ=="}',
      'expected exactly one of the keys "text", "base64" and "chunks": current value has 2 of them',
    ],
  ];
  for (const [line, problem] of cases) {
    it(`is reported with its number, the expectation and the value: ${line}`, () => {
      assert.equal(messageFor(line), `Cannot use line 2: ${problem}`);
    });
  }

  it("repeats at most 100 characters of the value", () => {
    const message = messageFor(JSON.stringify({ op: "create", path: "x".repeat(1_000) }));
    assert.ok(message.length < 250, message);
  });
});
