import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AshlarError } from "../../../shared/base/errors.ts";
import { daemonStatusOf, reportDaemonError } from "../../../shared/platform/daemon-error.ts";

/** Returns what is written to standard error for `error`. */
function reported(error: unknown, isTTY: boolean): string {
  let text = "";
  const write = (part: string): void => {
    text += part;
  };
  reportDaemonError("gateway", error, { isTTY, write });
  return text;
}

const REFUSED = new AshlarError("INVALID_ARGUMENT", "Cannot read the command line: no value", {
  hint: "ashlar gateway --help lists the flags",
});

describe("reportDaemonError", () => {
  it("prints the message and the hint as text on a terminal", () => {
    assert.equal(
      reported(REFUSED, true),
      "ashlar gateway: Cannot read the command line: no value\n" +
        "  hint: ashlar gateway --help lists the flags\n",
    );
  });

  it("prints one JSON line if the stream is not a terminal", () => {
    const text = reported(REFUSED, false);
    assert.equal(text.indexOf("\n"), text.length - 1);
    const { level, role, message, code, hint } = JSON.parse(text);
    assert.deepEqual([level, role, code], ["error", "gateway", "INVALID_ARGUMENT"]);
    assert.deepEqual([message, hint], [REFUSED.message, REFUSED.hint]);
  });

  it("adds the stack of an error that has no code", () => {
    const bug = new TypeError("A bug");
    assert.match(reported(bug, true), /^ashlar gateway: A bug\nTypeError: A bug\n {4}at /);
    assert.match(JSON.parse(reported(bug, false)).error.stack, /^TypeError: A bug\n/);
  });
});

describe("daemonStatusOf", () => {
  it("returns the status of the code, or 1 for other errors", () => {
    assert.equal(daemonStatusOf(REFUSED), 2);
    assert.equal(daemonStatusOf(new TypeError("A bug")), 1);
  });
});
