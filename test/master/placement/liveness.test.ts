import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { evaluateLiveness, isMassLoss, isRepairDue } from "../../../master/placement/liveness.ts";

const times = {
  suspectMs: 3_000,
  deadMs: 10_000,
  repairDelayMs: 30_000,
  repairDelayStoppedMs: 600_000,
};

function liveness(
  lastContactMs: number | null,
  nowMs: number,
  observedFromMs = 0,
  isShutDown = false,
) {
  return evaluateLiveness({ lastContactMs, isShutDown, isRefused: false }, times, {
    nowMs,
    observedFromMs,
  });
}

describe("liveness of a chunkserver", () => {
  it("changes from live to suspect to dead by silence alone", () => {
    assert.equal(liveness(1_000, 3_999), "live");
    assert.equal(liveness(1_000, 4_000), "suspect");
    assert.equal(liveness(1_000, 11_000), "dead");
  });

  it("ignores silence from before the leader could receive messages", () => {
    assert.equal(liveness(0, 1_000_000, 999_000), "live");
    assert.equal(liveness(null, 1_000_000, 999_000), "live");
    assert.equal(liveness(null, 1_009_000, 999_000), "dead");
  });

  it("delays repair after a death, and longer after a clean shutdown", () => {
    const isDue = (isShutDown: boolean, nowMs: number) => {
      const contact = { lastContactMs: 0, isShutDown, isRefused: false };
      return isRepairDue(contact, times, { nowMs, observedFromMs: 0 });
    };
    assert.equal(isDue(false, 39_999), false);
    assert.equal(isDue(false, 40_000), true);
    assert.equal(isDue(true, 40_000), false);
    assert.equal(isDue(true, 600_000), true);
  });

  it("treats the loss of many servers at once as a mass loss, never that of one", () => {
    assert.equal(isMassLoss(1, 1, 0.3), false);
    assert.equal(isMassLoss(3, 10, 0.3), false);
    assert.equal(isMassLoss(4, 10, 0.3), true);
  });
});
