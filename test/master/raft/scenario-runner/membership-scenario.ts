import type { ChangeRefusal, ChangeResult } from "../../../../master/raft/membership.ts";
import {
  changeSimple,
  enterJoint,
  leaveJoint,
  membersOf,
} from "../../../../master/raft/membership.ts";
import type { Progress } from "../../../../master/raft/progress.ts";
import { syncProgress } from "../../../../master/raft/progress.ts";
import type { LogIndex, MemberId } from "../../../../shared/base/ids.ts";
import { EMPTY_MEMBERSHIP } from "../../../support/raft-memory-storage.ts";
import { describeMembership, describeProgress } from "./describe.ts";
import type { Directive } from "./parse-scenario.ts";
import { isTrue, parseOperations } from "./scenario-arguments.ts";

const REFUSALS: Readonly<Record<ChangeRefusal, string>> = {
  "already-joint": "config is already joint",
  "not-joint": "can't leave a non-joint config",
  "no-voters-yet": "can't make a zero-voter config joint",
  "no-voters-left": "removed all voters",
  "needs-joint": "more than one voter changed without entering joint config",
};

/** Applies membership changes without a group, and shows a leader's progress after each of them. */
export class MembershipScenario {
  #membership = EMPTY_MEMBERSHIP;
  readonly #progress = new Map<MemberId, Progress>();
  /** Incremented by every directive, so that the progress shows when it was created. */
  #lastIndex = 0;

  /** Executes `directive`. @returns its output. */
  handle(directive: Directive): string {
    const result = this.#change(directive);
    if (result === null) return "unknown command";
    const lastIndex = this.#lastIndex as LogIndex;
    this.#lastIndex += 1;
    if (result.kind === "refused") {
      const isSimple = directive.command === "simple" && result.reason === "already-joint";
      return isSimple
        ? "can't apply simple config change in joint config"
        : REFUSALS[result.reason];
    }
    this.#membership = result.membership;
    const limits = { messagesMax: 10, bytesMax: Number.POSITIVE_INFINITY };
    syncProgress(this.#progress, membersOf(this.#membership), { lastIndex, limits });
    return `${describeMembership(this.#membership)}\n${this.#describeAll()}`;
  }

  #change(directive: Directive): ChangeResult | null {
    const operations = parseOperations(directive.input);
    switch (directive.command) {
      case "simple":
        return changeSimple(this.#membership, operations);
      case "enter-joint": {
        const autoLeave = isTrue(directive, "autoleave");
        return enterJoint(this.#membership, operations, { autoLeave });
      }
      case "leave-joint":
        return leaveJoint(this.#membership);
      default:
        return null;
    }
  }

  #describeAll(): string {
    const sorted = [...this.#progress].sort(([left], [right]) => left - right);
    const lines = sorted.map(([id, progress]) => {
      const { state, matchIndex, nextIndex, isThrottled, isRecentlyActive, inflights } = progress;
      const status = { id, state, matchIndex, nextIndex, isThrottled, isRecentlyActive };
      const window = { inflightCount: inflights.count, isInflightFull: inflights.isFull };
      const isLearner = this.#membership.learners.includes(id);
      return `${id}: ${describeProgress({ ...status, ...window }, isLearner)}\n`;
    });
    return lines.join("");
  }
}
