import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Configuration } from "../../../master/raft/membership.ts";
import {
  changeConfiguration,
  configurationOf,
  isJoint,
  isMember,
  membershipOf,
} from "../../../master/raft/membership.ts";
import type { ChangeOperation, MembershipChange } from "../../../master/raft/membership-change.ts";
import { decodeChange, LEAVE_JOINT, proposalOf } from "../../../master/raft/membership-change.ts";
import { quorumVote, votersOf } from "../../../master/raft/quorum.ts";
import type { MemberId } from "../../../shared/base/ids.ts";
import { EMPTY_MEMBERSHIP } from "../../support/raft-memory-storage.ts";
import { id } from "./raft-fixtures.ts";

const operations: fc.Arbitrary<ChangeOperation> = fc.record({
  kind: fc.constantFrom("add-voter", "add-learner", "remove", "update"),
  memberId: fc.integer({ min: 1, max: 6 }).map(id),
});
const contexts = fc.uint8Array({ maxLength: 20 });
const changes: fc.Arbitrary<MembershipChange> = fc.oneof(
  fc.record({
    kind: fc.constant("v1" as const),
    operation: operations,
    context: contexts,
  }),
  fc.record({
    kind: fc.constant("v2" as const),
    transition: fc.constantFrom("auto", "implicit", "explicit"),
    operations: fc.array(operations, { maxLength: 4 }),
    context: contexts,
  }),
);

/** What `history` makes of three voters; what is refused is left out. */
function after(history: readonly MembershipChange[]): readonly Configuration[] {
  const founding = configurationOf({ ...EMPTY_MEMBERSHIP, voters: [1, 2, 3].map(id) });
  const configurations: Configuration[] = [founding];
  for (const change of history) {
    const result = changeConfiguration(configurations.at(-1) as Configuration, change);
    if (result.kind === "changed") configurations.push(result.configuration);
  }
  return configurations;
}

function canDecide(configuration: Configuration, ids: readonly MemberId[]): boolean {
  const votes = new Map(ids.map((voter) => [voter, true] as const));
  return quorumVote(configuration.voters, votes) === "won";
}

describe("membership changes (Raft §6, thesis §4)", () => {
  it("never let two disjoint sets decide, one before the change and one after", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), (history) => {
        const configurations = after(history);
        for (const [place, next] of configurations.entries()) {
          const before = configurations[place - 1];
          if (before === undefined) continue;
          const all = [...new Set([...votersOf(before.voters), ...votersOf(next.voters)])];
          for (let bits = 0; bits < 2 ** all.length; bits += 1) {
            const side = all.filter((_, at) => (bits >> at) & 1);
            const others = all.filter((_, at) => ((bits >> at) & 1) === 0);
            assert.ok(!(canDecide(before, side) && canDecide(next, others)));
          }
        }
      }),
    );
  });

  it("always leave a voter", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), (history) => {
        for (const { voters } of after(history)) assert.ok(voters.incoming.size > 0);
      }),
    );
  });

  it("survive a snapshot", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), (history) => {
        for (const configuration of after(history)) {
          assert.deepEqual(configurationOf(membershipOf(configuration)), configuration);
        }
      }),
    );
  });

  it("survive the log, the context included", () => {
    fc.assert(
      fc.property(changes, (change) => {
        // The generator's records have no prototype.
        assert.deepEqual(decodeChange(proposalOf(change)), structuredClone(change));
      }),
    );
  });

  it("change nothing in the configuration before", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), changes, (history, change) => {
        const before = after(history).at(-1) as Configuration;
        const membership = membershipOf(before);
        changeConfiguration(before, change);
        assert.deepEqual(membershipOf(before), membership);
      }),
    );
  });

  it("add a learner without a vote, and promote it (thesis §4.2.1)", () => {
    const change = (kind: "add-learner" | "add-voter") =>
      ({ kind: "v1", operation: { kind, memberId: id(4) }, context: new Uint8Array(0) }) as const;
    const [, added, promoted] = after([change("add-learner"), change("add-voter")]);
    assert.ok(added !== undefined && promoted !== undefined);
    assert.deepEqual(membershipOf(added).voters, [1, 2, 3]);
    assert.deepEqual(membershipOf(added).learners, [4]);
    assert.deepEqual(membershipOf(promoted).voters, [1, 2, 3, 4]);
    assert.deepEqual(membershipOf(promoted).learners, []);
  });

  it("demote an outgoing voter only when the joint configuration is left", () => {
    const demotion = { kind: "add-learner", memberId: id(3) } as const;
    const change = { kind: "v2", transition: "explicit", context: new Uint8Array(0) } as const;
    const [, joint, left] = after([{ ...change, operations: [demotion] }, LEAVE_JOINT]);
    assert.ok(joint !== undefined && left !== undefined);
    assert.ok(isJoint(joint));
    assert.deepEqual(membershipOf(joint).learnersNext, [3]);
    assert.deepEqual(membershipOf(left).learners, [3]);
    assert.ok(isMember(left, id(3)));
  });

  it("encode leaving as nothing, so that no bound can refuse it", () => {
    assert.equal(proposalOf(LEAVE_JOINT).data.length, 0);
  });
});
