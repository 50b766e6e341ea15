import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  majorityIndex,
  majorityVote,
  quorumIndex,
  quorumVote,
} from "../../../master/raft/quorum.ts";
import type { LogIndex, MemberId } from "../../../shared/base/ids.ts";

const memberIds = fc.integer({ min: 1, max: 9 }).map((value) => value as MemberId);
const voterSets = fc.uniqueArray(memberIds, { maxLength: 7 });
const votes = fc
  .array(fc.tuple(memberIds, fc.boolean()))
  .map((pairs): ReadonlyMap<MemberId, boolean> => new Map(pairs));
const indexes = fc
  .array(fc.tuple(memberIds, fc.integer({ min: 0, max: 20 })))
  .map((pairs) => new Map(pairs as [MemberId, LogIndex][]));

/** Returns all subsets of `voters` with more than half of them. */
function majoritiesOf(voters: readonly MemberId[]): readonly (readonly MemberId[])[] {
  const ids = voters;
  const subsets: MemberId[][] = [];
  for (let bits = 0; bits < 2 ** ids.length; bits += 1) {
    subsets.push(ids.filter((_, index) => (bits >> index) & 1));
  }
  return subsets.filter((subset) => subset.length * 2 > ids.length);
}

describe("majorities (Raft §5.2, §5.3)", () => {
  it("have reached an index if all members of some majority have reached it", () => {
    fc.assert(
      fc.property(voterSets, indexes, (voters, reached) => {
        fc.pre(voters.length > 0);
        const byMajority = majoritiesOf(voters).map((majority) =>
          Math.min(...majority.map((id) => reached.get(id) ?? 0)),
        );
        assert.equal(
          majorityIndex(voters, (id) => reached.get(id)),
          Math.max(...byMajority),
        );
      }),
    );
  });

  it("win if some majority has granted, and lose if no majority can grant", () => {
    fc.assert(
      fc.property(voterSets, votes, (voters, given) => {
        fc.pre(voters.length > 0);
        const majorities = majoritiesOf(voters);
        const isWon = majorities.some((ids) => ids.every((id) => given.get(id) === true));
        const isOpen = majorities.some((ids) => ids.every((id) => given.get(id) !== false));
        const unwon = isOpen ? "pending" : "lost";
        const expected = isWon ? "won" : unwon;
        assert.equal(majorityVote(voters, given), expected);
      }),
    );
  });

  it("share at least one voter with any other majority", () => {
    fc.assert(
      fc.property(voterSets, (voters) => {
        const majorities = majoritiesOf(voters);
        for (const left of majorities) {
          for (const right of majorities) assert.ok(left.some((id) => right.includes(id)));
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe("joint quorums (Raft §6)", () => {
  it("need both majorities, independent of their order", () => {
    fc.assert(
      fc.property(voterSets, voterSets, votes, (voters, votersOutgoing, given) => {
        const result = quorumVote({ voters, votersOutgoing }, given);
        assert.equal(quorumVote({ voters: votersOutgoing, votersOutgoing: voters }, given), result);
        const both = [majorityVote(voters, given), majorityVote(votersOutgoing, given)];
        assert.equal(
          result === "won",
          both.every((half) => half === "won"),
        );
        assert.equal(
          result === "lost",
          both.some((half) => half === "lost"),
        );
      }),
    );
  });

  it("have reached an index if both majorities have reached it", () => {
    fc.assert(
      fc.property(voterSets, voterSets, indexes, (voters, votersOutgoing, reached) => {
        const indexOf = (id: MemberId) => reached.get(id);
        const halves = [majorityIndex(voters, indexOf), majorityIndex(votersOutgoing, indexOf)];
        assert.equal(quorumIndex({ voters, votersOutgoing }, indexOf), Math.min(...halves));
      }),
    );
  });

  it("need only the incoming majority if there are no outgoing voters", () => {
    fc.assert(
      fc.property(voterSets, votes, (voters, given) => {
        const sets = { voters, votersOutgoing: [] };
        assert.equal(quorumVote(sets, given), majorityVote(voters, given));
      }),
    );
  });
});
