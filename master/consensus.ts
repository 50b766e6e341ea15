import type { LogIndex, MemberId, Term } from "../shared/base/ids.ts";

/** What the rest of the master needs of consensus. Implemented by the driver. */
export interface Consensus {
  /**
   * Puts a command into the log. Resolves once it is committed (durable on a majority) and applied
   * here, with what the state machine answered.
   *
   * @throws {AshlarError} NOT_LEADER (details.leaderAddress if known), OVERLOADED: not in the log.
   *   COMMIT_UNKNOWN: leadership or the process was lost while it was under way.
   */
  propose(command: Uint8Array): Promise<Applied>;
  /**
   * Resolves when this member's state shows everything that was acknowledged before the call
   * (ReadIndex, Raft thesis §6.4). Calls of one turn share one round.
   *
   * @throws {AshlarError} NOT_LEADER, NO_LEADER, DEADLINE_EXCEEDED
   */
  confirmRead(timeoutMs: number): Promise<LogIndex>;
  /** Resolves when the state shows `index`. @throws {AshlarError} DEADLINE_EXCEEDED */
  waitApplied(index: LogIndex, timeoutMs: number): Promise<void>;
  status(): ConsensusStatus;
  /** Calls `listener` on every change of this member's role or of the leader it knows. */
  onChange(listener: (status: ConsensusStatus) => void): void;
}

export interface Applied {
  readonly index: LogIndex;
  readonly outcome: unknown;
}

export interface ConsensusStatus {
  readonly memberId: MemberId;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly term: Term;
  readonly leaderId: MemberId | null;
  readonly leaderAddress: string | null;
  /** True once a leader has applied an entry of its own term: from then on its state is current. */
  readonly isReady: boolean;
  readonly lastIndex: LogIndex;
  readonly committedIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly members: readonly { readonly id: MemberId; readonly address: string }[];
}
