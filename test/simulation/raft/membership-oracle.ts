import type { ChangeOperation, MembershipChange } from "../../../master/raft/membership-change.ts";
import { decodeChange } from "../../../master/raft/membership-change.ts";
import type { Entry, Membership } from "../../../master/raft/messages.ts";
import { unreachable } from "../../../shared/base/assert.ts";
import type { LogIndex, MemberId } from "../../../shared/base/ids.ts";

/** The membership from one index on. */
interface Step {
  readonly index: LogIndex;
  readonly membership: Membership;
}

/**
 * Computes the expected membership after each change in the log (Raft §6, thesis §4.3). It does not
 * use the functions of the core, because they are under test.
 */
export class MembershipOracle {
  readonly #steps: Step[] = [];

  constructor(founding: Step) {
    this.#steps.push(founding);
  }

  /** Returns the membership at `index`. Some member must have applied all entries up to it. */
  at(index: LogIndex): Membership {
    const step = this.#steps.findLast((each) => each.index <= index);
    if (step === undefined) throw new Error(`No membership at index ${index}`);
    return step.membership;
  }

  /** Applies `entry`, a change. Some member must have applied all entries before it. */
  apply(entry: Entry): Membership {
    const last = this.#steps.at(-1) as Step;
    if (entry.index > last.index) {
      const membership = after(last.membership, decodeChange(entry));
      this.#steps.push({ index: entry.index, membership });
    }
    return this.at(entry.index);
  }
}

function after(before: Membership, change: MembershipChange): Membership {
  if (change.kind === "v1") return draft(before, [change.operation]);
  const { operations, transition } = change;
  if (transition === "auto" && operations.length === 0) return left(before);
  if (transition === "auto" && operations.length === 1) return draft(before, operations);
  const joint = { ...before, votersOutgoing: before.voters, autoLeave: transition !== "explicit" };
  return draft(joint, operations);
}

/** Leaves the joint configuration: next learners become learners, other outgoing voters leave. */
function left({ voters, learners, learnersNext }: Membership): Membership {
  return {
    voters,
    votersOutgoing: [],
    learners: sorted([...learners, ...learnersNext]),
    learnersNext: [],
    autoLeave: false,
  };
}

function draft(before: Membership, operations: readonly ChangeOperation[]): Membership {
  let membership = before;
  for (const operation of operations) membership = changed(membership, operation);
  return membership;
}

function changed(before: Membership, { kind, memberId }: ChangeOperation): Membership {
  const others = {
    ...before,
    voters: before.voters.filter((id) => id !== memberId),
    learners: before.learners.filter((id) => id !== memberId),
    learnersNext: before.learnersNext.filter((id) => id !== memberId),
  };
  switch (kind) {
    case "update":
      return before;
    case "remove":
      return others;
    case "add-voter":
      return { ...others, voters: sorted([...others.voters, memberId]) };
    case "add-learner":
      return before.votersOutgoing.includes(memberId)
        ? { ...others, learnersNext: sorted([...others.learnersNext, memberId]) }
        : { ...others, learners: sorted([...others.learners, memberId]) };
    default:
      return unreachable(kind);
  }
}

const sorted = (ids: readonly MemberId[]): readonly MemberId[] =>
  ids.toSorted((one, other) => one - other);
