import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConsensusStatus } from "../../master/consensus.ts";
import { readiness } from "../../master/readiness.ts";
import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";

const FOLLOWER: ConsensusStatus = {
  memberId: 2 as MemberId,
  role: "follower",
  term: 3 as Term,
  leaderId: 1 as MemberId,
  leaderAddress: "m1:7400",
  isReady: false,
  lastIndex: 9 as LogIndex,
  committedIndex: 9 as LogIndex,
  appliedIndex: 9 as LogIndex,
  members: [],
  memberPhase: "member",
  waitingReason: null,
  refusal: null,
  diskFull: null,
  masters: [],
  learners: [],
};

function reasonOf(status: Partial<ConsensusStatus>): string | undefined {
  const { ready, reason } = readiness({ ...FOLLOWER, ...status }, "m2:7400");
  assert.equal(ready, reason === undefined);
  return reason;
}

describe("the readiness of a master", () => {
  it("names the log that has failed, and not the leader that is unknown because of it", () => {
    const reason = "Cannot append to the log: no space left on device";
    assert.equal(
      reasonOf({ leaderId: null, diskFull: { kind: "log", reason } }),
      `the log of this master has failed: ${reason}; free space and restart it`,
    );
  });

  it("ends while this master leads and refuses every change, because its disk is full", () => {
    const diskFull = { kind: "state", reason: "the disk of the state is full" } as const;
    assert.equal(reasonOf({ diskFull }), undefined);
    assert.equal(
      reasonOf({ role: "leader", diskFull }),
      "this master leads and refuses every change: the disk of the state is full",
    );
  });

  it("needs a leader and a membership", () => {
    assert.equal(reasonOf({}), undefined);
    assert.equal(reasonOf({ leaderId: null }), "no leader is known");
    assert.match(String(reasonOf({ memberPhase: "joining" })), /ashlar master add 2=m2:7400$/);
    assert.equal(reasonOf({ memberPhase: "removed" }), "this master was removed from the cluster");
    const removed = readiness({ ...FOLLOWER, memberPhase: "removed" }, "m2:7400");
    assert.equal(removed.code, "MASTER_REMOVED");
    assert.equal(reasonOf({ waitingReason: "waits" }), "this master waits");
  });
});
