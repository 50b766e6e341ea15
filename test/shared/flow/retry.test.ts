import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nextDelayMs } from "../../../shared/flow/retry.ts";

const policy = { delayMsMin: 50, delayMsMax: 1000 };

describe("nextDelayMs", () => {
  it("doubles the bound with every attempt, up to the maximum", () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 1000].map((attempt) => nextDelayMs(attempt, policy, 0));
    assert.deepEqual(delays, [25, 50, 100, 200, 400, 500, 500, 500]);
  });

  it("selects a delay in the upper half of the bound", () => {
    assert.equal(nextDelayMs(1, policy, 0), 25);
    assert.equal(nextDelayMs(1, policy, 0.5), 37.5);
    assert.ok(nextDelayMs(1, policy, 0.999999) < 50);
  });

  it("asserts that the attempt is at least 1 and the fraction in [0, 1)", () => {
    assert.throws(() => nextDelayMs(0, policy, 0));
    assert.throws(() => nextDelayMs(1, policy, 1));
  });
});
