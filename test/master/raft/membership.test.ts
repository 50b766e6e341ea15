import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ByteReader } from "../../../master/raft/byte-reader.ts";
import { ByteWriter } from "../../../master/raft/byte-writer.ts";
import { readMembership, writeMembership } from "../../../master/raft/encoding.ts";
import { changeMembership, isJoint, isMember } from "../../../master/raft/membership.ts";
import type { ChangeOperation, MembershipChange } from "../../../master/raft/membership-change.ts";
import { decodeChange, LEAVE_JOINT, proposalOf } from "../../../master/raft/membership-change.ts";
import type { Membership } from "../../../master/raft/messages.ts";
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

/** Applies `history` to three voters. @returns the membership after each accepted change. */
function after(history: readonly MembershipChange[]): readonly Membership[] {
  const founding = { ...EMPTY_MEMBERSHIP, voters: [1, 2, 3].map(id) };
  const memberships: Membership[] = [founding];
  for (const change of history) {
    const result = changeMembership(memberships.at(-1) as Membership, change);
    if (result.kind === "changed") memberships.push(result.membership);
  }
  return memberships;
}

function canDecide(membership: Membership, ids: readonly MemberId[]): boolean {
  const votes = new Map(ids.map((voter) => [voter, true] as const));
  return quorumVote(membership, votes) === "won";
}

describe("membership changes (Raft §6, thesis §4)", () => {
  it("never allow disjoint quorums before and after one change", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), (history) => {
        const memberships = after(history);
        for (const [index, next] of memberships.entries()) {
          const before = memberships[index - 1];
          if (before === undefined) continue;
          const all = [...new Set([...votersOf(before), ...votersOf(next)])];
          for (let bits = 0; bits < 2 ** all.length; bits += 1) {
            const side = all.filter((_, at) => (bits >> at) & 1);
            const others = all.filter((_, at) => ((bits >> at) & 1) === 0);
            assert.ok(!(canDecide(before, side) && canDecide(next, others)));
          }
        }
      }),
    );
  });

  it("always leave at least one voter", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), (history) => {
        for (const { voters } of after(history)) assert.ok(voters.length > 0);
      }),
    );
  });

  it("are unchanged after encoding in a snapshot", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), (history) => {
        for (const membership of after(history)) {
          const writer = new ByteWriter();
          writeMembership(writer, membership);
          assert.deepEqual(readMembership(new ByteReader(writer.finish())), membership);
        }
      }),
    );
  });

  it("are unchanged after encoding in the log, including the context", () => {
    fc.assert(
      fc.property(changes, (change) => {
        // structuredClone, because records of fast-check have no prototype.
        assert.deepEqual(decodeChange(proposalOf(change)), structuredClone(change));
      }),
    );
  });

  it("do not modify the previous membership", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 12 }), changes, (history, change) => {
        const before = after(history).at(-1) as Membership;
        const membership = structuredClone(before);
        changeMembership(before, change);
        assert.deepEqual(before, membership);
      }),
    );
  });

  it("add a learner without a vote and promote it (thesis §4.2.1)", () => {
    const change = (kind: "add-learner" | "add-voter") =>
      ({ kind: "v1", operation: { kind, memberId: id(4) }, context: new Uint8Array(0) }) as const;
    const [, added, promoted] = after([change("add-learner"), change("add-voter")]);
    assert.ok(added !== undefined && promoted !== undefined);
    assert.deepEqual(added.voters, [1, 2, 3]);
    assert.deepEqual(added.learners, [4]);
    assert.deepEqual(promoted.voters, [1, 2, 3, 4]);
    assert.deepEqual(promoted.learners, []);
  });

  it("demote an outgoing voter only when leaving the joint configuration", () => {
    const demotion = { kind: "add-learner", memberId: id(3) } as const;
    const change = { kind: "v2", transition: "explicit", context: new Uint8Array(0) } as const;
    const [, joint, left] = after([{ ...change, operations: [demotion] }, LEAVE_JOINT]);
    assert.ok(joint !== undefined && left !== undefined);
    assert.ok(isJoint(joint));
    assert.deepEqual(joint.learnersNext, [3]);
    assert.deepEqual(left.learners, [3]);
    assert.ok(isMember(left, id(3)));
  });

  it("encode leaving a joint configuration as zero bytes, so that no limit refuses it", () => {
    assert.equal(proposalOf(LEAVE_JOINT).data.length, 0);
  });
});
