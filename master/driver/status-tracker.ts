import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { ConsensusStatus } from "../consensus.ts";
import type { EntryPosition } from "../raft/messages.ts";
import { NO_MEMBER } from "../raft/messages.ts";
import type { BasicStatus, Leadership, RaftNode } from "../raft/raft.ts";
import type { Founding } from "./founding.ts";
import { diskFullOf } from "./member-errors.ts";
import type { MemberStorage } from "./member-storage.ts";
import type { MembershipState } from "./membership-state.ts";
import type { RefusedMessages } from "./refused-messages.ts";

/** Dependencies and settings of a StatusTracker. */
export interface StatusTrackerOptions {
  readonly node: RaftNode;
  readonly membershipState: MembershipState;
  readonly founding: Founding;
  readonly refused: Pick<RefusedMessages, "refusalOf">;
  readonly holder: { readonly machine: { readonly appliedIndex: LogIndex } };
  readonly storage: { readonly log: Pick<MemberStorage["log"], "failure"> };
  /** Whether the disk of the state is full. */
  readonly isFull: () => boolean;
}

/**
 * The consensus status of this member. Every turn changes the status and every request reads it, so
 * the values of the core are read lazily and cached until the end of the turn.
 */
export class StatusTracker {
  readonly #options: StatusTrackerOptions;
  readonly #listeners: Array<(status: ConsensusStatus) => void> = [];
  #leadership: Leadership;
  readonly #id: MemberId;
  #basicStatus: BasicStatus | null = null;
  #appliedTerm = 0 as Term;
  #isHalted = false;
  #hasChanges = false;
  #wasReady = false;

  constructor(options: StatusTrackerOptions) {
    this.#options = options;
    const status = options.node.status();
    this.#leadership = status;
    this.#id = status.id;
  }

  /** Calls `listener` after a change of the leadership, the membership or `isReady`. */
  onChange(listener: (status: ConsensusStatus) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Records the term of an applied entry. A leader is ready after it has applied an entry of its
   * term.
   */
  noteApplied(entry: EntryPosition): void {
    this.#appliedTerm = entry.term;
  }

  /** Records the leadership that the core has reported. */
  noteLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    this.#hasChanges = true;
  }

  /** Records that the membership has changed. */
  noteMembership(): void {
    this.#hasChanges = true;
  }

  /** Drops the cache, and calls the listeners after a change. Called at the end of each turn. */
  update(): void {
    this.#basicStatus = null;
    const isReady = this.#isReady();
    if (!this.#hasChanges && isReady === this.#wasReady) return;
    this.#hasChanges = false;
    this.#wasReady = isReady;
    const status = this.status();
    for (const listener of this.#listeners) listener(status);
  }

  /** Records that the member has halted: from now on it is a follower without a known leader. */
  halt(): void {
    this.#isHalted = true;
    this.#hasChanges = true;
    this.update();
  }

  #isReady(): boolean {
    const { role, term } = this.#leadership;
    return role === "leader" && !this.#isHalted && this.#appliedTerm === term;
  }

  /** Returns the address of a member, or null if it is not known. */
  addressOf(member: MemberId): string | null {
    return this.#options.membershipState.addressOf(member);
  }

  /** Address of the current leader. Null if no leader is known. */
  get leaderAddress(): string | null {
    return this.#isHalted ? null : this.addressOf(this.#leadership.leaderId);
  }

  /** Returns the current status. */
  status(): ConsensusStatus {
    this.#basicStatus ??= this.#options.node.basicStatus();
    const { membershipState, refused, storage, isFull } = this.#options;
    const appliedIndex = this.#options.holder.machine.appliedIndex;
    const { lastIndex, committedIndex } = this.#basicStatus;
    const { term, leaderId } = this.#leadership;
    return {
      memberId: this.#id,
      role: this.#isHalted ? "follower" : roleOf(this.#leadership, this.#basicStatus),
      term,
      leaderId: this.#isHalted || leaderId === NO_MEMBER ? null : leaderId,
      leaderAddress: this.leaderAddress,
      isReady: this.#isReady(),
      lastIndex,
      committedIndex,
      appliedIndex,
      members: membershipState.members,
      memberPhase: membershipState.memberPhase(appliedIndex),
      waitingReason: this.#options.founding.reason,
      refusal: this.#isHalted ? null : refused.refusalOf(leaderId),
      diskFull: diskFullOf(storage.log.failure, isFull()),
      masters: membershipState.masterAddresses(appliedIndex),
      learners: membershipState.learnerAddresses(appliedIndex),
    };
  }
}

function roleOf({ role }: Leadership, { isLearner }: BasicStatus): ConsensusStatus["role"] {
  if (role === "leader") return "leader";
  if (role === "candidate" || role === "pre-candidate") return "candidate";
  return isLearner ? "learner" : "follower";
}
