import { present } from "../../shared/base/assert.ts";
import { AshlarError, isAshlarError } from "../../shared/base/errors.ts";
import type { LogIndex, MemberId } from "../../shared/base/ids.ts";
import type { Clock } from "../../shared/ports/clock.ts";
import type { Log } from "../../shared/ports/log.ts";
import type { MemberAddress, MembershipChangeRequest, MembershipStatus } from "../consensus.ts";
import type { ChangeOperation, MembershipChange } from "../raft/membership-change.ts";
import { NO_MEMBER } from "../raft/messages.ts";
import type { ProposeRefusal } from "../raft/propose.ts";
import type { Leadership, ProgressStatus, RaftNode } from "../raft/raft.ts";
import {
  bestSuccessor,
  type ChangeContext,
  changeInProgress,
  checkChange,
  checkSuccessor,
  majorityAtRisk,
  votersMissingForMajority,
} from "./check-change.ts";
import { commitUnknown, noLeader, notLeader } from "./member-errors.ts";
import { encodeMemberRecords, type MemberRecord, memberIdsOf } from "./membership-record.ts";
import type { MembershipState } from "./membership-state.ts";
import type { Proposals } from "./proposals.ts";

const POLL_MS = 10;

export interface MembershipChangerOptions {
  readonly node: RaftNode;
  readonly membershipState: MembershipState;
  readonly proposals: Proposals;
  readonly clock: Clock;
  readonly log: Log;
  readonly electionTimeoutMsMin: number;
  readonly wake: () => void;
  /** Why this member takes part no longer; null: it does. */
  readonly haltReason: () => AshlarError | null;
  readonly isReady: () => boolean;
  /** The last entry that is applied. */
  readonly appliedIndex: () => LogIndex;
  /** Asks who listens at an address. @throws {AshlarError} if it is not `peer`, or cannot join. */
  readonly identify: (peer: MemberAddress) => Promise<{ readonly incarnation: string }>;
}

