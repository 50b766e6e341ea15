import type { Majority, Quorum, VoteResult } from "../../../../master/raft/quorum.ts";
import {
  majorityIndex,
  majorityVote,
  quorumIndex,
  quorumVote,
  votersOf,
} from "../../../../master/raft/quorum.ts";
import type { LogIndex, MemberId } from "../../../../shared/base/ids.ts";
import { describeIndexes } from "./describe.ts";
import type { Directive } from "./parse-scenario.ts";
import { hasKey, toInteger, valuesOf } from "./scenario-arguments.ts";

const VOTE_NAMES: Readonly<Record<VoteResult, string>> = {
  won: "VoteWon",
  lost: "VoteLost",
  pending: "VotePending",
};

/** The arithmetic of majorities alone: `committed` and `vote`. */
export class QuorumScenario {
  handle(directive: Directive): string {
    const quorum: Quorum = {
      incoming: majorityIn(directive, "cfg"),
      outgoing: majorityIn(directive, "cfgj"),
    };
    const isJoint = hasKey(directive, "cfgj");
    switch (directive.command) {
      case "committed":
        return committed(quorum, isJoint, valuesByVoter(directive, "idx"));
      case "vote":
        return vote(quorum, isJoint, valuesByVoter(directive, "votes"));
      default:
        return "unknown command";
    }
  }
}

type IndexOf = (id: MemberId) => LogIndex | undefined;

function committed(
  quorum: Quorum,
  isJoint: boolean,
  values: ReadonlyMap<MemberId, string> | null,
): string {
  if (values === null) return mismatch(quorum);
  const indexOf: IndexOf = (id) => {
    const value = values.get(id);
    return value === undefined ? undefined : (toInteger(value) as LogIndex);
  };
  const { incoming, outgoing } = quorum;
  const index = isJoint ? quorumIndex(quorum, indexOf) : majorityIndex(incoming, indexOf);
  const table = describeIndexes(new Set(votersOf(quorum)), indexOf);
  const same = isJoint
    ? [["symmetry", quorumIndex({ incoming: outgoing, outgoing: incoming }, indexOf)] as const]
    : sameIndexes(incoming, indexOf);
  const differing = same.filter(([, other]) => other !== index);
  const complaints = differing.map(([how, other]) => `${show(other)} <-- via ${how}\n`);
  return `${table}${complaints.join("")}${show(index)}`;
}

/** Other ways to the same index, as upstream's harness checks them. */
function sameIndexes(voters: Majority, indexOf: IndexOf): readonly (readonly [string, LogIndex])[] {
  const none: Majority = new Set();
  const index = majorityIndex(voters, indexOf);
  const lowered = Array.from(voters).flatMap((id) => {
    const own = indexOf(id);
    if (own === undefined || own >= index) return [];
    // Who lies below what is committed may lie anywhere below it.
    const below =
      (lower: number): IndexOf =>
      (other) =>
        other === id ? (lower as LogIndex) : indexOf(other);
    return [
      [`overlaying ${id} one lower`, majorityIndex(voters, below(own - 1))] as const,
      [`overlaying ${id} at 0`, majorityIndex(voters, below(0))] as const,
    ];
  });
  return [
    ["counting", countedIndex(voters, indexOf)],
    ["zero-joint quorum", quorumIndex({ incoming: voters, outgoing: none }, indexOf)],
    ["self-joint quorum", quorumIndex({ incoming: voters, outgoing: voters }, indexOf)],
    ...lowered,
  ];
}

/** The highest index that more than half of `voters` have reached, by trying each. */
function countedIndex(voters: Majority, indexOf: IndexOf): LogIndex {
  if (voters.size === 0) return Number.POSITIVE_INFINITY as LogIndex;
  const indexes = Array.from(voters, (id) => indexOf(id) ?? 0);
  const reached = indexes.filter((index) => {
    const count = indexes.filter((other) => other >= index).length;
    return count > voters.size / 2;
  });
  return Math.max(0, ...reached) as LogIndex;
}

function vote(
  quorum: Quorum,
  isJoint: boolean,
  values: ReadonlyMap<MemberId, string> | null,
): string {
  if (values === null) return mismatch(quorum);
  const votes = new Map(Array.from(values, ([id, value]) => [id, value === "y"] as const));
  const { incoming, outgoing } = quorum;
  if (!isJoint) return VOTE_NAMES[majorityVote(incoming, votes)];
  const result = quorumVote(quorum, votes);
  const mirrored = quorumVote({ incoming: outgoing, outgoing: incoming }, votes);
  const complaint = mirrored === result ? "" : `${VOTE_NAMES[mirrored]} <-- via symmetry\n`;
  return `${complaint}${VOTE_NAMES[result]}`;
}

function majorityIn(directive: Directive, key: string): Majority {
  const values = valuesOf(directive, key).filter((value) => value !== "zero");
  return new Set(values.map((value) => toInteger(value) as MemberId));
}

/** The values of `key` for the voters in the order of their first mention; `_` stands for none. */
function valuesByVoter(directive: Directive, key: string): ReadonlyMap<MemberId, string> | null {
  const voters = new Set([...majorityIn(directive, "cfg"), ...majorityIn(directive, "cfgj")]);
  const values = valuesOf(directive, key);
  if (values.length !== voters.size) return null;
  const pairs = Array.from(voters, (id, place) => [id, values[place] as string] as const);
  return new Map(pairs.filter(([, value]) => value !== "_"));
}

function mismatch(quorum: Quorum): string {
  return `error: mismatched input (explicit or _) for voters ${votersOf(quorum).join(" ")}`;
}

function show(index: LogIndex): string {
  return index === Number.POSITIVE_INFINITY ? "∞" : String(index);
}
