import type { LogIndex, MemberId, Term } from "../../shared/base/ids.ts";
import type { ConsensusStatus } from "../consensus.ts";
import type { EntryPosition, Membership } from "../raft/messages.ts";
import { NO_MEMBER } from "../raft/messages.ts";
import type { RaftNode, RaftStatus } from "../raft/raft.ts";
import type { MemberAddress } from "./driver-options.ts";

export interface StatusBoardOptions {
  readonly node: RaftNode;
  readonly members: readonly MemberAddress[];
  readonly appliedIndex: () => LogIndex;
}

/** What this member says of itself. Cheap to ask, for every request asks. */
export class StatusBoard {
  readonly #options: StatusBoardOptions;
  readonly #listeners: Array<(status: ConsensusStatus) => void> = [];
  #raft: RaftStatus;
  #appliedTerm = 0 as Term;
  #isHalted = false;
  #lastKey: string;

  constructor(options: StatusBoardOptions) {
    this.#options = options;
    this.#raft = options.node.status();
    this.#lastKey = keyOf(this.status());
  }

  onChange(listener: (status: ConsensusStatus) => void): void {
    this.#listeners.push(listener);
  }

  /** A leader is ready once it has applied an entry of its own term. */
  noteApplied(entry: EntryPosition): void {
    this.#appliedTerm = entry.term;
  }

  /** Looks at the core after a turn and tells the listeners if they would care. */
  update(): void {
    this.#raft = this.#options.node.status();
    this.#tell();
  }

  /** The member takes part no longer: it knows no leader and is none. */
  halt(): void {
    this.#isHalted = true;
    this.#tell();
  }

  #tell(): void {
    const status = this.status();
    const key = keyOf(status);
    if (key === this.#lastKey) return;
    this.#lastKey = key;
    for (const listener of this.#listeners) listener(status);
  }

  leaderAddress(leaderId: MemberId): string | null {
    return this.#options.members.find((member) => member.id === leaderId)?.address ?? null;
  }

  status(): ConsensusStatus {
    const raft = this.#raft;
    const { id, term, lastIndex, committedIndex, membership } = raft;
    const isLeading = raft.role === "leader" && !this.#isHalted;
    const leaderId = this.#isHalted || raft.leaderId === NO_MEMBER ? null : raft.leaderId;
    return {
      memberId: id,
      role: this.#isHalted ? "follower" : roleOf(raft),
      term,
      leaderId,
      leaderAddress: leaderId === null ? null : this.leaderAddress(leaderId),
      isReady: isLeading && this.#appliedTerm === term,
      lastIndex,
      committedIndex,
      appliedIndex: this.#options.appliedIndex(),
      members: idsOf(membership).map((each) => ({
        id: each,
        address: this.leaderAddress(each) ?? "",
      })),
    };
  }
}

function roleOf({ role, id, membership }: RaftStatus): ConsensusStatus["role"] {
  if (role === "leader") return "leader";
  if (role === "candidate" || role === "pre-candidate") return "candidate";
  return membership.learners.includes(id) ? "learner" : "follower";
}

function idsOf({ voters, votersOutgoing, learners }: Membership): MemberId[] {
  const ids = new Set([...voters, ...votersOutgoing, ...learners]);
  return [...ids].sort((left, right) => left - right);
}

function keyOf(status: ConsensusStatus): string {
  const { role, term, leaderId, isReady, members } = status;
  return `${role} ${term} ${leaderId} ${isReady} ${members.length}`;
}
