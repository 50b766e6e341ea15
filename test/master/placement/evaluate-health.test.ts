import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  evaluateHealth,
  evaluateLiveness,
  isMassLoss,
  isRepairDue,
} from "../../../master/placement/evaluate-health.ts";
import type { ServerId } from "../../../shared/base/ids.ts";

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
  return evaluateLiveness({ lastContactMs, isShutDown }, times, { nowMs, observedFromMs });
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
    const isDue = (isShutDown: boolean, nowMs: number) =>
      isRepairDue({ lastContactMs: 0, isShutDown }, times, { nowMs, observedFromMs: 0 });
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

describe("health of the cluster", () => {
  const server = (word: "live" | "dead") => ({
    serverId: word as string as ServerId,
    liveness: word,
    isDiskFailed: false,
  });
  const whole = {
    mastersTotal: 3,
    mastersReachable: 3,
    servers: [server("live"), server("live"), server("live")],
    chunksUnderReplicated: 0,
    chunksLost: 0,
    copiesMin: 2,
    isMassLoss: false,
  };

  it("is ok without reasons when nothing is missing", () => {
    assert.deepEqual(evaluateHealth(whole), { word: "ok", reasons: [] });
  });

  it("is degraded when servers or copies are missing and all data is readable", () => {
    const health = evaluateHealth({
      ...whole,
      mastersReachable: 2,
      servers: [server("live"), server("live"), server("dead")],
      chunksUnderReplicated: 1,
    });
    assert.deepEqual(health, {
      word: "degraded",
      reasons: [
        "1 of 3 masters unreachable",
        "1 of 3 chunkservers not live",
        "1 chunk with too few copies",
      ],
    });
  });

  it("is degraded by a failed disk, and critical if too few servers can store chunks", () => {
    const failed = { ...server("live"), isDiskFailed: true };
    const one = evaluateHealth({ ...whole, servers: [server("live"), server("live"), failed] });
    assert.deepEqual(one, { word: "degraded", reasons: ["1 chunkserver with a failed disk"] });
    const two = evaluateHealth({ ...whole, servers: [server("live"), failed, failed] });
    assert.deepEqual(two, {
      word: "critical",
      reasons: [
        "only 1 chunkserver without a failed disk: a write needs at least 2",
        "2 chunkservers with a failed disk",
      ],
    });
  });

  it("is critical when data cannot be read or a write is impossible", () => {
    assert.equal(evaluateHealth({ ...whole, chunksLost: 1 }).word, "critical");
    assert.equal(evaluateHealth({ ...whole, servers: [server("live")] }).word, "critical");
  });
});
