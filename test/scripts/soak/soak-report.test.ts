import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  describeReport,
  type Round,
  type RunFacts,
  reportOf,
} from "../../../scripts/soak/soak-report.ts";

const CALL_SITE = "EIO master: fsync of log";

function round(variant: string, overrides: Partial<Round> = {}): Round {
  return {
    ...{ kind: "io-error", variant, nodes: ["m1/ext4"], fired: true, evidence: "ended with 1" },
    wholeMs: 1000,
    ...overrides,
  } as Round;
}

function facts(rounds: readonly Round[]): RunFacts {
  return {
    seconds: 60,
    traffic: { acknowledged: 1000, unknown: 0, reads: 1000, failedReads: 0, failedReadsByCode: {} },
    filesRead: 10,
    leaderChanges: 1,
    rounds,
    kinds: ["io-error"],
    violations: [],
  };
}

const missedFirst = (callSite: string): Round =>
  round("EIO master at first start: fsync of log", {
    fired: false,
    io: { callSite, isFirstStart: true },
  });

describe("the report of a soak run", () => {
  it("fails if an error under load did not fire in any attempt", () => {
    const io = { callSite: CALL_SITE, isFirstStart: false };
    const missed = round("EIO leader at load: fsync of log", { fired: false, io });
    const { ok, shortcomings } = reportOf(facts([missed, missed, round("another")]));
    assert.equal(ok, false);
    assert.deepEqual(shortcomings, ["io-error EIO leader at load: fsync of log: did not fire"]);
    const late = { ...missed, fired: true };
    assert.equal(reportOf(facts([missed, late])).ok, true, "the second attempt fired");
  });

  it("lists a step of a first start that did not fire, and passes if the call failed elsewhere", () => {
    const io = { callSite: CALL_SITE, isFirstStart: false };
    const elsewhere = round("EIO master at start: fsync of log", { io });
    const report = reportOf(facts([missedFirst(CALL_SITE), elsewhere]));
    assert.equal(report.ok, true);
    assert.match(
      describeReport(report),
      /NOT FIRED: EIO master at first start: fsync of log: fired as "EIO master at start: fsync of log"/,
    );
  });

  it("fails if a step of a first start did not fire in any phase", () => {
    const other = round("EIO master at start: fsync of .", {
      io: { callSite: "EIO master: fsync of .", isFirstStart: false },
    });
    const report = reportOf(facts([missedFirst(CALL_SITE), other]));
    assert.equal(report.ok, false);
    assert.equal(report.shortcomings.length, 1);
    assert.match(report.notMet[0] ?? "", /did not fire$/);
  });

  it("does not count an error in another phase as one under load", () => {
    const io = { callSite: CALL_SITE, isFirstStart: false };
    const rounds = [round("start", { io }), round("load", { fired: false, io })];
    assert.deepEqual(reportOf(facts(rounds)).shortcomings, ["io-error load: did not fire"]);
  });
});
