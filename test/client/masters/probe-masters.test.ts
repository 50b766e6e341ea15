import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type MasterProbe, summaryOf } from "../../../client/masters/probe-masters.ts";
import { describeMaster } from "../../../client/masters/probe-text.ts";

const LOG_FULL = { kind: "log", reason: "Cannot append to the log: no space left on device" };

function answering(memberId: number, diskFull: typeof LOG_FULL | null): MasterProbe {
  return {
    address: `m${memberId}:7400`,
    isVoter: true,
    answer: { memberId, role: "follower", term: 4, diskFull },
    problem: null,
    isRefused: false,
    isSilent: false,
  };
}

describe("a master whose log has failed because its disk is full", () => {
  it("does not count for a majority, although it answers", () => {
    const two = summaryOf([answering(1, LOG_FULL), answering(2, null), answering(3, null)]);
    assert.deepEqual([two.hasNoMajority, two.answeredCount], [false, 2]);
    const one = summaryOf([answering(1, LOG_FULL), answering(2, LOG_FULL), answering(3, null)]);
    assert.deepEqual([one.hasNoMajority, one.answeredCount], [true, 1]);
    assert.equal(one.isMajorityUncertain, false);
  });

  it("is described by its failure", () => {
    assert.equal(
      describeMaster(answering(1, LOG_FULL)),
      "m1:7400: takes no part: Cannot append to the log: no space left on device",
    );
  });
});
