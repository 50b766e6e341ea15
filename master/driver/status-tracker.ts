import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { ConsensusStatus } from "../consensus.ts";
import type { EntryPosition } from "../raft/messages.ts";
import { NO_MEMBER } from "../raft/messages.ts";
import type { BasicStatus, Leadership, RaftNode } from "../raft/raft.ts";
import type { MembershipState } from "./membership-state.ts";

export interface StatusTrackerOptions {
  readonly node: RaftNode;
  readonly membershipState: MembershipState;
  readonly appliedIndex: () => LogIndex;
}

/**
 * What this member says of itself. Cheap to keep, since every turn changes it, and to ask, since
 * every request asks: it is looked up once for all who ask between two turns.
 */
export class StatusTracker {
  readonly #options: StatusTrackerOptions;
  readonly #listeners: Array<(status: ConsensusStatus) => void> = [];
  #leadership: Leadership;
  readonly #id: MemberId;
  #reach: BasicStatus | null = null;
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

  onChange(listener: (status: ConsensusStatus) => void): void {
    this.#listeners.push(listener);
  }

  /** A leader is ready once it has applied an entry of its own term. */
  noteApplied(entry: EntryPosition): void {
    this.#appliedTerm = entry.term;
  }

  noteLeadership(leadership: Leadership): void {
    this.#leadership = leadership;
    this.#hasChanges = true;
  }

  noteMembership(): void {
    this.#hasChanges = true;
  }

  /** A turn is over: tells the listeners if they would care. */
  update(): void {
    this.#reach = null;
    const isReady = this.#isReady();
    if (!this.#hasChanges && isReady === this.#wasReady) return;
    this.#hasChanges = false;
    this.#wasReady = isReady;
    const status = this.status();
    for (const listener of this.#listeners) listener(status);
  }

  /** The member takes part no longer: it knows no leader and is none. */
  halt(): void {
    this.#isHalted = true;
    this.#hasChanges = true;
    this.update();
  }

  #isReady(): boolean {
    const { role, term } = this.#leadership;
    return role === "leader" && !this.#isHalted && this.#appliedTerm === term;
  }

  addressOf(member: MemberId): string | null {
    return this.#options.membershipState.addressOf(member);
  }

  /** The address of the leader of the moment, null if there is none. */
  get leaderAddress(): string | null {
    return this.#isHalted ? null : this.addressOf(this.#leadership.leaderId);
  }

  status(): ConsensusStatus {
    this.#reach ??= this.#options.node.basicStatus();
    const { membershipState } = this.#options;
    const appliedIndex = this.#options.appliedIndex();
    const { lastIndex, committedIndex } = this.#reach;
    const { term, leaderId } = this.#leadership;
    return {
      memberId: this.#id,
      role: this.#isHalted ? "follower" : roleOf(this.#leadership, this.#reach),
      term,
      leaderId: this.#isHalted || leaderId === NO_MEMBER ? null : leaderId,
      leaderAddress: this.leaderAddress,
      isReady: this.#isReady(),
      lastIndex,
      committedIndex,
      appliedIndex,
      members: membershipState.members,
      memberPhase: membershipState.memberPhase(appliedIndex),
      masters: membershipState.masterAddresses(appliedIndex),
    };
  }
}

function roleOf({ role }: Leadership, { isLearner }: BasicStatus): ConsensusStatus["role"] {
  if (role === "leader") return "leader";
  if (role === "candidate" || role === "pre-candidate") return "candidate";
  return isLearner ? "learner" : "follower";
}