/** Changes of the membership, and of who leads, as people ask for them. */
export class MembershipChanger {
  readonly #options: MembershipChangerOptions;
  #isBusy = false;
  #jointEnd: {
    readonly resolve: () => void;
    readonly reject: (error: AshlarError) => void;
  } | null = null;

  constructor(options: MembershipChangerOptions) {
    this.#options = options;
  }

  view(): MembershipStatus {
    const { membershipState, node } = this.#options;
    const { membership } = membershipState;
    const { progress, id: ownId } = node.status();
    const members = membershipState.members.map(({ id, address }) => ({
      id,
      address,
      vote: voteOf(membership, id),
      progress: id === ownId ? null : progressOf(progress.find((each) => each.id === id)),
    }));
    // Until it is settled the old members are still needed.
    return { isJoint: membership.votersOutgoing.length > 0 || !this.#isSettled(), members };
  }

  /** One at a time: the next one is told. */
  async change(change: MembershipChangeRequest): Promise<LogIndex> {
    this.#requireLeader();
    if (this.#isBusy) throw changeInProgress();
    this.#isBusy = true;
    try {
      if (!this.#isSettled()) throw changeInProgress();
      checkChange(this.#context(), change);
      await this.#requireMajority(change);
      await this.#handOverIfRemoved(change);
      const added = await Promise.all(change.add.map((member) => this.#identify(member)));
      this.#requireLeader();
      checkChange(this.#context(), change); // Time has passed.
      return await this.#commit(change, added);
    } finally {
      this.#isBusy = false;
    }
  }

  async transfer(to: MemberId | null): Promise<MemberId> {
    this.#requireLeader();
    const { leaderId } = this.#context();
    if (to === leaderId) return leaderId;
    return this.#handOver(
      to === null ? await this.#chooseSuccessor([]) : await this.#checkedSuccessor(to),
    );
  }

  /** A leader that can take no more commands lets another one lead, who may. */
  yieldLeadership(): void {
    const { node, log } = this.#options;
    if (node.status().role !== "leader") return;
    this.transfer(null).catch((error: unknown) => {
      if (!isAshlarError(error)) throw error;
      log.warn("Nobody takes over from this leader", { error });
    });
  }

  /** A change is applied. */
  noteApplied(): void {
    if (this.#options.membershipState.membership.votersOutgoing.length > 0) return;
    this.#jointEnd?.resolve();
    this.#jointEnd = null;
  }

  /** This member leads no longer, or takes part no longer. */
  fail(error: AshlarError): void {
    this.#jointEnd?.reject(error);
    this.#jointEnd = null;
  }

  #context(): ChangeContext {
    const { membershipState, node } = this.#options;
    const { id, lastIndex, progress } = node.status();
    const { membership, members } = membershipState;
    return { membership, members, leaderId: id, lastIndex, progress };
  }

  #requireLeader(): void {
    const { node, isReady, haltReason } = this.#options;
    const reason = haltReason();
    if (reason !== null) throw reason;
    const { role, leaderId } = node.status();
    if (role !== "leader") throw notLeader(this.#options.membershipState.addressOf(leaderId));
    if (!isReady()) throw noLeader();
  }

  /** Who answers is counted anew in every election timeout: just after that nobody has answered yet. */
  async #checkWithRetry(check: () => void): Promise<void> {
    const { clock, electionTimeoutMsMin } = this.#options;
    const untilMs = clock.monotonicMs() + electionTimeoutMsMin;
    for (;;) {
      try {
        check();
        return;
      } catch (error) {
        if (clock.monotonicMs() >= untilMs) throw error;
      }
      await clock.sleep(POLL_MS);
      this.#requireLeader();
    }
  }

  async #checkedSuccessor(heir: MemberId): Promise<MemberId> {
    await this.#checkWithRetry(() => checkSuccessor(this.#context(), heir));
    return heir;
  }

  /** The best of the voters but `without`. @throws {AshlarError} MEMBER_BEHIND if there is none. */
  async #chooseSuccessor(without: readonly MemberId[]): Promise<MemberId> {
    const none = new AshlarError("MEMBER_BEHIND", "Cannot hand over: no other voter answers");
    const { membership, leaderId } = this.#context();
    const isAny = membership.voters.some((id) => id !== leaderId && !without.includes(id));
    if (!isAny) throw none;
    let heir: MemberId | null = null;
    await this.#checkWithRetry(() => {
      heir = bestSuccessor(this.#context(), without);
      if (heir === null) throw none;
    });
    return present<MemberId>(heir, "an heir was found");
  }

  async #requireMajority(change: MembershipChangeRequest): Promise<void> {
    if (change.promote.length + change.remove.length === 0) return;
    await this.#checkWithRetry(() => {
      const silent = votersMissingForMajority(this.#context(), change);
      if (silent.length > 0) throw majorityAtRisk(silent);
    });
  }

  /**
   * A leader that is to go hands over first: the next one goes on without an election timeout, and
   * stays to see the change settled.
   *
   * @throws {AshlarError} MEMBER_BEHIND if nobody takes over; where to go on if somebody has.
   */
  async #handOverIfRemoved({ remove, promote }: MembershipChangeRequest): Promise<void> {
    const { leaderId, membership } = this.#context();
    if (!remove.includes(leaderId)) return;
    if (membership.voters.every((id) => remove.includes(id)) && promote.length > 0) {
      throw new AshlarError(
        "MAJORITY_AT_RISK",
        `Cannot remove member ${leaderId}, which leads: no other voter stays`,
        { hint: "Give the new ones their vote first, then remove it" },
      );
    }
    const successor = await this.#handOver(await this.#chooseSuccessor(remove));
    throw notLeader(this.#options.membershipState.addressOf(successor));
  }

  async #handOver(heir: MemberId): Promise<MemberId> {
    const { node, clock, wake, electionTimeoutMsMin } = this.#options;
    const untilMs = clock.monotonicMs() + 3 * electionTimeoutMsMin;
    node.transferLeadership(heir);
    wake();
    while (clock.monotonicMs() < untilMs) {
      await clock.sleep(POLL_MS);
      const { role, leaderId, transferee } = node.status();
      if (role !== "leader" && leaderId !== NO_MEMBER) return leaderId;
      if (role !== "leader" || transferee !== NO_MEMBER) continue;
      // The core has given it up. One that just got its vote may not have known it: once more.
      node.transferLeadership(heir);
      wake();
    }
    if (node.status().role !== "leader") throw noLeader();
    throw new AshlarError(
      "MEMBER_BEHIND",
      `Cannot transfer to member ${heir}: it did not take over within an election timeout`,
    );
  }

  async #identify(member: MemberAddress): Promise<MemberRecord> {
    const { incarnation } = await this.#options.identify(member);
    return { ...member, incarnation };
  }

  async #commit(
    change: MembershipChangeRequest,
    added: readonly MemberRecord[],
  ): Promise<LogIndex> {
    const { node, membershipState, proposals, wake, log } = this.#options;
    const entry = entryOf(change, encodeMemberRecords(membershipState.recordsWith(added)));
    const result = node.proposeChange(entry);
    wake();
    if (result.kind !== "appended") {
      throw result.kind === "refused" ? this.#refusalOf(result.reason) : noLeader();
    }
    const { firstIndex: index, term } = result;
    log.info("The members are being changed", { ...change, index });
    await proposals.waitFor({ index, term });
    await this.#waitForJointEnd(term);
    await this.#waitUntilSettled(term);
    log.info("The members were changed", {
      index,
      members: memberIdsOf(membershipState.membership),
    });
    return index;
  }

  #refusalOf(reason: ProposeRefusal): AshlarError {
    if (reason === "change-not-allowed") return changeInProgress();
    if (reason === "overloaded") {
      return new AshlarError(
        "OVERLOADED",
        "Cannot change the members: too much is not applied yet",
      );
    }
    const { membershipState, node } = this.#options;
    return notLeader(membershipState.addressOf(node.status().leaderId));
  }

  /** Resolves when the new majority decides alone. The leader of the moment sees to it. */
  async #waitForJointEnd(term: Leadership["term"]): Promise<void> {
    if (this.#options.membershipState.membership.votersOutgoing.length === 0) return;
    this.#requireLeaderOf(term);
    await new Promise<void>((resolve, reject) => {
      this.#jointEnd = { resolve, reject };
    });
  }

  /**
   * Resolves when a majority of those that stay know for good that the change is made. Before, they
   * might need the old ones again: to be elected, or after their power failed.
   */
  async #waitUntilSettled(term: Leadership["term"]): Promise<void> {
    const { node, proposals, appliedIndex } = this.#options;
    this.#requireLeaderOf(term);
    const { settledIndex: index } = node.status();
    if (index > appliedIndex()) await proposals.waitFor({ index, term });
  }

  #isSettled(): boolean {
    const { node, appliedIndex } = this.#options;
    return node.status().settledIndex <= appliedIndex();
  }

  #requireLeaderOf(term: Leadership["term"]): void {
    const { node, haltReason } = this.#options;
    const status = node.status();
    if (haltReason() === null && status.role === "leader" && status.term === term) return;
    throw commitUnknown("leadership was lost while the members were being changed");
  }
}

function entryOf(
  { add, promote, remove }: MembershipChangeRequest,
  context: Uint8Array,
): MembershipChange {
  const operations: ChangeOperation[] = [
    ...add.map(({ id }) => ({ kind: "add-learner" as const, memberId: id })),
    ...promote.map((memberId) => ({ kind: "add-voter" as const, memberId })),
    ...remove.map((memberId) => ({ kind: "remove" as const, memberId })),
  ];
  return { kind: "v2", transition: "auto", operations, context };
}

function voteOf(
  { voters, votersOutgoing }: MembershipState["membership"],
  id: MemberId,
): MembershipStatus["members"][number]["vote"] {
  if (voters.includes(id)) return "voter";
  return votersOutgoing.includes(id) ? "leaving" : "learner";
}

function progressOf(
  progress: ProgressStatus | undefined,
): MembershipStatus["members"][number]["progress"] {
  if (progress === undefined) return null;
  const { state, matchIndex, isRecentlyActive } = progress;
  return { state: state.kind, matchIndex, isActive: isRecentlyActive };
}
