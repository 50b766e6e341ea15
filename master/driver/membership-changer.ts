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
import type { RefusedMessages } from "./refused-messages.ts";

/** Interval in which conditions of the core are checked, in milliseconds. */
const POLL_MS = 10;

/** Dependencies and settings of a MembershipChanger. */
export interface MembershipChangerOptions {
  readonly node: RaftNode;
  readonly membershipState: MembershipState;
  readonly proposals: Proposals;
  readonly refused: Pick<RefusedMessages, "refusalOf">;
  readonly clock: Clock;
  readonly log: Log;
  readonly electionTimeoutMsMin: number;
  /** Starts a turn of the loop, so that the work of the core is carried out. */
  readonly wake: () => void;
  /** Returns the error with which this member halted, or null while it runs. */
  readonly haltReason: () => AshlarError | null;
  /** Returns whether this member leads and has applied an entry of its own term. */
  readonly isReady: () => boolean;
  /** Returns the index of the last applied entry. */
  readonly appliedIndex: () => LogIndex;
  /**
   * Connects to the address and returns the incarnation of the member there.
   *
   * @throws {AshlarError} see `identifyPeer`
   */
  readonly identify: (peer: MemberAddress) => Promise<{ readonly incarnation: string }>;
}

/** Carries out membership changes and leadership transfers that an operator requests. */
export class MembershipChanger {
  readonly #options: MembershipChangerOptions;
  /** Whether a change is being carried out by this member. */
  #isYielding = false;
  #isBusy = false;
  /** The change that waits for the end of its joint configuration, or null. */
  #jointEnd: {
    readonly resolve: () => void;
    readonly reject: (error: AshlarError) => void;
  } | null = null;

  constructor(options: MembershipChangerOptions) {
    this.#options = options;
  }

  /** Returns the members and, on the leader, their replication progress. */
  view(): MembershipStatus {
    const { membershipState, node, refused } = this.#options;
    const { membership } = membershipState;
    const { progress, id: ownId } = node.status();
    const members = membershipState.members.map(({ id, address }) => ({
      id,
      address,
      vote: voteOf(membership, id),
      progress: progressOf(
        progress.find((each) => each.id === id && id !== ownId),
        refused,
      ),
    }));
    // Until the change is settled, the members that it removes may still be needed.
    return { isJoint: membership.votersOutgoing.length > 0 || !this.#isSettled(), members };
  }

  /**
   * Carries out one membership change. At most one change runs at the same time.
   *
   * Resolves with the index of its entry when the change is settled: see `#waitUntilSettled`.
   *
   * @throws {AshlarError} see `Consensus.changeMembers`
   */
  async change(change: MembershipChangeRequest): Promise<LogIndex> {
    this.#requireLeader();
    if (this.#isBusy) throw changeInProgress();
    this.#isBusy = true;
    try {
      if (!this.#isSettled()) throw changeInProgress();
      checkChange(this.#context(), change);
      await this.#requireMajority(change);
      await this.#transferIfRemoved(change);
      const added = await Promise.all(change.add.map((member) => this.#identify(member)));
      this.#requireLeader();
      checkChange(this.#context(), change); // The membership may have changed during the awaits.
      return await this.#commit(change, added);
    } finally {
      this.#isBusy = false;
    }
  }

  /**
   * Transfers leadership to member `to`, or to the best successor if `to` is null. Resolves with
   * the new leader.
   *
   * @throws {AshlarError} see `Consensus.transferLeadership`
   */
  async transfer(to: MemberId | null): Promise<MemberId> {
    this.#requireLeader();
    const { leaderId } = this.#context();
    if (to === leaderId) return leaderId;
    return this.#transferTo(
      to === null ? await this.#chooseSuccessor([]) : await this.#checkedSuccessor(to),
    );
  }

  /** Transfers leadership to any successor, if this member leads. A failure is only logged. */
  yieldLeadership(): void {
    const { node, log } = this.#options;
    if (node.status().role !== "leader" || this.#isYielding) return;
    this.#isYielding = true;
    this.transfer(null)
      .catch((error: unknown) => {
        if (!isAshlarError(error)) throw error;
        log.warn("Cannot transfer leadership: no successor took over", { error });
      })
      .finally(() => {
        this.#isYielding = false;
      });
  }

  /** Whether `yieldLeadership` has not ended: a successor may take over soon. */
  get isYielding(): boolean {
    return this.#isYielding;
  }

  /** Completes the wait for the end of a joint configuration. Called after a change is applied. */
  noteApplied(): void {
    if (this.#options.membershipState.membership.votersOutgoing.length > 0) return;
    this.#jointEnd?.resolve();
    this.#jointEnd = null;
  }

  /** Fails the pending change with `error`, because this member no longer leads or has halted. */
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

  /** @throws {AshlarError} NOT_LEADER, NO_LEADER, or the error with which this member halted */
  #requireLeader(): void {
    const { node, isReady, haltReason } = this.#options;
    const reason = haltReason();
    if (reason !== null) throw reason;
    const { role, leaderId } = node.status();
    if (role !== "leader") throw notLeader(this.#options.membershipState.addressOf(leaderId));
    if (!isReady()) throw noLeader();
  }

  /**
   * Repeats `check` until it passes, for at most one election timeout. The core resets the activity
   * of its followers once in every election timeout, so just after a reset all followers seem
   * inactive.
   *
   * @throws the last error of `check`
   */
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

  /** Resolves with `successor` when it can become the leader. @throws see `checkSuccessor` */
  async #checkedSuccessor(successor: MemberId): Promise<MemberId> {
    await this.#checkWithRetry(() => checkSuccessor(this.#context(), successor));
    return successor;
  }

  /**
   * Resolves with the best successor apart from the members in `without`.
   *
   * @throws {AshlarError} MEMBER_BEHIND if no other voter answers
   */
  async #chooseSuccessor(without: readonly MemberId[]): Promise<MemberId> {
    const none = new AshlarError(
      "MEMBER_BEHIND",
      "Cannot transfer leadership: no other voter answers",
    );
    const { membership, leaderId } = this.#context();
    const isAny = membership.voters.some((id) => id !== leaderId && !without.includes(id));
    if (!isAny) throw none;
    let successor: MemberId | null = null;
    await this.#checkWithRetry(() => {
      successor = bestSuccessor(this.#context(), without);
      if (successor === null) throw none;
    });
    return present<MemberId>(successor, "the check passed, so a successor was found");
  }

  /** @throws {AshlarError} MAJORITY_AT_RISK if the active voters after `change` are no majority */
  async #requireMajority(change: MembershipChangeRequest): Promise<void> {
    if (change.promote.length + change.remove.length === 0) return;
    await this.#checkWithRetry(() => {
      const silent = votersMissingForMajority(this.#context(), change);
      if (silent.length > 0) throw majorityAtRisk(silent);
    });
  }

  /**
   * Transfers leadership first if the change removes this leader. The successor becomes leader
   * without an election timeout. It remains in the cluster until the change is settled.
   *
   * @throws {AshlarError} MEMBER_BEHIND if no voter takes over; NOT_LEADER with the address of the
   *   new leader after the transfer, so that the caller repeats the request there
   */
  async #transferIfRemoved({ remove, promote }: MembershipChangeRequest): Promise<void> {
    const { leaderId, membership } = this.#context();
    if (!remove.includes(leaderId)) return;
    if (membership.voters.every((id) => remove.includes(id)) && promote.length > 0) {
      throw new AshlarError(
        "MAJORITY_AT_RISK",
        `Cannot remove the leader, member ${leaderId}: expected another voter that remains`,
        { hint: "Promote the new masters first, then remove the leader" },
      );
    }
    const successor = await this.#transferTo(await this.#chooseSuccessor(remove));
    throw notLeader(this.#options.membershipState.addressOf(successor));
  }

  /**
   * Transfers leadership to `successor`. Resolves with the leader that this member then knows,
   * which may be another member.
   *
   * @throws {AshlarError} MEMBER_BEHIND, NO_LEADER
   */
  async #transferTo(successor: MemberId): Promise<MemberId> {
    const { node, clock, wake, electionTimeoutMsMin } = this.#options;
    const untilMs = clock.monotonicMs() + 3 * electionTimeoutMsMin;
    node.transferLeadership(successor);
    wake();
    while (clock.monotonicMs() < untilMs) {
      await clock.sleep(POLL_MS);
      const { role, leaderId, transferee } = node.status();
      if (role !== "leader" && leaderId !== NO_MEMBER) return leaderId;
      if (role !== "leader" || transferee !== NO_MEMBER) continue;
      // The core abandoned the transfer. A successor that was just promoted may not have known its
      // vote yet: try again.
      node.transferLeadership(successor);
      wake();
    }
    if (node.status().role !== "leader") throw noLeader();
    throw new AshlarError(
      "MEMBER_BEHIND",
      `Cannot transfer leadership to member ${successor}: it did not take over in time`,
    );
  }

  /** Resolves with the record of a new member. Its incarnation comes from the member itself. */
  async #identify(member: MemberAddress): Promise<MemberRecord> {
    const { incarnation } = await this.#options.identify(member);
    return { ...member, incarnation };
  }

  /**
   * Proposes the change. Resolves with the index of its entry when the change is settled.
   *
   * @throws {AshlarError} COMMIT_UNKNOWN if leadership is lost before that
   */
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
    log.info("Changing the members", { ...change, index });
    await proposals.waitFor({ index, term });
    await this.#waitForJointEnd(term);
    await this.#waitUntilSettled(term);
    log.info("Changed the members", {
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
        "Cannot change the members: too many bytes are not applied yet",
      );
    }
    const { membershipState, node } = this.#options;
    return notLeader(membershipState.addressOf(node.status().leaderId));
  }

  /**
   * Resolves when the joint configuration has ended, so that the new majority decides alone. The
   * core of the leader proposes that entry by itself.
   */
  async #waitForJointEnd(term: Leadership["term"]): Promise<void> {
    if (this.#options.membershipState.membership.votersOutgoing.length === 0) return;
    this.#requireLeaderOf(term);
    await new Promise<void>((resolve, reject) => {
      this.#jointEnd = { resolve, reject };
    });
  }

  /**
   * Resolves when a majority of the remaining members know durably that the change is committed.
   * Before that they may still need the removed members: to win an election, or after a power
   * failure (docs/decisions/0007).
   */
  async #waitUntilSettled(term: Leadership["term"]): Promise<void> {
    const { node, proposals, appliedIndex } = this.#options;
    this.#requireLeaderOf(term);
    const { settledIndex: index } = node.status();
    if (index > appliedIndex()) await proposals.waitFor({ index, term });
  }

  /** Returns whether the last change is settled: see `#waitUntilSettled`. */
  #isSettled(): boolean {
    const { node, appliedIndex } = this.#options;
    return node.status().settledIndex <= appliedIndex();
  }

  /** @throws {AshlarError} COMMIT_UNKNOWN if this member no longer leads in `term` */
  #requireLeaderOf(term: Leadership["term"]): void {
    const { node, haltReason } = this.#options;
    const status = node.status();
    if (haltReason() === null && status.role === "leader" && status.term === term) return;
    throw commitUnknown("leadership was lost during the membership change");
  }
}

/**
 * Returns the entry of a change. The core adds a joint configuration where the change needs one.
 */
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
  refused: Pick<RefusedMessages, "refusalOf">,
): MembershipStatus["members"][number]["progress"] {
  if (progress === undefined) return null;
  const { id, state, matchIndex, isRecentlyActive } = progress;
  const refusal = refused.refusalOf(id);
  return { state: state.kind, matchIndex, isActive: isRecentlyActive, refusal };
}
