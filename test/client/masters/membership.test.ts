import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MasterSession } from "../../../client/masters/master-session.ts";
import { ClusterMasters } from "../../../client/masters/membership.ts";
import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import type { MastersChange } from "../../../shared/protocol/masters-api.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

/** Masters of which 4 is a learner that has caught up; the leader refuses `refusals` changes. */
function mastersOf(refusals: number): { masters: ClusterMasters; changes: MastersChange[] } {
  const changes: MastersChange[] = [];
  const clock = new VirtualClock();
  const status = {
    committedIndex: 10,
    isJoint: false,
    masters: [
      { memberId: 1, address: "m1:1", vote: "voter" },
      {
        ...{ memberId: 4, address: "m4:1", vote: "learner" },
        progress: { state: "replicate", matchIndex: 10 },
      },
    ],
  };
  const session = {
    call: () => Promise.resolve(status),
    callOnce: (_method: unknown, change: MastersChange) => {
      changes.push(change);
      if (changes.length > refusals) return Promise.resolve({});
      return Promise.reject(new AshlarError("MEMBER_BEHIND", "no answer"));
    },
    refreshMasters: () => Promise.resolve(),
  };
  const sleeping = Object.assign(clock, { sleep: () => Promise.resolve() });
  return { masters: new ClusterMasters(session as unknown as MasterSession, sleeping), changes };
}

describe("a new master that has caught up", () => {
  const added = [{ memberId: 4, address: "m4:1" }];

  it("gets its vote although the leader has had no answer of it for a moment", async () => {
    const { masters, changes } = mastersOf(2);
    await masters.add(added);
    assert.deepEqual(
      changes.map(({ promote }) => promote),
      [[4], [4], [4]],
    );
  });

  it("is reported if the leader gets no answer of it again", async () => {
    const { masters, changes } = mastersOf(Number.POSITIVE_INFINITY);
    await assert.rejects(masters.add(added), (error) => isAshlarError(error, "MEMBER_BEHIND"));
    assert.equal(changes.length, 5);
  });
});
