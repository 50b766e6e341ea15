import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Deadline } from "../../client/deadline.ts";
import { isAshlarError } from "../../shared/base/errors.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

describe("the deadline of an operation", () => {
  it("gives every part its own limit, for years, if there is no timeout", async () => {
    const clock = new VirtualClock();
    using deadline = new Deadline(clock, "verify");
    for (const passedMs of [0, DAY_MS - 1, 1, DAY_MS, YEAR_MS, 10 * YEAR_MS]) {
      await clock.advance(passedMs);
      assert.equal(deadline.remainingMs(30_000), 30_000);
      deadline.check();
    }
    assert.equal(deadline.signal.aborted, false);
  });

  it("treats an infinite timeout as no timeout", async () => {
    const clock = new VirtualClock();
    using deadline = new Deadline(clock, "verify", { timeoutMs: Number.POSITIVE_INFINITY });
    await clock.advance(YEAR_MS);
    deadline.check();
    assert.equal(deadline.remainingMs(1_000), 1_000);
  });

  it("ends before any part of the operation times out", async () => {
    const clock = new VirtualClock();
    using deadline = new Deadline(clock, "verify", { timeoutMs: 500 });
    let hasPartTimedOut = false;
    clock.after(deadline.remainingMs(30_000), () => {
      hasPartTimedOut = true;
    });
    await clock.advance(500);
    assert.equal(deadline.signal.aborted, true);
    assert.equal(hasPartTimedOut, false);
  });

  it("ends with DEADLINE_EXCEEDED after a stall, before its timer has run", () => {
    const clock = new VirtualClock();
    using deadline = new Deadline(clock, "verify", { timeoutMs: 500 });
    clock.stall(501);
    const failed = new Error("no response within 1 ms");
    assert.ok(isAshlarError(deadline.causeOf(failed), "DEADLINE_EXCEEDED"));
    assert.throws(() => deadline.check(), { code: "DEADLINE_EXCEEDED" });
    assert.equal(deadline.signal.aborted, true);
  });

  it("returns the error of a part while it has time left", () => {
    using deadline = new Deadline(new VirtualClock(), "verify", { timeoutMs: 500 });
    const failed = new Error("connection refused");
    assert.equal(deadline.causeOf(failed), failed);
  });

  it("accepts a timeout of any length from 0 on, and refuses all else", () => {
    const clock = new VirtualClock();
    for (const timeoutMs of [0, 0.5, 2 ** 31, 2 ** 53, Number.POSITIVE_INFINITY]) {
      new Deadline(clock, "verify", { timeoutMs })[Symbol.dispose]();
    }
    for (const timeoutMs of [-1, Number.NaN, Number.NEGATIVE_INFINITY, "5" as unknown as number]) {
      assert.throws(() => new Deadline(clock, "verify", { timeoutMs }), {
        code: "INVALID_ARGUMENT",
        message: `Cannot verify: expected a timeout of at least 0 ms: current value is ${timeoutMs}`,
      });
    }
  });
});
