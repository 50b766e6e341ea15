import type { VoteResult, VoterSets } from "../../../../master/raft/quorum.ts";
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

/** Evaluates quorums without a group: the directives `committed` and `vote`. */
export class QuorumScenario {
  /** Executes `directive`. @returns its output. */
  handle(directive: Directive): string {
    const sets: VoterSets = {
      voters: votersIn(directive, "cfg"),
      votersOutgoing: votersIn(directive, "cfgj"),
    };
    const isJoint = hasKey(directive, "cfgj");
    switch (directive.command) {
      case "committed":
        return committed(sets, isJoint, valuesByVoter(directive, "idx"));
      case "vote":
        return vote(sets, isJoint, valuesByVoter(directive, "votes"));
      default:
        return "unknown command";
    }
  }
}

type Ids = readonly MemberId[];
type IndexOf = (id: MemberId) => LogIndex | undefined;

function committed(
  sets: VoterSets,
  isJoint: boolean,
  values: ReadonlyMap<MemberId, string> | null,
): string {
  if (values === null) return mismatch(sets);
  const indexOf: IndexOf = (id) => {
    const value = values.get(id);
    return value === undefined ? undefined : (toInteger(value) as LogIndex);
  };
  const { voters } = sets;
  const index = isJoint ? quorumIndex(sets, indexOf) : majorityIndex(voters, indexOf);
  const table = describeIndexes(votersOf(sets), indexOf);
  const same = isJoint
    ? [["symmetry", quorumIndex(mirrored(sets), indexOf)] as const]
    : sameIndexes(voters, indexOf);
  const differing = same.filter(([, other]) => other !== index);
  const complaints = differing.map(([how, other]) => `${show(other)} <-- via ${how}\n`);
  return `${table}${complaints.join("")}${show(index)}`;
}

/** Computes the same index in other ways, as upstream's harness does. */
function sameIndexes(voters: Ids, indexOf: IndexOf): readonly (readonly [string, LogIndex])[] {
  const index = majorityIndex(voters, indexOf);
  const lowered = Array.from(voters).flatMap((id) => {
    const own = indexOf(id);
    if (own === undefined || own >= index) return [];
    // The index of a voter below the committed index can be lowered without an effect.
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
    ["zero-joint quorum", quorumIndex({ voters, votersOutgoing: [] }, indexOf)],
    ["self-joint quorum", quorumIndex({ voters, votersOutgoing: voters }, indexOf)],
    ...lowered,
  ];
}

/** Returns the highest index that more than half of `voters` have reached. Tries every index. */
function countedIndex(voters: Ids, indexOf: IndexOf): LogIndex {
  if (voters.length === 0) return Number.POSITIVE_INFINITY as LogIndex;
  const indexes = Array.from(voters, (id) => indexOf(id) ?? 0);
  const reached = indexes.filter((index) => {
    const count = indexes.filter((other) => other >= index).length;
    return count > voters.length / 2;
  });
  return Math.max(0, ...reached) as LogIndex;
}

function vote(
  sets: VoterSets,
  isJoint: boolean,
  values: ReadonlyMap<MemberId, string> | null,
): string {
  if (values === null) return mismatch(sets);
  const votes = new Map(Array.from(values, ([id, value]) => [id, value === "y"] as const));
  if (!isJoint) return VOTE_NAMES[majorityVote(sets.voters, votes)];
  const result = quorumVote(sets, votes);
  const other = quorumVote(mirrored(sets), votes);
  const complaint = other === result ? "" : `${VOTE_NAMES[other]} <-- via symmetry\n`;
  return `${complaint}${VOTE_NAMES[result]}`;
}

function mirrored({ voters, votersOutgoing }: VoterSets): VoterSets {
  return { voters: votersOutgoing, votersOutgoing: voters };
}

function votersIn(directive: Directive, key: string): Ids {
  const values = valuesOf(directive, key).filter((value) => value !== "zero");
  return [...new Set(values.map((value) => toInteger(value) as MemberId))];
}

/** Returns the values of `key`, assigned to the voters in their order; `_` means no value. */
function valuesByVoter(directive: Directive, key: string): ReadonlyMap<MemberId, string> | null {
  const voters = new Set([...votersIn(directive, "cfg"), ...votersIn(directive, "cfgj")]);
  const values = valuesOf(directive, key);
  if (values.length !== voters.size) return null;
  const pairs = Array.from(voters, (id, index) => [id, values[index] as string] as const);
  return new Map(pairs.filter(([, value]) => value !== "_"));
}

function mismatch(sets: VoterSets): string {
  return `error: mismatched input (explicit or _) for voters ${votersOf(sets).join(" ")}`;
}

function show(index: LogIndex): string {
  return index === Number.POSITIVE_INFINITY ? "∞" : String(index);
}
